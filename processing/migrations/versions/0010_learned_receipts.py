"""receipts that other systems keep

Revision: 0010, after 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from processing.tables import Document, Instant

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "learned_receipt",
        sa.Column("store_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document", sa.String(length=64), nullable=False),
        sa.Column("card_scheme", sa.String(length=32), nullable=True),
        sa.Column("card_value", sa.String(length=64), nullable=True),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("unit", sa.String(length=16), nullable=False),
        sa.Column("redeemed", sa.BigInteger(), nullable=False),
        sa.Column("earned", sa.BigInteger(), nullable=False),
        sa.Column("is_return", sa.Boolean(), nullable=False),
        sa.Column("sale", sa.String(length=64), nullable=False),
        sa.Column("till", sa.String(length=64), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=True),
        sa.Column("lines", Document(), nullable=False),
        sa.Column("is_withdrawn", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("store_id", "document", name=op.f("pk_learned_receipt")),
    )
    op.create_index(op.f("ix_learned_receipt_store_id_at"), "learned_receipt", ["store_id", "at"])


def downgrade() -> None:
    op.drop_index(op.f("ix_learned_receipt_store_id_at"), table_name="learned_receipt")
    op.drop_table("learned_receipt")
