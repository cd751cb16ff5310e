"""Why a purchase got what it got: every rule of the programmes that decided it, fired or not, and why (design law 7).

Worked out anew from what the operation keeps: its receipt, the facts that the rules saw, and the version.
"""

from __future__ import annotations

from typing import Any

import msgspec

from processing.commands import ExplainOperation, ExplainQuote, ReadOperation
from processing.directory import ActiveProgramme
from processing.documents import decode_document
from processing.programme.compiled import DISCOUNT, Moment
from processing.programme.decide import Part, decide
from processing.programme.facts import NOTHING_KNOWN, Facts
from processing.programme.reasons import Reason, reasons
from processing.quotes import decided
from processing.reading import Reading
from processing.records import RECEIPT, read_operation
from processing.results import CardExplained, Explained, OperationTold, RuleExplained, TextTold
from processing.wording import card_texts, money_scale

NUMBER_SHOWN = 4


def explain_operation(reading: Reading, query: ExplainOperation) -> Explained:
    """Errors: OperationNotFound."""
    told = read_operation(reading, ReadOperation(operation_id=query.operation_id))
    stories = told.explanation if isinstance(told.explanation, list) else []
    rows = reading.rows(RECEIPT, operation=query.operation_id)
    cards: tuple[CardExplained, ...] = ()
    if rows and told.kind == "receipt":
        cards = _cards(reading, told, [story for story in stories if "rules" in story], rows[0][3])
    return Explained(operation_id=told.operation_id, kind=told.kind, store=told.store, cards=cards)


def _cards(
    reading: Reading, told: OperationTold, stories: list[dict[str, Any]], document: str
) -> tuple[CardExplained, ...]:
    directory = reading.work.directory
    receipt = decode_document(document).receipt
    moment = Moment(told.store, told.effective_at.astimezone(directory.store(told.store).zone))
    versions = [directory.version(story.get("version", told.programme_version)) for story in stories]
    parts = [_part(story, active) for story, active in zip(stories, versions, strict=True)]
    decision = decide(receipt, parts, moment)
    return tuple(
        _card(
            reading,
            story,
            active,
            reasons(receipt, part, moment, decision, n),
            card_texts(reading, active.programme, story, is_final=True),
        )
        for n, (story, active, part) in enumerate(zip(stories, versions, parts, strict=True))
        if active is not None
    )


def _part(story: dict[str, Any], active: ActiveProgramme | None) -> Part:
    """The card's part as the operation keeps it."""
    return Part(
        programme=active.programme if active else None,
        spend_minor=story.get("spend_minor", 0),
        redeemed_minor=story.get("redeemed_minor", 0),
        product=story.get("product", ""),
        facts=msgspec.convert(story["facts"], Facts) if "facts" in story else NOTHING_KNOWN,
        version=active.version_id if active else 0,
    )


def _card(
    reading: Reading,
    story: dict[str, Any],
    active: ActiveProgramme,
    found: tuple[Reason, ...],
    texts: tuple[TextTold, ...],
) -> CardExplained:
    points = reading.scale(active.programme.unit)
    return CardExplained(
        card=story.get("card", ""),
        programme=active.programme.code,
        programme_version=active.version_id,
        earned=story["earned"],
        unit=active.programme.unit,
        scale=points,
        rules=tuple(_rule(reason, points, money_scale(reading)) for reason in found),
        texts=texts,
        facts=story.get("facts", {}),
        decided=story.get("decided", ""),
    )


def _rule(reason: Reason, points_scale: int, money: int) -> RuleExplained:
    return RuleExplained(scale=money if reason.gives == DISCOUNT else points_scale, **msgspec.structs.asdict(reason))


def explain_quote(reading: Reading, query: ExplainQuote) -> Explained:
    """Errors: as Quote."""
    found = decided(reading, query)
    directory = reading.work.directory
    cards = []
    for n, (use, part, story) in enumerate(zip(found.uses, found.parts, found.decision.explanation, strict=True)):
        active = directory.programmes[use.programme.code]
        own = reasons(found.receipt, part, found.moment, found.decision, n, is_final=False)
        told = {**story, "card": use.number[-NUMBER_SHOWN:], "decided": use.usable}
        words = card_texts(reading, active.programme, story, False, use.account, query.store)
        cards.append(_card(reading, told, active, own, words))
    return Explained(operation_id=0, kind="quote", store=query.store, cards=tuple(cards))
