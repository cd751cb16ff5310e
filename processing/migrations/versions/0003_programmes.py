"""what wallets do, and their tiers

Revision: 0003, after 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "activity",
        sa.Column("wallet_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("name", sa.String(length=160), nullable=False),
        sa.Column("turnover_minor", sa.BigInteger(), nullable=False),
        sa.Column("visits", sa.BigInteger(), nullable=False),
        sa.Column("earned", sa.BigInteger(), nullable=False),
        sa.Column("redeemed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("wallet_id", "day", "name", name=op.f("pk_activity")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_table(
        "tally",
        sa.Column("subject", sa.String(length=160), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("turnover_minor", sa.BigInteger(), nullable=False),
        sa.Column("receipts", sa.BigInteger(), nullable=False),
        sa.Column("earned", sa.BigInteger(), nullable=False),
        sa.Column("redeemed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "day", name=op.f("pk_tally")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "membership",
        sa.Column("wallet_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("programme", sa.String(length=64), nullable=False),
        sa.Column("tier", sa.String(length=64), nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("review_on", sa.Date(), nullable=True),
        sa.Column("counts_from", sa.Date(), nullable=True),
        sa.Column("credit", sa.BigInteger(), nullable=False),
        sa.Column("raised_by", sa.BigInteger(), nullable=True),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("look_on", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("wallet_id", "programme", name=op.f("pk_membership")),
    )
    op.create_index(
        "ix_membership_look",
        "membership",
        ["look_on"],
        unique=False,
        postgresql_where=sa.text("look_on IS NOT NULL"),
        sqlite_where=sa.text("look_on IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_membership_look",
        table_name="membership",
        postgresql_where=sa.text("look_on IS NOT NULL"),
        sqlite_where=sa.text("look_on IS NOT NULL"),
    )
    op.drop_table("membership")
    op.drop_table("tally")
    op.drop_table("activity")
