"""indexes for what was found by walking: deployments by status, active ones, revisions in their orders."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    for table, columns in (
        ("deployment_groups", ["application_id", "target_revision_identity"]),
        ("revisions", ["application_id", "id"]),
        ("revisions", ["application_id", "register_time", "id"]),
        ("deployments", ["account", "region", "status", "create_time", "id"]),
        ("deployments", ["group_id", "status", "create_time", "id"]),
    ):
        op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, columns)
    is_active = sa.text("wake_at IS NOT NULL")
    op.create_index(
        "ix_deployments_active",
        "deployments",
        ["account", "region", "config_name"],
        sqlite_where=is_active,
        postgresql_where=is_active,
    )
