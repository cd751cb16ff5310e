"""how long receipts of other systems are kept, and whose they are once a holder was erased

Revision: 0011, after 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# Of holders who were erased before: processing/learned_receipts.py, FORGET.
FORGET = """
UPDATE learned_receipt SET wallet_id = found.wallet_id, card_scheme = NULL, card_value = NULL
FROM (
    SELECT r.store_id, r.document, c.wallet_id
    FROM holder h JOIN card c ON c.wallet_id = h.wallet_id JOIN identifier i ON i.card_id = c.id
    JOIN learned_receipt r ON r.card_value = i.value AND r.card_scheme = i.scheme
    WHERE h.erased_at IS NOT NULL
) found
WHERE learned_receipt.store_id = found.store_id AND learned_receipt.document = found.document
"""


def upgrade() -> None:
    op.add_column("learned_receipt", sa.Column("wallet_id", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_learned_receipt_at"), "learned_receipt", ["at"], if_not_exists=True)
    op.create_index(op.f("ix_learned_receipt_card_value"), "learned_receipt", ["card_value"], if_not_exists=True)
    op.execute(FORGET)


def downgrade() -> None:
    op.drop_index(op.f("ix_learned_receipt_card_value"), table_name="learned_receipt")
    op.drop_index(op.f("ix_learned_receipt_at"), table_name="learned_receipt")
    op.drop_column("learned_receipt", "wallet_id")
