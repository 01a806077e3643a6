"""lifecycle hooks of Auto Scaling groups, who waits for them, and deployments to single instances."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "lifecycle_hooks",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=64), nullable=False),
        sa.Column("auto_scaling_group", sa.String(length=255), nullable=False),
        sa.Column("transition", sa.String(length=64), nullable=False),
        sa.Column("role_arn", sa.Text(), nullable=False),
        sa.Column("group_id", sa.String(length=36)),
        sa.Column("remove_at", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lifecycle_hooks")),
    )
    op.create_index(op.f("ix_lifecycle_hooks_group_id"), "lifecycle_hooks", ["group_id"])
    op.create_table(
        "held_instances",
        sa.Column("group_id", sa.String(length=36), nullable=False),
        sa.Column("hook", sa.String(length=255), nullable=False),
        sa.Column("instance_id", sa.String(length=100), nullable=False),
        sa.Column("deployment_id", sa.String(length=16)),
        sa.Column("is_answered", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("beat_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"],
            ["deployment_groups.id"],
            name=op.f("fk_held_instances_group_id_deployment_groups"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("group_id", "hook", "instance_id", name=op.f("pk_held_instances")),
    )
    op.create_table(
        "suspensions",
        sa.Column("deployment_id", sa.String(length=16), nullable=False),
        sa.Column("auto_scaling_group", sa.String(length=255), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=64), nullable=False),
        sa.Column("role_arn", sa.Text(), nullable=False),
        sa.Column("processes", sa.JSON(), nullable=False),
        sa.Column("is_done", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("deployment_id", "auto_scaling_group", name=op.f("pk_suspensions")),
    )
    op.create_index(op.f("ix_suspensions_auto_scaling_group"), "suspensions", ["auto_scaling_group"])
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.add_column("deployments", sa.Column("instance_id", sa.String(length=100)))
    op.add_column("deployments", sa.Column("root_deployment_id", sa.String(length=16)))
    op.create_index(
        "ix_deployments_root",
        "deployments",
        ["root_deployment_id"],
        sqlite_where=sa.text("root_deployment_id IS NOT NULL"),
        postgresql_where=sa.text("root_deployment_id IS NOT NULL"),
    )
