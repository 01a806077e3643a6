"""what triggers tell to topics."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "notifications",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=64), nullable=False),
        sa.Column("topic_arn", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("create_time", sa.Float(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
    )
    op.create_index(op.f("ix_notifications_next_try"), "notifications", ["next_try"])
    # Of deployments that began before, nobody is told.
    op.add_column("targets", sa.Column("told", sa.Integer(), nullable=False, server_default=sa.text("2")))
    is_untold = sa.text("told < 2")
    op.create_index(
        "ix_targets_untold",
        "targets",
        ["deployment_id", "status"],
        sqlite_where=is_untold,
        postgresql_where=is_untold,
    )
