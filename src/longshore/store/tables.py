"""Every table. Times are epoch seconds; JSON columns hold the API's own spelling.

Each row belongs to an (account, region), by itself or through the row it hangs on.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    false,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _scope() -> tuple[Column[str], Column[str]]:
    return Column("account", String(12), nullable=False), Column("region", String(64), nullable=False)


def _partial(name: str, *columns: str, where: str) -> Index:
    """An index of the rows for which this is true."""
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


#: Values the control plane makes once and keeps: signing keys, the pagination secret.
server_secrets = Table(
    "server_secrets",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

#: IAM users and roles.
iam_principals = Table(
    "iam_principals",
    metadata,
    #: ``AIDA…`` or ``AROA…``: never used again, unlike a name.
    Column("id", String(32), primary_key=True),
    Column("account", String(12), nullable=False),
    #: user or role.
    Column("kind", String(16), nullable=False),
    Column("name", String(64), nullable=False),
    #: The name in lower case: no two may differ by case alone.
    Column("folded_name", String(64), nullable=False),
    Column("path", String(512), nullable=False),
    Column("create_time", Float, nullable=False),
    #: Value by key.
    Column("tags", JSON, nullable=False),
    #: A role's trust policy, as it was given; NULL for a user.
    Column("trust_policy", Text),
    Column("description", Text),
    #: Seconds a session of a role may last; NULL for a user.
    Column("max_session_duration", Integer),
    Index(None, "account", "kind", "folded_name", unique=True),
)

#: Policies written into a user or role, as they were given.
iam_inline_policies = Table(
    "iam_inline_policies",
    metadata,
    Column("principal_id", String(32), ForeignKey("iam_principals.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("document", Text, nullable=False),
)

#: Managed policies attached to a user or role.
iam_attached_policies = Table(
    "iam_attached_policies",
    metadata,
    Column("principal_id", String(32), ForeignKey("iam_principals.id", ondelete="CASCADE"), primary_key=True),
    Column("policy_arn", String(255), primary_key=True),
)

#: Instance profiles: by which the instances of onebox's EC2 get a role.
iam_instance_profiles = Table(
    "iam_instance_profiles",
    metadata,
    #: ``AIPA…``.
    Column("id", String(32), primary_key=True),
    Column("account", String(12), nullable=False),
    Column("name", String(128), nullable=False),
    #: The name in lower case: no two may differ by case alone.
    Column("folded_name", String(128), nullable=False),
    Column("path", String(512), nullable=False),
    Column("create_time", Float, nullable=False),
    #: Value by key.
    Column("tags", JSON, nullable=False),
    #: The role in it; NULL while there is none.
    Column("role_id", String(32), ForeignKey("iam_principals.id", ondelete="SET NULL")),
    Index(None, "account", "folded_name", unique=True),
    Index(None, "role_id"),
)

access_keys = Table(
    "access_keys",
    metadata,
    Column("access_key_id", String(128), primary_key=True),
    Column("secret_access_key", String(128), nullable=False),
    Column("account", String(12), nullable=False),
    #: Of the user, or of a role's session.
    Column("principal_arn", String(1024), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("create_time", Float, nullable=False),
    #: Active or Inactive.
    Column("status", String(16), nullable=False, server_default="Active"),
    #: The user, or the role assumed; NULL for the account's owner and the control plane itself.
    Column("principal_id", String(32), ForeignKey("iam_principals.id", ondelete="CASCADE")),
    Column("last_used_time", Float),
    Column("last_used_region", String(64)),
    Column("last_used_service", String(64)),
    #: Of a temporary key: what must come with its signatures, when it ends, and the policies it is limited to.
    Column("session_token", Text),
    Column("expiration", Float),
    Column("session_policies", JSON(none_as_null=True)),
    Index(None, "account", "principal_arn"),
    Index(None, "principal_id"),
    Index(None, "expiration"),
)

applications = Table(
    "applications",
    metadata,
    Column("id", String(36), primary_key=True),
    *_scope(),
    Column("name", String(100), nullable=False),
    Column("compute_platform", String(16), nullable=False),
    Column("create_time", Float, nullable=False),
    #: The token by which its revisions at GitHub are read.
    Column("github_token_name", String(100)),
    Index(None, "account", "region", "name", unique=True),
)

#: Tokens by which hosts read private repositories of GitHub.
github_tokens = Table(
    "github_tokens",
    metadata,
    Column("account", String(12), primary_key=True),
    Column("region", String(64), primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("token", Text, nullable=False),
    Column("create_time", Float, nullable=False),
)

deployment_configs = Table(
    "deployment_configs",
    metadata,
    Column("id", String(36), primary_key=True),
    *_scope(),
    Column("name", String(100), nullable=False),
    Column("compute_platform", String(16), nullable=False),
    Column("create_time", Float, nullable=False),
    #: minimumHealthyHosts, trafficRoutingConfig and zonalConfig as they were asked for.
    Column("document", JSON, nullable=False),
    Index(None, "account", "region", "name", unique=True),
)

#: What lets hosts enroll.
enrollment_tokens = Table(
    "enrollment_tokens",
    metadata,
    #: ``LSET…``: the access key id of who signs with it.
    Column("id", String(20), primary_key=True),
    *_scope(),
    #: What signatures are made with: the SHA-256 of the token's secret, which is kept nowhere.
    Column("signing_key", String(64), nullable=False),
    Column("name_pattern", String(100)),
    #: [key, value] of each tag that hosts may take; NULL: any.
    Column("tags", JSON(none_as_null=True)),
    Column("uses", Integer, nullable=False),
    Column("used", Integer, nullable=False, server_default=text("0")),
    Column("created_by", Text, nullable=False),
    Column("create_time", Float, nullable=False),
    Column("expire_time", Float, nullable=False),
    Column("revoke_time", Float),
    Index(None, "account", "region", "create_time", "id"),
)

#: Which hosts enrolled with a token.
enrollments = Table(
    "enrollments",
    metadata,
    Column("token_id", String(20), ForeignKey("enrollment_tokens.id", ondelete="CASCADE"), primary_key=True),
    Column("instance_name", String(100), primary_key=True),
    #: SHA-256 of what the host made up for this enrollment: only it can repeat the call.
    Column("client_token_hash", String(64), nullable=False),
    Column("time", Float, nullable=False),
)

deployment_groups = Table(
    "deployment_groups",
    metadata,
    Column("id", String(36), primary_key=True),
    *_scope(),
    Column("application_id", String(36), ForeignKey("applications.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(100), nullable=False),
    Column("deployment_config_name", String(100), nullable=False),
    Column("service_role_arn", Text, nullable=False),
    Column("create_time", Float, nullable=False),
    #: The other members of DeploymentGroupInfo that a user sets, as they were asked for.
    Column("document", JSON, nullable=False),
    #: Revision of the last successful deployment (S7.24), and its identity (domain.revision.identity).
    Column("target_revision", JSON),
    Column("target_revision_identity", Text),
    Column("last_successful_deployment_id", String(16)),
    Column("last_attempted_deployment_id", String(16)),
    #: The deployment that holds the group until it ends (S6.2).
    Column("active_deployment_id", String(16)),
    Index(None, "application_id", "name", unique=True),
    Index(None, "account", "region", "deployment_config_name"),
    Index(None, "application_id", "target_revision_identity"),
)

revisions = Table(
    "revisions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("application_id", String(36), ForeignKey("applications.id", ondelete="CASCADE"), nullable=False),
    #: domain.revision.identity of the location.
    Column("identity", Text, nullable=False),
    Column("location", JSON, nullable=False),
    Column("revision_type", String(32), nullable=False),
    Column("s3_bucket", Text),
    Column("s3_key", Text),
    Column("description", Text),
    Column("register_time", Float, nullable=False),
    Column("first_used_time", Float),
    Column("last_used_time", Float),
    Index(None, "application_id", "identity", unique=True),
    Index(None, "application_id", "id"),
    Index(None, "application_id", "register_time", "id"),
)

#: On-premises instances. A deregistered one keeps its row until its name is registered again (S8.6).
instances = Table(
    "instances",
    metadata,
    Column("id", Integer, primary_key=True),
    *_scope(),
    Column("name", String(100), nullable=False),
    Column("arn", Text, nullable=False),
    Column("iam_user_arn", Text),
    Column("iam_session_arn", Text),
    Column("register_time", Float, nullable=False),
    Column("deregister_time", Float),
    Index(None, "account", "region", "name", unique=True),
    Index(None, "account", "region", "iam_user_arn"),
    Index(None, "account", "region", "iam_session_arn"),
)

instance_tags = Table(
    "instance_tags",
    metadata,
    Column("instance_id", Integer, ForeignKey("instances.id", ondelete="CASCADE"), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("value", String(256), primary_key=True),
)

#: Tags of applications and deployment groups (TagResource), by the resource's id, so that they survive a rename.
resource_tags = Table(
    "resource_tags",
    metadata,
    Column("resource_id", String(36), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("value", String(256), nullable=False),
)

#: What a deployment group knows of each host it has deployed to (S2.11).
group_instances = Table(
    "group_instances",
    metadata,
    Column("group_id", String(36), ForeignKey("deployment_groups.id", ondelete="CASCADE"), primary_key=True),
    Column("target_id", String(100), primary_key=True),
    Column("healthy", Boolean, nullable=False),
    #: Identity of the revision that runs there; NULL where nobody knows.
    Column("revision_identity", Text),
)

deployments = Table(
    "deployments",
    metadata,
    Column("id", String(16), primary_key=True),
    *_scope(),
    Column("application_id", String(36), nullable=False),
    Column("group_id", String(36), nullable=False),
    #: Names, kept here and renamed along: the application or group may be gone by the time somebody asks.
    Column("application_name", String(100), nullable=False),
    Column("group_name", String(100), nullable=False),
    Column("compute_platform", String(16), nullable=False),
    Column("config_name", String(100), nullable=False),
    Column("status", String(16), nullable=False),
    Column("creator", String(64), nullable=False),
    Column("create_time", Float, nullable=False),
    Column("start_time", Float),
    Column("complete_time", Float),
    #: The revision's location and identity; the group's target revision when this was created.
    Column("revision", JSON, nullable=False),
    Column("revision_identity", Text, nullable=False),
    Column("previous_revision", JSON),
    #: The rest of what was asked for, and of what the group said then, as DeploymentInfo spells it.
    Column("document", JSON, nullable=False),
    #: Environment variables for its hooks, value by name.
    Column("parameters", JSON, nullable=False, server_default=text("'{}'")),
    Column("error_code", String(64)),
    Column("error_message", Text),
    Column("rollback_info", JSON),
    #: Hosts that must stay healthy, fixed at the start (S2.3).
    Column("required_healthy", Integer),
    Column("total_targets", Integer),
    #: Where agents get the bundle, and what the engine found it to be (domain.bundle.BundleFacts); set at the start.
    Column("bundle", JSON),
    #: Who asked for a stop; set means stop.
    Column("stop_requested_by", Text),
    #: The one instance that a deployment for an Auto Scaling group's hook is for: it does not hold its group (S6.3).
    Column("instance_id", String(100)),
    #: The deployment whose late joiners this one brings up to date (S9.6).
    Column("root_deployment_id", String(16)),
    #: Of a blue/green deployment: its phase and when that began (domain.blue_green), and the wait that shall end.
    Column("phase", String(16)),
    Column("phase_time", Float),
    Column("continued", String(16)),
    #: Names of the Auto Scaling groups whose place its replacements take.
    Column("replaced_groups", JSON(none_as_null=True)),
    #: The one that was made for them.
    Column("copied_group", String(255)),
    #: What there is to say of one that went well, or goes on.
    Column("status_message", Text),
    #: Of its group, if that was deleted under it: to put back what was taken out of load balancers.
    Column("service_role_arn", Text),
    # The engine's own: when to look next, who is looking, and a number that grows with each claim.
    Column("wake_at", Float),
    Column("lease_owner", String(64)),
    Column("lease_until", Float),
    #: When somebody asked for a look; none has begun since.
    Column("asked_at", Float),
    Column("fence", Integer, nullable=False, server_default=text("0")),
    Index(None, "account", "region", "create_time", "id"),
    Index(None, "group_id", "create_time", "id"),
    Index(None, "account", "region", "status", "create_time", "id"),
    Index(None, "group_id", "status", "create_time", "id"),
    _partial("ix_deployments_complete_time", "complete_time", where="complete_time IS NOT NULL"),
    Index(None, "application_id"),
    _partial("ix_deployments_root", "root_deployment_id", where="root_deployment_id IS NOT NULL"),
    _partial("ix_deployments_active", "account", "region", "config_name", where="wake_at IS NOT NULL"),
    _partial("ix_deployments_wake_at", "wake_at", where="wake_at IS NOT NULL"),
)

#: Lifecycle hooks of Auto Scaling groups that deployment groups want, or that are still to be removed (S9.1).
lifecycle_hooks = Table(
    "lifecycle_hooks",
    metadata,
    #: It has an id of its own in it.
    Column("name", String(255), primary_key=True),
    *_scope(),
    Column("auto_scaling_group", String(255), nullable=False),
    #: domain.auto_scaling.Transition.
    Column("transition", String(64), nullable=False),
    #: By which role the Auto Scaling group is called.
    Column("role_arn", Text, nullable=False),
    #: Whose it is; NULL: nobody's (any more), to be removed.
    Column("group_id", String(36)),
    #: When nobody's it is left alone before: somebody may just be making the group that it is for.
    Column("remove_at", Float, nullable=False, server_default=text("0")),
    Index(None, "group_id"),
)

#: Instances that such a hook holds up, or held a moment ago.
held_instances = Table(
    "held_instances",
    metadata,
    Column("group_id", String(36), ForeignKey("deployment_groups.id", ondelete="CASCADE"), primary_key=True),
    Column("hook", String(255), primary_key=True),
    Column("instance_id", String(100), primary_key=True),
    #: NULL: it needs none.
    Column("deployment_id", String(16)),
    Column("is_answered", Boolean, nullable=False, server_default=false()),
    Column("beat_at", Float, nullable=False),
)

#: Processes of Auto Scaling groups that are suspended while a deployment runs, and resumed when it has ended.
suspensions = Table(
    "suspensions",
    metadata,
    Column("deployment_id", String(16), primary_key=True),
    Column("auto_scaling_group", String(255), primary_key=True),
    *_scope(),
    Column("role_arn", Text, nullable=False),
    #: Those that ran before: what somebody else suspended stays so.
    Column("processes", JSON, nullable=False),
    Column("is_done", Boolean, nullable=False, server_default=false()),
    Index(None, "auto_scaling_group"),
)

#: What one server does for all of a database, by name: who, and until when.
leases = Table(
    "leases",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("until", Float, nullable=False),
)

targets = Table(
    "targets",
    metadata,
    Column("deployment_id", String(16), ForeignKey("deployments.id", ondelete="CASCADE"), primary_key=True),
    Column("target_id", String(100), primary_key=True),
    Column("target_arn", Text, nullable=False),
    #: Who polls for it: Scope.host of the agent's identifier.
    Column("host", Text, nullable=False),
    Column("status", String(16), nullable=False),
    #: domain.health.Turn.
    Column("turn", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    #: Name of the event at `position`, so that a poll reads no JSON.
    Column("event", String(32), nullable=False),
    Column("command", String(8), nullable=False),
    Column("attempt", String(32), nullable=False),
    Column("deadline", Float),
    Column("halted", Boolean, nullable=False, server_default=false()),
    Column("forgives_stop_failures", Boolean, nullable=False, server_default=false()),
    #: Blue or Green; NULL in place.
    Column("label", String(8)),
    #: Availability zone; NULL where the deployment does not go zone by zone.
    Column("zone", String(64)),
    #: The engine took it out of its load balancers.
    Column("taken_out", Boolean, nullable=False, server_default=false()),
    Column("last_updated", Float),
    #: The lifecycle events as InstanceTarget spells them.
    Column("events", Text, nullable=False),
    #: What triggers have told of it: 0 nothing, 1 its start, -1 that it is Ready, 2 its end, or nobody wants to know.
    Column("told", Integer, nullable=False, server_default=text("2")),
    Index(None, "deployment_id", "status", "turn", "target_id"),
    Index(None, "host", "deployment_id"),
    _partial("ix_targets_ready", "host", where="command = 'ready'"),
    _partial("ix_targets_zone", "deployment_id", "zone", "status", "turn", "target_id", where="zone IS NOT NULL"),
    _partial("ix_targets_traffic", "deployment_id", where="command IN ('engine', 'return')"),
    _partial("ix_targets_untold", "deployment_id", "status", where="told < 2"),
    _partial("ix_targets_deadline", "deployment_id", "deadline", where="deadline IS NOT NULL"),
)

#: What has to be told to topics; a row goes when it is delivered.
notifications = Table(
    "notifications",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    *_scope(),
    #: The service role of the group that tells.
    Column("role_arn", Text, nullable=False, server_default=text("''")),
    Column("topic_arn", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("create_time", Float, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_try", Float, nullable=False),
    Index(None, "next_try"),
)

#: What the scripts of a lifecycle event said on a host, in the order in which it came.
hook_logs = Table(
    "hook_logs",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("deployment_id", String(16), ForeignKey("deployments.id", ondelete="CASCADE"), nullable=False),
    Column("target_id", String(100), nullable=False),
    #: Of the event among the host's.
    Column("position", Integer, nullable=False),
    #: Counts what the host sends of one event.
    Column("sequence", Integer, nullable=False),
    Column("event", String(32), nullable=False),
    Column("time", Float, nullable=False),
    #: Whole lines.
    Column("text", Text, nullable=False),
    #: Lines before them that were not kept.
    Column("dropped_lines", Integer, nullable=False),
    Index(None, "deployment_id", "id"),
    Index(None, "deployment_id", "target_id", "position", "sequence", unique=True),
)

#: One row a call that changed something or was refused (domain.audit). A trigger refuses to change or delete any.
audit_records = Table(
    "audit_records",
    metadata,
    Column("account", String(12), primary_key=True),
    #: 1, 2, 3 … within the account.
    Column("sequence", BigInteger, primary_key=True),
    Column("time", Float, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("count", Integer, nullable=False),
    Column("region", String(64)),
    Column("principal_arn", Text),
    Column("access_key_id", String(128)),
    Column("source", String(64)),
    Column("request_id", String(64)),
    Column("service", String(64)),
    Column("operation", String(128)),
    Column("error_code", String(128)),
    #: A JSON list of [name, value].
    Column("resources", Text, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index(None, "account", "time"),
)

#: The end of each account's chain: whoever appends locks it.
audit_heads = Table(
    "audit_heads",
    metadata,
    Column("account", String(12), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)
