"""an index by which deployments that ended long ago are found."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_index(op.f("ix_deployments_complete_time"), "deployments", ["complete_time"])
