"""lines of files that were read

Revision: 0006, after 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "series_block",
        sa.Column("link", sa.String(length=64), nullable=False),
        sa.Column("series", sa.String(length=160), nullable=False),
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("checksums", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("link", "series", "block", name=op.f("pk_series_block")),
    )


def downgrade() -> None:
    op.drop_table("series_block")
