"""ReadHolder: the person behind a card, in the clear."""

from __future__ import annotations

from datetime import date

from processing import tables
from processing.commands import MAX_PAGE, ReadHolder
from processing.database import Row, Statement
from processing.errors import HolderNotFound
from processing.finding import listed
from processing.people import decode_details, read_field
from processing.reading import Reading
from processing.results import Consent, HolderTold

# A wallet of a company may have any number of cards; the list shows these.
MAX_CARDS_SHOWN = 100
MAX_CONSENTS = MAX_PAGE

_person, _consent = tables.person.c, tables.consent.c

PERSON = Statement(
    """
    SELECT h.id, h.created_at, p.wrapped_key, p.name, p.phone, p.email, p.birthday, p.details
    FROM holder h JOIN person p ON p.holder_id = h.id WHERE h.wallet_id = :wallet AND h.erased_at IS NULL
    """,
    tables.holder.c.id,
    tables.holder.c.created_at,
    *(_person[name] for name in ("wrapped_key", "name", "phone", "email", "birthday", "details")),
)
CONSENTS = Statement(
    """
    SELECT c.purpose, c.document, c.given, c.channel, c.store_id, c.at FROM consent c
    WHERE c.holder_id = :holder ORDER BY c.at DESC, c.id DESC LIMIT :most
    """,
    *(_consent[name] for name in ("purpose", "document", "given", "channel", "store_id", "at")),
)


def read_holder(reading: Reading, query: ReadHolder) -> HolderTold:
    """The person with consents, newest first, and cards. Errors: CardNotFound, HolderNotFound (none, or erased)."""
    wallet_id = reading.card(query.refs).wallet_id
    rows = reading.rows(PERSON, wallet=wallet_id)
    if not rows:
        raise HolderNotFound("the card has no holder")
    holder_id, registered_at, wrapped_key, *blobs = rows[0]
    name, phone, email, birthday, details = (
        "" if blob is None else read_field(reading.work.vault, holder_id, wrapped_key, field, blob)
        for field, blob in zip(("name", "phone", "email", "birthday", "details"), blobs, strict=True)
    )
    cards, _ = listed(reading, (), (wallet_id,), MAX_CARDS_SHOWN)
    consents = reading.rows(CONSENTS, holder=holder_id, most=MAX_CONSENTS)
    return HolderTold(
        holder_id=holder_id,
        account=wallet_id,
        name=name,
        phone=phone,
        email=email,
        birthday=date.fromisoformat(birthday) if birthday else None,
        registered_at=registered_at,
        cards=cards,
        consents=tuple(_consent_told(reading, row) for row in consents),
        details=decode_details(details),
    )


def _consent_told(reading: Reading, row: Row) -> Consent:
    purpose, document, given, channel, store_id, at = row
    store = reading.work.directory.store_of(store_id).code
    return Consent(purpose=purpose, document=document, given=given, channel=channel, store=store, at=at)
