"""the first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "access_keys",
        sa.Column("access_key_id", sa.String(length=128), nullable=False),
        sa.Column("secret_access_key", sa.String(length=128), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("principal_arn", sa.String(length=512), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("create_time", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("access_key_id", name=op.f("pk_access_keys")),
    )
    with op.batch_alter_table("access_keys", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_access_keys_account_principal_arn"), ["account", "principal_arn"], unique=False
        )

    op.create_table(
        "applications",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("compute_platform", sa.String(length=16), nullable=False),
        sa.Column("create_time", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_applications")),
    )
    with op.batch_alter_table("applications", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_applications_account_region_name"), ["account", "region", "name"], unique=True
        )

    op.create_table(
        "deployment_configs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("compute_platform", sa.String(length=16), nullable=False),
        sa.Column("create_time", sa.Float(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployment_configs")),
    )
    with op.batch_alter_table("deployment_configs", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_deployment_configs_account_region_name"), ["account", "region", "name"], unique=True
        )

    op.create_table(
        "deployments",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=64), nullable=False),
        sa.Column("application_id", sa.String(length=36), nullable=False),
        sa.Column("group_id", sa.String(length=36), nullable=False),
        sa.Column("application_name", sa.String(length=100), nullable=False),
        sa.Column("group_name", sa.String(length=100), nullable=False),
        sa.Column("compute_platform", sa.String(length=16), nullable=False),
        sa.Column("config_name", sa.String(length=100), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("creator", sa.String(length=64), nullable=False),
        sa.Column("create_time", sa.Float(), nullable=False),
        sa.Column("start_time", sa.Float(), nullable=True),
        sa.Column("complete_time", sa.Float(), nullable=True),
        sa.Column("revision", sa.JSON(), nullable=False),
        sa.Column("revision_identity", sa.Text(), nullable=False),
        sa.Column("previous_revision", sa.JSON(), nullable=True),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("rollback_info", sa.JSON(), nullable=True),
        sa.Column("required_healthy", sa.Integer(), nullable=True),
        sa.Column("total_targets", sa.Integer(), nullable=True),
        sa.Column("bundle", sa.JSON(), nullable=True),
        sa.Column("stop_requested_by", sa.Text(), nullable=True),
        sa.Column("wake_at", sa.Float(), nullable=True),
        sa.Column("lease_owner", sa.String(length=64), nullable=True),
        sa.Column("lease_until", sa.Float(), nullable=True),
        sa.Column("fence", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployments")),
    )
    with op.batch_alter_table("deployments", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_deployments_account_region_create_time_id"),
            ["account", "region", "create_time", "id"],
            unique=False,
        )
        batch_op.create_index(batch_op.f("ix_deployments_application_id"), ["application_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_deployments_group_id_create_time_id"), ["group_id", "create_time", "id"], unique=False
        )
        batch_op.create_index(
            "ix_deployments_wake_at",
            ["wake_at"],
            unique=False,
            sqlite_where=sa.text("wake_at IS NOT NULL"),
            postgresql_where=sa.text("wake_at IS NOT NULL"),
        )

    op.create_table(
        "instances",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("arn", sa.Text(), nullable=False),
        sa.Column("iam_user_arn", sa.Text(), nullable=True),
        sa.Column("iam_session_arn", sa.Text(), nullable=True),
        sa.Column("register_time", sa.Float(), nullable=False),
        sa.Column("deregister_time", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instances")),
    )
    with op.batch_alter_table("instances", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_instances_account_region_iam_session_arn"),
            ["account", "region", "iam_session_arn"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_instances_account_region_iam_user_arn"), ["account", "region", "iam_user_arn"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_instances_account_region_name"), ["account", "region", "name"], unique=True
        )

    op.create_table(
        "resource_tags",
        sa.Column("resource_id", sa.String(length=36), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("value", sa.String(length=256), nullable=False),
        sa.PrimaryKeyConstraint("resource_id", "key", name=op.f("pk_resource_tags")),
    )
    op.create_table(
        "server_secrets",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_server_secrets")),
    )
    op.create_table(
        "deployment_groups",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=64), nullable=False),
        sa.Column("application_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("deployment_config_name", sa.String(length=100), nullable=False),
        sa.Column("service_role_arn", sa.Text(), nullable=False),
        sa.Column("create_time", sa.Float(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("target_revision", sa.JSON(), nullable=True),
        sa.Column("target_revision_identity", sa.Text(), nullable=True),
        sa.Column("last_successful_deployment_id", sa.String(length=16), nullable=True),
        sa.Column("last_attempted_deployment_id", sa.String(length=16), nullable=True),
        sa.Column("active_deployment_id", sa.String(length=16), nullable=True),
        sa.ForeignKeyConstraint(
            ["application_id"],
            ["applications.id"],
            name=op.f("fk_deployment_groups_application_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployment_groups")),
    )
    with op.batch_alter_table("deployment_groups", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_deployment_groups_account_region_deployment_config_name"),
            ["account", "region", "deployment_config_name"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_deployment_groups_application_id_name"), ["application_id", "name"], unique=True
        )

    op.create_table(
        "instance_tags",
        sa.Column("instance_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("value", sa.String(length=256), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instances.id"], name=op.f("fk_instance_tags_instance_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("instance_id", "key", "value", name=op.f("pk_instance_tags")),
    )
    op.create_table(
        "revisions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("application_id", sa.String(length=36), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("location", sa.JSON(), nullable=False),
        sa.Column("revision_type", sa.String(length=32), nullable=False),
        sa.Column("s3_bucket", sa.Text(), nullable=True),
        sa.Column("s3_key", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("register_time", sa.Float(), nullable=False),
        sa.Column("first_used_time", sa.Float(), nullable=True),
        sa.Column("last_used_time", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["application_id"], ["applications.id"], name=op.f("fk_revisions_application_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revisions")),
    )
    with op.batch_alter_table("revisions", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_revisions_application_id_identity"), ["application_id", "identity"], unique=True
        )

    op.create_table(
        "targets",
        sa.Column("deployment_id", sa.String(length=16), nullable=False),
        sa.Column("target_id", sa.String(length=100), nullable=False),
        sa.Column("target_arn", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("command", sa.String(length=8), nullable=False),
        sa.Column("attempt", sa.String(length=32), nullable=False),
        sa.Column("deadline", sa.Float(), nullable=True),
        sa.Column("halted", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("forgives_stop_failures", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("last_updated", sa.Float(), nullable=True),
        sa.Column("events", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment_id"], ["deployments.id"], name=op.f("fk_targets_deployment_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("deployment_id", "target_id", name=op.f("pk_targets")),
    )
    with op.batch_alter_table("targets", schema=None) as batch_op:
        batch_op.create_index(
            "ix_targets_deadline",
            ["deployment_id", "deadline"],
            unique=False,
            sqlite_where=sa.text("deadline IS NOT NULL"),
            postgresql_where=sa.text("deadline IS NOT NULL"),
        )
        batch_op.create_index(
            batch_op.f("ix_targets_deployment_id_status_turn_target_id"),
            ["deployment_id", "status", "turn", "target_id"],
            unique=False,
        )
        batch_op.create_index(batch_op.f("ix_targets_host_deployment_id"), ["host", "deployment_id"], unique=False)
        batch_op.create_index(
            "ix_targets_ready",
            ["host"],
            unique=False,
            sqlite_where=sa.text("command = 'ready'"),
            postgresql_where=sa.text("command = 'ready'"),
        )

    op.create_table(
        "group_instances",
        sa.Column("group_id", sa.String(length=36), nullable=False),
        sa.Column("target_id", sa.String(length=100), nullable=False),
        sa.Column("healthy", sa.Boolean(), nullable=False),
        sa.Column("revision_identity", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["group_id"], ["deployment_groups.id"], name=op.f("fk_group_instances_group_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("group_id", "target_id", name=op.f("pk_group_instances")),
    )
