"""a look at a deployment that changes no index."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.add_column("deployments", sa.Column("asked_at", sa.Float()))
    # While it was looked at, when to look next used to be the lease's end.
    op.execute("UPDATE deployments SET wake_at = create_time WHERE lease_until IS NOT NULL AND wake_at IS NOT NULL")
    op.drop_index("ix_deployments_complete_time", "deployments")
    has_ended = sa.text("complete_time IS NOT NULL")
    op.create_index(
        "ix_deployments_complete_time",
        "deployments",
        ["complete_time"],
        sqlite_where=has_ended,
        postgresql_where=has_ended,
    )
    if op.get_context().dialect.name == "postgresql":
        # Room for the next version of a row on its own page: only there it leaves the indexes alone.
        op.execute("ALTER TABLE deployments SET (fillfactor = 50)")
        op.execute("ALTER TABLE deployment_groups SET (fillfactor = 80)")
