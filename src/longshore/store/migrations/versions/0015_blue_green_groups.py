"""between which Auto Scaling groups blue/green deployments are."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("deployments", sa.Column("replaced_groups", sa.JSON()))
    op.add_column("deployments", sa.Column("copied_group", sa.String(length=255)))
