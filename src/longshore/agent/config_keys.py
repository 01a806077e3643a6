"""Every key that a configuration may have, and what becomes of those that change nothing here (agent.md 7.1, 11.5)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

#: The official agent's, which mean here what they mean there.
HONOURED = frozenset(
    {
        *("program_name", "root_dir", "log_dir", "pid_dir", "verbose", "max_revisions", "ongoing_deployment_tracking"),
        *("enable_deployments_log", "http_read_timeout", "kill_agent_max_wait_time_seconds", "user", "group"),
        *("proxy_uri", "deploy_control_endpoint", "s3_endpoint_override", "use_fips_mode", "enable_auth_policy"),
        *("on_premises_config_file", "disable_imds_v1", "archive_max_extraction_size", "disable_core_dumps"),
    }
)
#: Of the on-premises file; the configuration itself may have them too.
OF_IDENTITY = frozenset(
    {"region", "iam_user_arn", "iam_session_arn", "aws_access_key_id", "aws_secret_access_key", "aws_credentials_file"}
)
OURS = frozenset(
    {
        *("specification_signer", "server_certificate_sha256", "archive_max_entries", "hook_grace_seconds"),
        *(
            "worker_idle_seconds",
            "s3_own_credentials",
            "max_revisions_size",
            "github_api_url",
            "git_credentials_file",
            "no_proxy",
        ),
        *("deploy_control_proxy_uri", "s3_proxy_uri", "github_proxy_uri", "git_proxy_uri"),
    }
)
#: Accepted, and needless here.
WITHOUT_EFFECT: Mapping[str, str] = MappingProxyType(
    {
        "wait_between_runs": "the next poll follows at once, and the control plane holds it",
        "wait_between_spawning_children": "there is no child to be respawned; systemd restarts the agent",
        "wait_after_throttle_error": "pauses grow by themselves, and the control plane may name one",
        "wait_after_connection_problem": "pauses grow by themselves",
        "wait_after_error": "the official agent does not use it either",
        "max_runs_per_worker": "each deployment has a process of its own, which ends with it",
        "children": "there is one poller, and a process for each deployment",
        "plugins": "there are none",
        "codedeploy_test_profile": "http:// endpoints are allowed without it",
        "shared_dir": "the official agent does not use it either",
        "log_aws_wire": "what goes over the wire holds credentials and is never logged",
        "instance_service_region": "the official agent does not use it either",
        "instance_service_endpoint": "the official agent does not use it either",
        "instance_service_port": "the official agent does not use it either",
    }
)
#: Hardening of agent 2.x that is always on here.
ALWAYS_ON = frozenset(
    {"reject_path_traversal_in_bundle", "reject_symlink_permission_targets", "strip_loader_env_in_hooks"}
)
#: Hardening that this agent has not: who asks for it must hear that.
NOT_DONE = frozenset(
    {
        *("reject_symlinks_in_bundle", "reject_unsafe_permissions_in_bundle", "reject_unconfined_selinux_in_bundle"),
        *("ignore_ownership_in_bundle", "restrict_agent_dir_permissions", "restrict_log_dir_permissions"),
        "restrict_hook_env_to_allowlist",
    }
)
KNOWN = HONOURED | OF_IDENTITY | OURS | frozenset(WITHOUT_EFFECT) | ALWAYS_ON | NOT_DONE


def unknown(settings: Mapping[str, object]) -> list[str]:
    """Keys that mean nothing to anybody: perhaps mistyped. The official agent ignores them, and so do we."""
    return sorted(key for key in settings if key not in KNOWN)


def refused(settings: Mapping[str, object]) -> str | None:
    """Why these settings cannot be honoured; None when they can."""
    for key in sorted(NOT_DONE & settings.keys()):
        if settings[key] not in (None, False):
            return f"{key} is not done by this agent. Take the key out, or set it to false, to run without it"
    if settings.get("children") not in (None, 1):
        return "children must be 1"
    return None
