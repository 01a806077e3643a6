"""by which service role notifications go out, and what was a deployment's group's when that is gone."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column("notifications", sa.Column("role_arn", sa.Text(), nullable=False, server_default=sa.text("''")))
    op.add_column("deployments", sa.Column("service_role_arn", sa.Text()))
    # What waits to be delivered is of a group that names the topic.
    op.execute(
        "UPDATE notifications SET role_arn = coalesce((SELECT min(g.service_role_arn) FROM deployment_groups g"
        " WHERE g.account = notifications.account AND g.region = notifications.region"
        " AND CAST(g.document AS TEXT) LIKE '%' || notifications.topic_arn || '%'), '')"
    )
