"""what tills call goods

Revision: 0008, after 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from processing.tables import Instant

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "goods_name",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("thing", sa.String(length=128), nullable=False),
        sa.Column("category", sa.String(length=128), nullable=False),
        sa.Column("brand", sa.String(length=128), nullable=False),
        sa.Column("learned_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_goods_name")),
    )
    for column in ("thing", "category", "brand", "learned_at"):
        op.create_index(op.f(f"ix_goods_name_{column}"), "goods_name", [column])


def downgrade() -> None:
    op.drop_table("goods_name")
