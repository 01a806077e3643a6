"""deployments that go zone by zone."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("targets", sa.Column("zone", sa.String(length=64)))
    has_zone = sa.text("zone IS NOT NULL")
    op.create_index(
        "ix_targets_zone",
        "targets",
        ["deployment_id", "zone", "status", "turn", "target_id"],
        sqlite_where=has_zone,
        postgresql_where=has_zone,
    )
