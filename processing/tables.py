"""The schema: every table of the books and what surrounds them, as SQLAlchemy Core tables.

Hot tables (request_key, operation, entry, lot, receipt, exchange_log) carry no foreign keys: a check per row
would cost more than the row, and ``tillgate verify`` finds orphans as sets (docs/decisions/0004). Ids come
from blocks taken by the application, so that rows can refer to each other before they are written.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime: ``timestamptz`` on PostgreSQL, whole microseconds since 1970 on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(BigInteger())
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if dialect.name != "sqlite":
            return cast(datetime, value).astimezone(UTC)
        return _EPOCH + cast(int, value) * _MICROSECOND


class Document(TypeDecorator[bytes]):
    """JSON text as bytes: written as it is, and read only where somebody needs it."""

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else JSON())

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> Any:
        return None if value is None else bytes(value).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> bytes | None:
        if value is None:
            return None
        return value.encode() if isinstance(value, str) else msgspec.json.encode(value)


Id = BigInteger().with_variant(Integer, "sqlite")

# Who and where ---------------------------------------------------------------------------------------------

partner = Table(
    "partner",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("code", String(64), nullable=False, unique=True),
    Column("name", String(255), nullable=False),
)

store = Table(
    "store",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("code", String(64), nullable=False, unique=True),
    Column("name", String(255), nullable=False),
    Column("partner_id", Id, ForeignKey("partner.id"), nullable=False),
    Column("zone", String(64), nullable=False),
)

till = Table(
    "till",
    metadata,
    Column("store_id", Id, ForeignKey("store.id"), primary_key=True),
    Column("code", String(64), primary_key=True),
    Column("first_seen_at", Instant, nullable=False),
)

unit = Table(
    "unit",
    metadata,
    Column("code", String(16), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("scale", SmallInteger, nullable=False),
    # What one person may correct alone, in minor units; empty: any amount.
    Column("adjust_limit", BigInteger),
    CheckConstraint("kind IN ('money', 'points')", name="kind"),
)

product = Table(
    "product",
    metadata,
    Column("code", String(64), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("definition", JSON, nullable=False),
)

programme_version = Table(
    "programme_version",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("code", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("document", JSON, nullable=False),
    Column("activated_at", Instant, nullable=False),
    Index(None, "code", "activated_at"),
)

# Cards, wallets, holders -----------------------------------------------------------------------------------

wallet = Table(
    "wallet",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    # Where it went. Never a wallet that went on itself: a merge leads all that had come before along.
    Column("merged_into", Id, ForeignKey("wallet.id"), index=True),
    # Where it goes as soon as its holds have ended.
    Column("merging_into", BigInteger),
    Column("created_at", Instant, nullable=False),
    Index(
        "ix_wallet_merging",
        "merging_into",
        postgresql_where=text("merging_into IS NOT NULL"),
        sqlite_where=text("merging_into IS NOT NULL"),
    ),
)

account = Table(
    "account",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Column("unit", String(16), ForeignKey("unit.code"), nullable=False),
    Column("wallet_id", Id, ForeignKey("wallet.id")),
    Column("partner_id", Id, ForeignKey("partner.id")),
    # Kept for wallets only: a system account's balance is the sum of its entries, so that it is never hot.
    Column("balance", BigInteger, nullable=False, server_default=text("0")),
    UniqueConstraint("wallet_id", "unit"),
    UniqueConstraint("partner_id", "kind", "unit"),
    CheckConstraint("(wallet_id IS NULL) <> (partner_id IS NULL)", name="owner"),
    postgresql_with={"fillfactor": 70},
)

card = Table(
    "card",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("wallet_id", Id, ForeignKey("wallet.id"), nullable=False, index=True),
    Column("product", String(64), ForeignKey("product.code"), nullable=False, index=True),
    Column("number", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("issued_at", Instant, nullable=False),
    Column("activated_at", Instant),
    Column("expires_at", Instant),
    # HMACs in hex: of the PIN, and of the last wrong one, which does not count twice.
    Column("pin", String(64)),
    Column("pin_wrong", String(64)),
    Column("pin_tries", SmallInteger, nullable=False, server_default=text("0")),
    CheckConstraint("status IN ('issued', 'active', 'blocked', 'expired', 'replaced', 'closed')", name="status"),
)

identifier = Table(
    "identifier",
    metadata,
    # For scheme "card" the number without leading zeros: protocols that carry integers must find it.
    Column("value", String(255), primary_key=True),
    Column("scheme", String(32), primary_key=True),
    Column("card_id", Id, ForeignKey("card.id"), nullable=False, index=True),
)

holder = Table(
    "holder",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("wallet_id", Id, ForeignKey("wallet.id"), nullable=False, unique=True),
    Column("created_at", Instant, nullable=False),
    Column("erased_at", Instant),
)

person = Table(
    "person",
    metadata,
    Column("holder_id", Id, ForeignKey("holder.id"), primary_key=True),
    # The holder's own data key, wrapped; destroying it is what EraseHolder does.
    Column("wrapped_key", LargeBinary, nullable=False),
    Column("name", LargeBinary, nullable=False),
    Column("phone", LargeBinary),
    Column("email", LargeBinary),
    Column("birthday", LargeBinary),
    # What outside systems keep of the person: a JSON object of texts.
    Column("details", LargeBinary),
)

contact = Table(
    "contact",
    metadata,
    Column("kind", String(8), primary_key=True),
    Column("blind_index", LargeBinary(16), primary_key=True),
    Column("holder_id", Id, ForeignKey("holder.id"), nullable=False, index=True),
)

# Words of names and their beginnings, so that a cashier finds a holder by a part of the name.
name_part = Table(
    "name_part",
    metadata,
    Column("blind_index", LargeBinary(16), primary_key=True),
    Column("holder_id", Id, ForeignKey("holder.id"), primary_key=True, index=True),
)

# People whom the exchange log still has to forget: what is looked for, encrypted, until that is done.
erasure = Table(
    "erasure",
    metadata,
    Column("holder_id", Id, ForeignKey("holder.id"), primary_key=True),
    Column("asked_at", Instant, nullable=False),
    Column("sought", LargeBinary),
    # How far the log has been read.
    Column("log_id", BigInteger, nullable=False),
    Column("done_at", Instant),
)

consent = Table(
    "consent",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("holder_id", Id, ForeignKey("holder.id"), nullable=False, index=True),
    Column("purpose", String(64), nullable=False),
    # The version of the text that was agreed to.
    Column("document", String(64), nullable=False),
    Column("given", Boolean, nullable=False),
    Column("channel", String(32), nullable=False),
    Column("store_id", BigInteger, nullable=False),
    Column("actor", String(64)),
    Column("at", Instant, nullable=False),
)

confirmation_code = Table(
    "confirmation_code",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    # The phone's blind index in hex; the code's HMAC is bound to both and to this row.
    Column("phone_index", String(32), nullable=False),
    Column("purpose", String(64), nullable=False),
    Column("code", String(64), nullable=False),
    Column("sent_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("tries", SmallInteger, nullable=False),
    Column("used_at", Instant),
    Index(None, "phone_index", "sent_at"),
)

# What a wallet did on a day of the store, under the unit that its programme gives: what rules look back at. Under the
# names of a programme and its rule: that it was given, where it is given once. Sums, so that they are added to without
# being read.
activity = Table(
    "activity",
    metadata,
    Column("wallet_id", BigInteger, primary_key=True, autoincrement=False),
    Column("day", Date, primary_key=True),
    Column("name", String(160), primary_key=True),
    Column("turnover_minor", BigInteger, nullable=False),
    Column("visits", BigInteger, nullable=False),
    Column("earned", BigInteger, nullable=False),
    Column("redeemed", BigInteger, nullable=False),
    postgresql_with={"fillfactor": 80},
)

# The same sums for tills, cashiers, stores and partners, where a programme limits them: ``store:3``, ``till:3/7``.
tally = Table(
    "tally",
    metadata,
    Column("subject", String(160), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("turnover_minor", BigInteger, nullable=False),
    Column("receipts", BigInteger, nullable=False),
    Column("earned", BigInteger, nullable=False),
    Column("redeemed", BigInteger, nullable=False),
    postgresql_with={"fillfactor": 50},
)

# The tier that a wallet is in, by programme; what it was before the operation that raised it.
membership = Table(
    "membership",
    metadata,
    Column("wallet_id", BigInteger, primary_key=True, autoincrement=False),
    Column("programme", String(64), primary_key=True),
    Column("tier", String(64), nullable=False),
    Column("since", Date, nullable=False),
    Column("review_on", Date),
    Column("counts_from", Date),
    Column("credit", BigInteger, nullable=False),
    Column("raised_by", BigInteger),
    # JSON of the membership before that (processing.activity.Raised).
    Column("before", Text),
    # The first day on which it may fall; a worker looks then.
    Column("look_on", Date),
    Index(
        "ix_membership_look",
        "look_on",
        postgresql_where=text("look_on IS NOT NULL"),
        sqlite_where=text("look_on IS NOT NULL"),
    ),
)

# Goods as some system knows them, so that a till that tells only what they are called is understood.
goods = Table(
    "goods",
    metadata,
    Column("code", String(64), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("category", String(64), nullable=False),
)

# What else they are called: barcodes.
goods_name = Table(
    "goods_name",
    metadata,
    Column("value", String(64), primary_key=True),
    Column("scheme", String(32), primary_key=True),
    Column("code", String(64), nullable=False),
)

# Receipts that other systems keep: what they say a receipt took and brought, to compare it with what was booked.
learned_receipt = Table(
    "learned_receipt",
    metadata,
    Column("store_id", BigInteger, primary_key=True, autoincrement=False),
    # What the other system calls it, and the card.
    Column("document", String(64), primary_key=True),
    Column("card_scheme", String(32)),
    Column("card_value", String(64)),
    Column("at", Instant, nullable=False),
    Column("unit", String(16), nullable=False),
    Column("redeemed", BigInteger, nullable=False),
    Column("earned", BigInteger, nullable=False),
    Column("is_return", Boolean, nullable=False),
    # Of a return, the document of the sale.
    Column("sale", String(64), nullable=False),
    Column("till", String(64), nullable=False),
    Column("total_minor", BigInteger),
    Column("lines", Document, nullable=False),
    # It counts no more.
    Column("is_withdrawn", Boolean, nullable=False),
    # In the place of the card, once its holder was erased.
    Column("wallet_id", BigInteger),
    Index(None, "store_id", "at"),
    # Those that are old in whichever store: processing/retention.py.
    Index(None, "at"),
    # Those of an erased holder.
    Index(None, "card_value"),
)

# The books -------------------------------------------------------------------------------------------------

request_key = Table(
    "request_key",
    metadata,
    Column("store_id", Id, primary_key=True, autoincrement=False),
    Column("key", String(255), primary_key=True),
    # Another name of the same thing: state, stamp and answer live under that key of the same store.
    Column("same_as", String(255)),
    # none: claimed or given back; posted; rolled_back, returned, tombstone: void, see processing/receipts.py
    Column("state", String(12), nullable=False, server_default=text("'none'")),
    Column("content", String(64)),
    Column("stamp", Instant),
    Column("operation_id", BigInteger),
    Column("answer", String),
    Column("void_stamp", Instant),
    postgresql_with={"fillfactor": 80},
)

operation = Table(
    "operation",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("kind", String(24), nullable=False),
    Column("store_id", BigInteger, nullable=False),
    Column("reverses_id", BigInteger),
    Column("programme_version_id", BigInteger),
    Column("actor", String(64)),
    Column("flags", String),
    Column("explanation", Document),
    Column("effective_at", Instant, nullable=False),
    Column("booked_at", Instant, nullable=False),
    Index(None, "booked_at"),
    Index(
        "ix_operation_reverses",
        "reverses_id",
        postgresql_where=text("reverses_id IS NOT NULL"),
        sqlite_where=text("reverses_id IS NOT NULL"),
    ),
)

entry = Table(
    "entry",
    metadata,
    Column("operation_id", BigInteger, primary_key=True, autoincrement=False),
    Column("n", SmallInteger, primary_key=True, autoincrement=False),
    Column("account_id", BigInteger, nullable=False),
    # Which lot a wallet's entry fills or draws; system accounts have no lots.
    Column("lot_id", BigInteger),
    Column("amount", BigInteger, nullable=False),
    Column("effective_at", Instant, nullable=False),
    Column("booked_at", Instant, nullable=False),
    Index(
        "ix_entry_wallet",
        "account_id",
        "effective_at",
        postgresql_where=text("lot_id IS NOT NULL"),
        sqlite_where=text("lot_id IS NOT NULL"),
    ),
)

lot = Table(
    "lot",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("account_id", BigInteger, nullable=False),
    Column("issuer_id", BigInteger, nullable=False),
    # Settlement price of one minor unit of points, in millionths of a minor unit of money; frozen at accrual.
    Column("price_millionths", BigInteger, nullable=False),
    Column("remaining", BigInteger, nullable=False),
    # Apart from ``remaining`` so that spending a part touches no index.
    Column("is_open", Boolean, nullable=False),
    Column("available_from", Instant, nullable=False),
    Column("expires_at", Instant),
    # Made by a shortage; its remainder is negative until accruals have repaid it.
    Column("is_debt", Boolean, nullable=False),
    Index("ix_lot_open", "account_id", postgresql_where=text("is_open"), sqlite_where=text("is_open")),
    Index(
        "ix_lot_due",
        "expires_at",
        postgresql_where=text("is_open AND expires_at IS NOT NULL"),
        sqlite_where=text("is_open AND expires_at IS NOT NULL"),
    ),
    postgresql_with={"fillfactor": 80},
)

hold = Table(
    "hold",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("store_id", BigInteger, nullable=False),
    # The request key of its PlaceHold.
    Column("key", String(255), nullable=False),
    Column("account_id", BigInteger, nullable=False),
    Column("owner", String(64), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("captured", BigInteger, nullable=False),
    # open, captured, released, expired
    Column("state", String(10), nullable=False),
    Column("placed_at", Instant, nullable=False),
    Column("until", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("operation_id", BigInteger),
    Index("ix_hold_open", "account_id", postgresql_where=text("state = 'open'"), sqlite_where=text("state = 'open'")),
    Index("ix_hold_due", "until", postgresql_where=text("state = 'open'"), sqlite_where=text("state = 'open'")),
)

# What an open hold has set aside of each lot; when it ends its pins count no more.
hold_pin = Table(
    "hold_pin",
    metadata,
    Column("hold_id", Id, primary_key=True, autoincrement=False),
    Column("lot_id", BigInteger, primary_key=True, autoincrement=False, index=True),
    Column("amount", BigInteger, nullable=False),
)

receipt = Table(
    "receipt",
    metadata,
    Column("operation_id", Id, primary_key=True, autoincrement=False),
    Column("store_id", BigInteger, nullable=False),
    Column("till", String(64), nullable=False),
    Column("number", String(64), nullable=False),
    Column("business_date", Date, nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    # Lines, tenders and the allocation per line: read whole by returns and reports.
    Column("document", Document, nullable=False),
    # The sale of which this is a return.
    Column("base_id", BigInteger),
    Index(None, "store_id", "business_date"),
    Index(
        "ix_receipt_base",
        "base_id",
        postgresql_where=text("base_id IS NOT NULL"),
        sqlite_where=text("base_id IS NOT NULL"),
    ),
)

# Corrections above what one person may book alone, until another one decides.
pending_adjustment = Table(
    "pending_adjustment",
    metadata,
    Column("store_id", BigInteger, primary_key=True, autoincrement=False),
    Column("key", String(255), primary_key=True),
    Column("command", Document, nullable=False),
    Column("asked_by", String(64), nullable=False),
    Column("asked_at", Instant, nullable=False),
    # pending, approved, rejected
    Column("state", String(10), nullable=False),
    Column("decided_by", String(64)),
    Column("decided_at", Instant),
    Column("operation_id", BigInteger),
)

# What a system account took and gave on a day of its partner: reports need not read every entry.
roll_up = Table(
    "roll_up",
    metadata,
    Column("account_id", BigInteger, primary_key=True, autoincrement=False),
    Column("day", Date, primary_key=True),
    Column("debit", BigInteger, nullable=False),
    Column("credit", BigInteger, nullable=False),
    Column("entries", BigInteger, nullable=False),
)

# How far recurring work has come: each partner's roll-ups, ...
chore = Table(
    "chore",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("done_until", Instant, nullable=False),
)

# Every administrative change, in one chain: a row's hash covers the row before it.
audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("action", String(32), nullable=False),
    Column("store_id", BigInteger, nullable=False),
    Column("target", String(64), nullable=False),
    Column("details", Document, nullable=False),
    Column("hash", String(64), nullable=False),
)

id_block = Table(
    "id_block",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("next_id", BigInteger, nullable=False),
)

# The exchange ----------------------------------------------------------------------------------------------

data_key = Table(
    "data_key",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    # person, exchange_log, credentials
    Column("purpose", String(16), nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
)

# What has to reach a store or a partner system: one ordered queue a link. Written with its cause, read by workers.
outbox_message = Table(
    "outbox_message",
    metadata,
    # Of time (processing/outbox.py), so that a link's messages are in the order in which their causes were booked.
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("link", String(64), nullable=False),
    Column("kind", String(32), nullable=False),
    # Of what the message tells the absolute value; of two with the same subject only the later one counts.
    Column("subject", String(64)),
    Column("body", Document, nullable=False),
    # pending, delivered, dead, cancelled
    Column("state", String(10), nullable=False),
    Column("at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    # Why the last attempt failed, or why it was cancelled.
    Column("reason", String(255)),
    Column("done_at", Instant),
    # The message of which this is sent again.
    Column("replays_id", BigInteger),
    Index("ix_outbox_message_link", "link", "id"),
    Index(
        "ix_outbox_message_pending",
        "link",
        "id",
        postgresql_where=text("state = 'pending'"),
        sqlite_where=text("state = 'pending'"),
    ),
    Index(
        "ix_outbox_message_dead",
        "link",
        "id",
        postgresql_where=text("state = 'dead'"),
        sqlite_where=text("state = 'dead'"),
    ),
)

# The state of a link's queue (way "push"), of its asking for news ("pull") or of reading its files ("file"). Only
# workers and operators write it.
outbox_lane = Table(
    "outbox_lane",
    metadata,
    Column("link", String(64), primary_key=True),
    Column("way", String(4), primary_key=True),
    # Not before; empty: as soon as there is something.
    Column("due_at", Instant),
    # Whoever claims a lane has it until then; its completion counts only with the token of its claim.
    Column("lease_until", Instant),
    Column("token", BigInteger, nullable=False),
    Column("worker", String(64)),
    # Messages up to this one are under way while the lease lasts.
    Column("in_flight_to", BigInteger),
    # Up to here nothing is pending, as far as anybody knows: where to begin looking.
    Column("seek", BigInteger, nullable=False),
    # Since the last success; and how many of them, the last ones, were of the same kind and about the same head.
    Column("failures", Integer, nullable=False),
    Column("alike", Integer, nullable=False),
    # closed, open, half_open
    Column("breaker", String(10), nullable=False),
    Column("failed_since", Instant),
    Column("paused_until", Instant),
    Column("paused_by", String(64)),
    Column("pause_reason", String(255)),
    # The dead message behind which the others wait, where their order must not be broken.
    Column("blocked_by", BigInteger),
    Column("last_error", String(32)),
    Column("last_detail", String(255)),
    Column("last_failure_at", Instant),
    Column("last_success_at", Instant),
    # Where the next pull begins, or the next file.
    Column("state", Document),
    postgresql_with={"fillfactor": 50},
)

# Every attempt to deliver, with what was said and heard.
outbox_attempt = Table(
    "outbox_attempt",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("link", String(64), nullable=False),
    Column("way", String(4), nullable=False),
    # The first and the last message of it, and how many; none for a pull.
    Column("message_id", BigInteger),
    Column("last_id", BigInteger),
    Column("messages", Integer, nullable=False),
    Column("at", Instant, nullable=False),
    Column("took_us", BigInteger, nullable=False),
    # delivered, link_down, link_refused, bad_reply, not_yet, failed, lease_lost
    Column("outcome", String(32), nullable=False),
    Column("detail", String(255)),
    Column("worker", String(64), nullable=False),
    # The last call and its reply: zstd, then AES-256-GCM like the exchange log.
    Column("request", LargeBinary),
    Column("answer", LargeBinary),
    Index(None, "link", "id"),
    Index(None, "at"),
)

# Of absolute values the newest that was delivered.
outbox_version = Table(
    "outbox_version",
    metadata,
    Column("link", String(64), primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("subject", String(64), primary_key=True),
    Column("version", BigInteger, nullable=False),
    postgresql_with={"fillfactor": 70},
)

exchange_log = Table(
    "exchange_log",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("link", String(64), nullable=False),
    Column("at", Instant, nullable=False),
    Column("request_id", String(36), nullable=False),
    Column("route", String(64), nullable=False),
    # ok, a refusal's code, or "failed"
    Column("outcome", String(32), nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("took_us", Integer, nullable=False),
    # zstd, then AES-256-GCM with the key that the ciphertext names
    Column("request", LargeBinary, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Index(None, "link", "at"),
)

# Checksums of lines that a far side numbers once and for all, 64 of them in a row (processing/series.py).
series_block = Table(
    "series_block",
    metadata,
    Column("link", String(64), primary_key=True),
    Column("series", String(160), primary_key=True),
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    Column("checksums", LargeBinary, nullable=False),
)

# Where outside systems want to be told of something: address, secret and wishes, sealed (processing/subscribers.py).
subscriber = Table(
    "subscriber",
    metadata,
    Column("store_id", Integer, primary_key=True, autoincrement=False),
    Column("name", String(80), primary_key=True),
    Column("settings", LargeBinary, nullable=False),
    Column("changed_at", Instant, nullable=False),
)

api_client = Table(
    "api_client",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("name", String(64), nullable=False, unique=True),
    Column("key_sha256", LargeBinary(32), nullable=False, unique=True),
    Column("scopes", JSON, nullable=False),
    # Codes of the stores for which it may speak; empty: all.
    Column("stores", JSON),
    Column("requests_per_minute", Integer),
    Column("created_at", Instant, nullable=False),
    Column("revoked_at", Instant),
)

# People who log in to the pages ------------------------------------------------------------------------------

operator = Table(
    "operator",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("name", String(40), nullable=False, unique=True),
    # argon2id, with its parameters in it
    Column("password_hash", String(255), nullable=False),
    # The password is somebody else's idea: it is good for one sign-in.
    Column("must_change", Boolean, nullable=False),
    Column("role", String(16), nullable=False),
    # Codes of the stores and partners whose links this person sees; both empty: all.
    Column("stores", JSON),
    Column("partners", JSON),
    Column("language", String(2), nullable=False),
    Column("theme", String(5), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("suspended_at", Instant),
)

session = Table(
    "session",
    metadata,
    Column("token_sha256", LargeBinary(32), primary_key=True),
    Column("operator_id", Id, nullable=False, index=True),
    Column("source", String(64), nullable=False),
    Column("created_at", Instant, nullable=False),
    # Written down now and then; whoever is not seen for long is out.
    Column("seen_at", Instant, nullable=False),
    # Not beyond, however busy; earlier for who signs out.
    Column("ends_at", Instant, nullable=False),
)

sign_in_failure = Table(
    "sign_in_failure",
    metadata,
    # SHA-256 of a name, of where somebody came from, or of both: what is typed as a name may be a password.
    Column("subject", String(64), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", Instant, nullable=False, index=True),
)
