"""what has to reach stores and partner systems

Revision: 0004, after 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from processing.tables import Document, Instant

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "outbox_message",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("link", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=True),
        sa.Column("body", Document(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=255), nullable=True),
        sa.Column("done_at", Instant(), nullable=True),
        sa.Column("replays_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_message")),
    )
    op.create_index("ix_outbox_message_link", "outbox_message", ["link", "id"])
    for state in ("pending", "dead"):
        op.create_index(
            f"ix_outbox_message_{state}",
            "outbox_message",
            ["link", "id"],
            postgresql_where=sa.text(f"state = '{state}'"),
            sqlite_where=sa.text(f"state = '{state}'"),
        )
    op.create_table(
        "outbox_lane",
        sa.Column("link", sa.String(length=64), nullable=False),
        sa.Column("way", sa.String(length=4), nullable=False),
        sa.Column("due_at", Instant(), nullable=True),
        sa.Column("lease_until", Instant(), nullable=True),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.String(length=64), nullable=True),
        sa.Column("in_flight_to", sa.BigInteger(), nullable=True),
        sa.Column("seek", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("alike", sa.Integer(), nullable=False),
        sa.Column("breaker", sa.String(length=10), nullable=False),
        sa.Column("failed_since", Instant(), nullable=True),
        sa.Column("paused_until", Instant(), nullable=True),
        sa.Column("paused_by", sa.String(length=64), nullable=True),
        sa.Column("pause_reason", sa.String(length=255), nullable=True),
        sa.Column("blocked_by", sa.BigInteger(), nullable=True),
        sa.Column("last_error", sa.String(length=32), nullable=True),
        sa.Column("last_detail", sa.String(length=255), nullable=True),
        sa.Column("last_failure_at", Instant(), nullable=True),
        sa.Column("last_success_at", Instant(), nullable=True),
        sa.Column("state", Document(), nullable=True),
        sa.PrimaryKeyConstraint("link", "way", name=op.f("pk_outbox_lane")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "outbox_attempt",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("link", sa.String(length=64), nullable=False),
        sa.Column("way", sa.String(length=4), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=True),
        sa.Column("last_id", sa.BigInteger(), nullable=True),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("took_us", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.String(length=255), nullable=True),
        sa.Column("worker", sa.String(length=64), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=True),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_attempt")),
    )
    op.create_index(op.f("ix_outbox_attempt_link_id"), "outbox_attempt", ["link", "id"])
    op.create_index(op.f("ix_outbox_attempt_at"), "outbox_attempt", ["at"])
    op.create_table(
        "outbox_version",
        sa.Column("link", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("link", "kind", "subject", name=op.f("pk_outbox_version")),
        postgresql_with={"fillfactor": 70},
    )


def downgrade() -> None:
    for name in ("outbox_version", "outbox_attempt", "outbox_lane", "outbox_message"):
        op.drop_table(name)
