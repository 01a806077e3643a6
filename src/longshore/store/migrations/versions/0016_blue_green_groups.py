"""between which Auto Scaling groups blue/green deployments are."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("deployments", sa.Column("replaced_groups", sa.JSON()))
    op.add_column("deployments", sa.Column("copied_group", sa.String(length=255)))
