"""how far blue/green deployments have come, and on which side their hosts are."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("deployments", sa.Column("phase", sa.String(length=16)))
    op.add_column("deployments", sa.Column("phase_time", sa.Float()))
    op.add_column("deployments", sa.Column("continued", sa.String(length=16)))
    op.add_column("deployments", sa.Column("status_message", sa.Text()))
    op.add_column("targets", sa.Column("label", sa.String(length=8)))
