"""books and exchange

Revision: 0001, after
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from processing import tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "api_client",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("key_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", tables.Instant(timezone=True), nullable=False),
        sa.Column("revoked_at", tables.Instant(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_client")),
        sa.UniqueConstraint("key_sha256", name=op.f("uq_api_client_key_sha256")),
        sa.UniqueConstraint("name", name=op.f("uq_api_client_name")),
    )
    op.create_table(
        "data_key",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", tables.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_key")),
    )
    op.create_table(
        "entry",
        sa.Column("operation_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("n", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("lot_id", sa.BigInteger(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("effective_at", tables.Instant(timezone=True), nullable=False),
        sa.Column("booked_at", tables.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("operation_id", "n", name=op.f("pk_entry")),
    )
    op.create_index(
        "ix_entry_wallet",
        "entry",
        ["account_id", "effective_at"],
        unique=False,
        postgresql_where=sa.text("lot_id IS NOT NULL"),
        sqlite_where=sa.text("lot_id IS NOT NULL"),
    )
    op.create_table(
        "exchange_log",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("link", sa.String(length=64), nullable=False),
        sa.Column("at", tables.Instant(timezone=True), nullable=False),
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("route", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("took_us", sa.Integer(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exchange_log")),
    )
    op.create_index(op.f("ix_exchange_log_link_at"), "exchange_log", ["link", "at"], unique=False)
    op.create_table(
        "id_block",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("next_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_id_block")),
    )
    op.create_table(
        "lot",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("issuer_id", sa.BigInteger(), nullable=False),
        sa.Column("price_millionths", sa.BigInteger(), nullable=False),
        sa.Column("remaining", sa.BigInteger(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("available_from", tables.Instant(timezone=True), nullable=False),
        sa.Column("expires_at", tables.Instant(timezone=True), nullable=True),
        sa.Column("is_debt", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lot")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_lot_open",
        "lot",
        ["account_id"],
        unique=False,
        postgresql_where=sa.text("is_open"),
        sqlite_where=sa.text("is_open"),
    )
    op.create_table(
        "operation",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("store_id", sa.BigInteger(), nullable=False),
        sa.Column("reverses_id", sa.BigInteger(), nullable=True),
        sa.Column("programme_version_id", sa.BigInteger(), nullable=True),
        sa.Column("actor", sa.String(length=64), nullable=True),
        sa.Column("flags", sa.String(), nullable=True),
        sa.Column("explanation", tables.Document(), nullable=True),
        sa.Column("effective_at", tables.Instant(timezone=True), nullable=False),
        sa.Column("booked_at", tables.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operation")),
    )
    op.create_table(
        "partner",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_partner")),
        sa.UniqueConstraint("code", name=op.f("uq_partner_code")),
    )
    op.create_table(
        "product",
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_product")),
    )
    op.create_table(
        "programme_version",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("activated_at", tables.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_programme_version")),
    )
    op.create_index(
        op.f("ix_programme_version_code_activated_at"), "programme_version", ["code", "activated_at"], unique=False
    )
    op.create_table(
        "receipt",
        sa.Column(
            "operation_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("store_id", sa.BigInteger(), nullable=False),
        sa.Column("till", sa.String(length=64), nullable=False),
        sa.Column("number", sa.String(length=64), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("document", tables.Document(), nullable=False),
        sa.PrimaryKeyConstraint("operation_id", name=op.f("pk_receipt")),
    )
    op.create_index(op.f("ix_receipt_store_id_business_date"), "receipt", ["store_id", "business_date"], unique=False)
    op.create_table(
        "request_key",
        sa.Column(
            "store_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("same_as", sa.String(length=255), nullable=True),
        sa.Column("state", sa.String(length=12), server_default=sa.text("'none'"), nullable=False),
        sa.Column("content", sa.String(length=64), nullable=True),
        sa.Column("stamp", tables.Instant(timezone=True), nullable=True),
        sa.Column("operation_id", sa.BigInteger(), nullable=True),
        sa.Column("answer", sa.String(), nullable=True),
        sa.Column("void_stamp", tables.Instant(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("store_id", "key", name=op.f("pk_request_key")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_table(
        "unit",
        sa.Column("code", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("scale", sa.SmallInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('money', 'points')", name=op.f("ck_unit_kind")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_unit")),
    )
    op.create_table(
        "wallet",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("merged_into", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("created_at", tables.Instant(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["merged_into"], ["wallet.id"], name=op.f("fk_wallet_merged_into")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wallet")),
    )
    op.create_table(
        "account",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("unit", sa.String(length=16), nullable=False),
        sa.Column("wallet_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("partner_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("balance", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("(wallet_id IS NULL) <> (partner_id IS NULL)", name=op.f("ck_account_owner")),
        sa.ForeignKeyConstraint(["partner_id"], ["partner.id"], name=op.f("fk_account_partner_id")),
        sa.ForeignKeyConstraint(["unit"], ["unit.code"], name=op.f("fk_account_unit")),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallet.id"], name=op.f("fk_account_wallet_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("partner_id", "kind", "unit", name=op.f("uq_account_partner_id_kind_unit")),
        sa.UniqueConstraint("wallet_id", "unit", name=op.f("uq_account_wallet_id_unit")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_table(
        "card",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("wallet_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("product", sa.String(length=64), nullable=False),
        sa.Column("number", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("issued_at", tables.Instant(timezone=True), nullable=False),
        sa.Column("activated_at", tables.Instant(timezone=True), nullable=True),
        sa.Column("expires_at", tables.Instant(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('issued', 'active', 'blocked', 'expired', 'replaced', 'closed')", name=op.f("ck_card_status")
        ),
        sa.ForeignKeyConstraint(["product"], ["product.code"], name=op.f("fk_card_product")),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallet.id"], name=op.f("fk_card_wallet_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_card")),
    )
    op.create_index(op.f("ix_card_wallet_id"), "card", ["wallet_id"], unique=False)
    op.create_table(
        "holder",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("wallet_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("created_at", tables.Instant(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["wallet_id"], ["wallet.id"], name=op.f("fk_holder_wallet_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holder")),
        sa.UniqueConstraint("wallet_id", name=op.f("uq_holder_wallet_id")),
    )
    op.create_table(
        "store",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("partner_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["partner_id"], ["partner.id"], name=op.f("fk_store_partner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_store")),
        sa.UniqueConstraint("code", name=op.f("uq_store_code")),
    )
    op.create_table(
        "contact",
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("blind_index", sa.LargeBinary(length=16), nullable=False),
        sa.Column("holder_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["holder_id"], ["holder.id"], name=op.f("fk_contact_holder_id")),
        sa.PrimaryKeyConstraint("kind", "blind_index", name=op.f("pk_contact")),
    )
    op.create_index(op.f("ix_contact_holder_id"), "contact", ["holder_id"], unique=False)
    op.create_table(
        "identifier",
        sa.Column("value", sa.String(length=255), nullable=False),
        sa.Column("scheme", sa.String(length=32), nullable=False),
        sa.Column("card_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["card_id"], ["card.id"], name=op.f("fk_identifier_card_id")),
        sa.PrimaryKeyConstraint("value", "scheme", name=op.f("pk_identifier")),
    )
    op.create_index(op.f("ix_identifier_card_id"), "identifier", ["card_id"], unique=False)
    op.create_table(
        "person",
        sa.Column("holder_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("phone", sa.LargeBinary(), nullable=True),
        sa.Column("email", sa.LargeBinary(), nullable=True),
        sa.Column("birthday", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["holder_id"], ["holder.id"], name=op.f("fk_person_holder_id")),
        sa.PrimaryKeyConstraint("holder_id", name=op.f("pk_person")),
    )
    op.create_table(
        "till",
        sa.Column("store_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("first_seen_at", tables.Instant(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["store_id"], ["store.id"], name=op.f("fk_till_store_id")),
        sa.PrimaryKeyConstraint("store_id", "code", name=op.f("pk_till")),
    )


def downgrade() -> None:

    op.drop_table("till")
    op.drop_table("person")
    op.drop_index(op.f("ix_identifier_card_id"), table_name="identifier")
    op.drop_table("identifier")
    op.drop_index(op.f("ix_contact_holder_id"), table_name="contact")
    op.drop_table("contact")
    op.drop_table("store")
    op.drop_table("holder")
    op.drop_index(op.f("ix_card_wallet_id"), table_name="card")
    op.drop_table("card")
    op.drop_table("account")
    op.drop_table("wallet")
    op.drop_table("unit")
    op.drop_table("request_key")
    op.drop_index(op.f("ix_receipt_store_id_business_date"), table_name="receipt")
    op.drop_table("receipt")
    op.drop_index(op.f("ix_programme_version_code_activated_at"), table_name="programme_version")
    op.drop_table("programme_version")
    op.drop_table("product")
    op.drop_table("partner")
    op.drop_table("operation")
    op.drop_index("ix_lot_open", table_name="lot", postgresql_where=sa.text("is_open"), sqlite_where=sa.text("is_open"))
    op.drop_table("lot")
    op.drop_table("id_block")
    op.drop_index(op.f("ix_exchange_log_link_at"), table_name="exchange_log")
    op.drop_table("exchange_log")
    op.drop_index(
        "ix_entry_wallet",
        table_name="entry",
        postgresql_where=sa.text("lot_id IS NOT NULL"),
        sqlite_where=sa.text("lot_id IS NOT NULL"),
    )
    op.drop_table("entry")
    op.drop_table("data_key")
    op.drop_table("api_client")
