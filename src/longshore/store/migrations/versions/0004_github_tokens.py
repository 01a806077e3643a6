"""tokens of GitHub, and which applications use them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "github_tokens",
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("create_time", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("account", "region", "name", name=op.f("pk_github_tokens")),
    )
    op.add_column("applications", sa.Column("github_token_name", sa.String(length=100), nullable=True))
