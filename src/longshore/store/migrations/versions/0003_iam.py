"""IAM users and roles, their policies, and temporary keys."""

import secrets
import string

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "iam_principals",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("folded_name", sa.String(length=64), nullable=False),
        sa.Column("path", sa.String(length=512), nullable=False),
        sa.Column("create_time", sa.Float(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("trust_policy", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("max_session_duration", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_iam_principals")),
    )
    op.create_index(
        op.f("ix_iam_principals_account_kind_folded_name"),
        "iam_principals",
        ["account", "kind", "folded_name"],
        unique=True,
    )
    op.create_table(
        "iam_inline_policies",
        sa.Column("principal_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["principal_id"],
            ["iam_principals.id"],
            name=op.f("fk_iam_inline_policies_principal_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("principal_id", "name", name=op.f("pk_iam_inline_policies")),
    )
    op.create_table(
        "iam_attached_policies",
        sa.Column("principal_id", sa.String(length=32), nullable=False),
        sa.Column("policy_arn", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["principal_id"],
            ["iam_principals.id"],
            name=op.f("fk_iam_attached_policies_principal_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("principal_id", "policy_arn", name=op.f("pk_iam_attached_policies")),
    )
    with op.batch_alter_table("access_keys", schema=None) as table:
        table.alter_column(
            "principal_arn", existing_type=sa.String(length=512), type_=sa.String(length=1024), existing_nullable=False
        )
        table.add_column(sa.Column("status", sa.String(length=16), nullable=False, server_default="Active"))
        table.add_column(sa.Column("principal_id", sa.String(length=32), nullable=True))
        table.add_column(sa.Column("last_used_time", sa.Float(), nullable=True))
        table.add_column(sa.Column("last_used_region", sa.String(length=64), nullable=True))
        table.add_column(sa.Column("last_used_service", sa.String(length=64), nullable=True))
        table.add_column(sa.Column("session_token", sa.Text(), nullable=True))
        table.add_column(sa.Column("expiration", sa.Float(), nullable=True))
        table.add_column(sa.Column("session_policies", sa.JSON(), nullable=True))
        table.create_index(table.f("ix_access_keys_principal_id"), ["principal_id"], unique=False)
        table.create_index(table.f("ix_access_keys_expiration"), ["expiration"], unique=False)
        table.create_foreign_key(
            table.f("fk_access_keys_principal_id"), "iam_principals", ["principal_id"], ["id"], ondelete="CASCADE"
        )
    _give_every_key_its_user()


def _give_every_key_its_user() -> None:
    """Until now a user was a name on a key. Each becomes a user, and keeps its ARN."""
    keys = sa.table(
        "access_keys",
        *map(sa.column, ("account", "principal_arn", "kind", "create_time", "principal_id")),
    )
    principals = sa.table(
        "iam_principals",
        *map(sa.column, ("id", "account", "kind", "name", "folded_name", "path", "create_time")),
        sa.column("tags", sa.JSON()),
    )
    connection = op.get_bind()
    holders = connection.execute(
        sa.select(keys.c.account, keys.c.principal_arn, sa.func.min(keys.c.create_time).label("since"))
        .where(keys.c.kind == "user")
        .group_by(keys.c.account, keys.c.principal_arn)
        .order_by(keys.c.account, keys.c.principal_arn)
    ).all()
    # A name that is in lower case needs the folded one: it has no other spelling to keep.
    taken = {(account, arn.rpartition("/")[2]) for account, arn, _ in holders if arn == arn.lower()}
    for account, arn, since in holders:
        path, _, name = arn.partition(":user")[2].rpartition("/")
        user_id = "AIDA" + "".join(secrets.choice(string.ascii_uppercase + "234567") for _ in range(17))
        folded = name.lower()
        # Names that differ by case alone could be had before: the others keep their own spelling.
        unique = name if name != folded and (account, folded) in taken else folded
        taken.add((account, folded))
        connection.execute(
            sa.insert(principals).values(
                id=user_id,
                account=account,
                kind="user",
                name=name,
                folded_name=unique,
                path=f"{path}/",
                create_time=since,
                tags={},
            )
        )
        connection.execute(
            sa.update(keys)
            .where(keys.c.account == account, keys.c.principal_arn == arn, keys.c.kind == "user")
            .values(principal_id=user_id)
        )
