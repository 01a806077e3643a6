"""environment variables that a deployment gives its hooks."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("deployments", sa.Column("parameters", sa.JSON(), nullable=False, server_default=sa.text("'{}'")))
