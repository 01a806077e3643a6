"""what the engine has to do for hosts at load balancers."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("targets", sa.Column("taken_out", sa.Boolean(), server_default=sa.false(), nullable=False))
    is_at_balancers = sa.text("command IN ('engine', 'return')")
    op.create_index(
        "ix_targets_traffic",
        "targets",
        ["deployment_id"],
        sqlite_where=is_at_balancers,
        postgresql_where=is_at_balancers,
    )
