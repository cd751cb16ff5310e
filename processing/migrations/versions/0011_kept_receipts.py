"""how long receipts of other systems are kept

Revision: 0011, after 0010
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_learned_receipt_at"), "learned_receipt", ["at"], if_not_exists=True)


def downgrade() -> None:
    op.drop_index(op.f("ix_learned_receipt_at"), table_name="learned_receipt")
