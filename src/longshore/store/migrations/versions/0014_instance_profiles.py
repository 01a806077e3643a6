"""instance profiles, by which instances of onebox's EC2 get a role."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.create_table(
        "iam_instance_profiles",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("folded_name", sa.String(length=128), nullable=False),
        sa.Column("path", sa.String(length=512), nullable=False),
        sa.Column("create_time", sa.Float(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("role_id", sa.String(length=32)),
        sa.ForeignKeyConstraint(
            ["role_id"], ["iam_principals.id"], name=op.f("fk_iam_instance_profiles_role_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_iam_instance_profiles")),
    )
    op.create_index(
        op.f("ix_iam_instance_profiles_account_folded_name"),
        "iam_instance_profiles",
        ["account", "folded_name"],
        unique=True,
    )
    op.create_index(op.f("ix_iam_instance_profiles_role_id"), "iam_instance_profiles", ["role_id"])
