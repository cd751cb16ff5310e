"""Finding cards by whatever was typed or scanned, and the list of cards that is shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import Integer, column

from processing import tables
from processing.cards import why_unusable
from processing.commands import FindCards, IssueToken, Ref
from processing.database import Row, Statement, array
from processing.errors import BadMessage
from processing.name_parts import MAX_WANTED, NAME, wanted
from processing.names import CARD, CONTACT, EMAIL, PHONE, contact_index, token, token_card
from processing.people import read_field
from processing.reading import Reading, is_text
from processing.results import CardsFound, FoundCard, TokenIssued
from processing.selects import RESOLVE
from processing.state import canonical

MAX_TEXT = 255
MAX_FOUND = 100
# Of the holders with the rarest word of what was typed so many are looked at, and of those who have all the words
# so many are kept, the newest in both cases; beyond that the answer says that there are more.
MAX_NAMESAKES = 10_000
MAX_HOLDERS = 1_000

MIN_TOKEN_SECONDS, MAX_TOKEN_SECONDS = 30, 86_400

_card = tables.card.c

FOUND = Statement(
    """
    SELECT c.number, c.wallet_id, c.status, c.product, c.expires_at, h.id, p.name, p.wrapped_key
    FROM (SELECT c.id, c.number, c.wallet_id, c.status, c.product, c.expires_at, c.issued_at,
                 CASE WHEN c.status = 'active' AND (c.expires_at IS NULL OR c.expires_at > :now)
                     THEN 0 ELSE 1 END AS place
          FROM card c WHERE c.id IN_IDS(:cards) OR c.wallet_id IN_IDS(:wallets)
          ORDER BY place, c.issued_at DESC, c.id DESC LIMIT :most) c
    LEFT JOIN holder h ON h.wallet_id = c.wallet_id
    LEFT JOIN person p ON p.holder_id = h.id
    ORDER BY c.place, c.issued_at DESC, c.id DESC
    """,
    _card.number,
    _card.wallet_id,
    _card.status,
    _card.product,
    _card.expires_at,
    tables.holder.c.id,
    tables.person.c.name,
    tables.person.c.wrapped_key,
)
WALLETS = Statement(
    """
    SELECT coalesce((SELECT w.merged_into FROM wallet w WHERE w.id = h.wallet_id), h.wallet_id)
    FROM holder h WHERE h.id IN_IDS(:holders) AND h.erased_at IS NULL
    """,
    tables.holder.c.wallet_id,
)
RARITY = Statement(
    "SELECT count(*) FROM (SELECT 1 FROM name_part n WHERE n.blind_index = :word LIMIT :most) counted",
    column("holders", Integer),
)
# Holders with all the words, the newest first; a search of fewer words tells the last one several times.
NAMESAKES = Statement(
    "SELECT n.holder_id FROM (SELECT n.holder_id FROM name_part n WHERE n.blind_index = :word0"
    " ORDER BY n.holder_id DESC LIMIT :looked_at) n WHERE "
    + " AND ".join(
        f"(SELECT 1 FROM name_part o WHERE o.blind_index = :word{n} AND o.holder_id = n.holder_id) = 1"
        for n in range(1, MAX_WANTED)
    )
    + " ORDER BY n.holder_id DESC LIMIT :most",
    tables.name_part.c.holder_id,
)
NUMBER = Statement("SELECT c.number FROM card c WHERE c.id = :card", _card.number)


@dataclass(slots=True)
class _Led:
    """Where a text leads: to cards, and to holders with all their cards."""

    cards: set[int] = field(default_factory=set)
    holders: set[int] = field(default_factory=set)
    more: bool = False


def find_cards(reading: Reading, query: FindCards) -> CardsFound:
    """Cards that a text leads to, usable before others, newest first. Errors: ForeignStore, BadMessage."""
    reading.work.directory.store(query.store)
    if not 1 <= query.limit <= MAX_FOUND:
        raise BadMessage(f"a list has 1 to {MAX_FOUND} cards", where="limit")
    text = query.text.strip()
    if len(text) > MAX_TEXT:
        raise BadMessage(f"longer than {MAX_TEXT} characters", where="text")
    led = _led(reading, text) if is_text(text) else _Led()
    wallets = reading.rows(WALLETS, holders=array(sorted(led.holders))) if led.holders else []
    cards, more = listed(reading, led.cards, (row[0] for row in wallets), query.limit)
    return CardsFound(cards=cards, more=more or led.more)


def _led(reading: Reading, text: str) -> _Led:
    """What the text is, by its looks: a token, an e-mail, something with digits, or a part of a name."""
    card_id = token_card(reading.work.vault, text, reading.now)
    if card_id is not None:
        return _Led(cards={card_id})
    if "@" in text:
        return _Led(holders=_by_contact(reading, EMAIL, text))
    if any(char.isdigit() for char in text):
        return _Led(cards=_by_number(reading, text), holders=_by_contact(reading, PHONE, text))
    return _by_name(reading, text)


def _by_contact(reading: Reading, kind: str, text: str) -> set[int]:
    index = contact_index(reading.work.vault, Ref(kind, text))
    if index is None:
        return set()
    return {row[0] for row in reading.rows(CONTACT, kind=kind, blind_index=index)}


def _by_number(reading: Reading, text: str) -> set[int]:
    """Cards with a name of this value, whatever its scheme; a printed number may have spaces and dashes."""
    number = text.replace(" ", "").replace("-", "")
    values = {text, number, canonical(Ref(CARD, number)).value}
    return {row[2] for row in reading.rows(RESOLVE, values=array(sorted(values)))}


def _by_name(reading: Reading, text: str) -> _Led:
    """Holders whose names have all the words; the rarest word is looked up first."""
    words = [reading.work.vault.blind_index(NAME, part) for part in wanted(text)]
    if not words:
        return _Led()
    counts = reading.each(*((RARITY, {"word": word, "most": MAX_NAMESAKES + 1}) for word in words))
    by_count = sorted(zip((rows[0][0] for rows in counts), words, strict=True))
    words = [word for _, word in by_count]
    filled = words + words[-1:] * (MAX_WANTED - len(words))
    rows = reading.rows(
        NAMESAKES,
        looked_at=MAX_NAMESAKES,
        most=MAX_HOLDERS + 1,
        **{f"word{n}": word for n, word in enumerate(filled)},
    )
    holders = [row[0] for row in rows]
    more = by_count[0][0] > MAX_NAMESAKES or len(holders) > MAX_HOLDERS
    return _Led(holders=set(holders[:MAX_HOLDERS]), more=more)


def listed(
    reading: Reading, card_ids: Iterable[int], wallets: Iterable[int], limit: int
) -> tuple[tuple[FoundCard, ...], bool]:
    """These cards and those of the wallets, usable before others, newest first; and whether there are more."""
    cards, whole = sorted(set(card_ids)), sorted(set(wallets))
    if not cards and not whole:
        return (), False
    rows = reading.rows(FOUND, cards=array(cards), wallets=array(whole), now=reading.now, most=limit + 1)
    return tuple(_found_card(reading, row) for row in rows[:limit]), len(rows) > limit


def _found_card(reading: Reading, row: Row) -> FoundCard:
    number, wallet_id, status, product, expires_at, holder_id, name, wrapped_key = row
    refusal = why_unusable(status, expires_at, reading.now)
    is_known = wrapped_key is not None
    return FoundCard(
        number=number,
        account=wallet_id,
        holder_id=holder_id if is_known else 0,
        holder_name=read_field(reading.work.vault, holder_id, wrapped_key, "name", name) if is_known else "",
        status=status,
        usable=refusal.code if refusal else "",
        product=product,
    )


def issue_token(reading: Reading, query: IssueToken) -> TokenIssued:
    """A signed name of the card that ends by itself; nothing is written. Errors: BadMessage, CardNotFound."""
    if not MIN_TOKEN_SECONDS <= query.seconds <= MAX_TOKEN_SECONDS:
        raise BadMessage(f"a token lives {MIN_TOKEN_SECONDS} to {MAX_TOKEN_SECONDS} seconds", where="seconds")
    card_id = reading.card(query.refs).card_id
    # A token counts whole seconds.
    expires_at = reading.now.replace(microsecond=0) + timedelta(seconds=query.seconds)
    ((number,),) = reading.rows(NUMBER, card=card_id)
    return TokenIssued(token=token(reading.work.vault, card_id, expires_at), number=number, expires_at=expires_at)
