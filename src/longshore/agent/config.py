"""The agent's configuration: the official agent's keys and files (agent.md 7.1, 7.2), and a few of our own."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from longshore.agent.errors import ConfigError
from longshore.agent.identity import Identity, SessionCredentials, UserCredentials

DEFAULT_FILES = (
    Path("/etc/codedeploy-agent/conf/codedeployagent.yml"),
    Path("/opt/codedeploy-agent/conf/codedeployagent.yml"),
)
DEFAULT_ON_PREMISES_FILE = Path("/etc/codedeploy-agent/conf/codedeploy.onpremises.yml")
DEFAULT_ROOT = Path("/opt/codedeploy-agent/deployment-root")

_IDENTITY_KEYS = frozenset(
    {"region", "iam_user_arn", "iam_session_arn", "aws_access_key_id", "aws_secret_access_key", "aws_credentials_file"}
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """What the agent needs to know, checked."""

    #: Who this host is, and how it proves it.
    identity: Identity
    #: Where the control plane listens; http:// is allowed.
    endpoint: str
    #: Signs and targets as the official agent's `enable_auth_policy` does (agent.md 1.1.3).
    auth_policy: bool = False
    program_name: str = "codedeploy-agent"
    root_dir: Path = DEFAULT_ROOT
    #: None: the log goes to stderr.
    log_dir: Path | None = None
    #: None: no pid file.
    pid_dir: Path | None = None
    verbose: bool = False
    #: Revisions kept for each deployment group (agent.md 2.5).
    max_revisions: int = 5
    #: Seconds an answer may take; a poll is held by the server for up to 45.
    http_read_timeout: float = 80
    enable_deployments_log: bool = True
    ongoing_deployment_tracking: str = "ongoing-deployment"
    #: How long a stop waits for running commands.
    kill_agent_max_wait_time_seconds: float = 7200
    #: Raw Ed25519 public key whose specifications are obeyed; None: trust on first use.
    specification_signer: bytes | None = None
    #: Bytes a bundle may unpack to.
    archive_max_extraction_size: int = 8 * 1024**3
    #: Entries a bundle may have.
    archive_max_entries: int = 200_000
    #: Seconds a worker waits for the next command of its deployment.
    worker_idle_seconds: float = 10
    #: Seconds a script has between SIGTERM and SIGKILL.
    hook_grace_seconds: float = 5


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """The configuration in `path`, completed from the on-premises file and the environment."""
    settings = _read(path)
    source = path
    if not ({"iam_user_arn", "iam_session_arn"} & settings.keys()):
        source = Path(str(settings.get("on_premises_config_file") or DEFAULT_ON_PREMISES_FILE))
        if source.exists():
            settings |= {key: value for key, value in _read(source).items() if key in _IDENTITY_KEYS}
    take = _Settings(settings, path)
    identity = _identity(_Settings(settings, source), environ)
    pid_dir, log_dir = take.text("pid_dir"), take.text("log_dir")
    return Config(
        identity=identity,
        endpoint=_endpoint(take.text("deploy_control_endpoint"), identity.region, environ),
        auth_policy=take.flag("enable_auth_policy", False),
        program_name=_file_name(take, "program_name", "codedeploy-agent"),
        root_dir=_absolute(take, "root_dir", DEFAULT_ROOT),
        log_dir=_absolute(take, "log_dir", DEFAULT_ROOT) if log_dir else None,
        pid_dir=_absolute(take, "pid_dir", DEFAULT_ROOT) if pid_dir else None,
        verbose=take.flag("verbose", False),
        max_revisions=int(take.number("max_revisions", 5, at_least=1)),
        http_read_timeout=take.number("http_read_timeout", 80, at_least=1),
        enable_deployments_log=take.flag("enable_deployments_log", True),
        ongoing_deployment_tracking=_file_name(take, "ongoing_deployment_tracking", "ongoing-deployment"),
        kill_agent_max_wait_time_seconds=take.number("kill_agent_max_wait_time_seconds", 7200, at_least=0),
        specification_signer=_signer(take),
        archive_max_extraction_size=int(take.number("archive_max_extraction_size", 8 * 1024**3, at_least=1)),
        archive_max_entries=int(take.number("archive_max_entries", 200_000, at_least=1)),
        worker_idle_seconds=take.number("worker_idle_seconds", 10, at_least=0),
        hook_grace_seconds=take.number("hook_grace_seconds", 5, at_least=0),
    )


class _Settings:
    """Values of one file, each checked for its kind as it is taken."""

    def __init__(self, values: Mapping[str, object], path: Path) -> None:
        self.values = values
        self.path = path

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        if value is None or value == "":
            return None
        if isinstance(value, dict | list):
            raise ConfigError(f"{self.path}: {key} must be one plain value")
        return str(value)

    def needed(self, key: str) -> str:
        value = self.text(key)
        if value is None:
            raise ConfigError(f"{self.path}: {key} is missing; it names this host to the control plane")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.values.get(key)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        raise ConfigError(f"{self.path}: {key} must be true or false, not {value!r}")

    def number(self, key: str, default: float, *, at_least: float) -> float:
        value = self.values.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= at_least:
            raise ConfigError(f"{self.path}: {key} must be a number of at least {at_least:g}, not {value!r}")
        return value


def _read(path: Path) -> dict[str, object]:
    """A YAML mapping whose keys may carry a leading colon (Ruby symbols, agent.md 7.1.1)."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the configuration file {path}: {error.strerror}") from None
    try:
        parsed = yaml.load(raw, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(parsed, dict):
        raise ConfigError(f"{path} must hold keys and values (key: value); it holds {type(parsed).__name__}")
    return {str(key).removeprefix(":"): value for key, value in parsed.items()}


def _identity(take: _Settings, environ: Mapping[str, str]) -> Identity:
    user, session = take.text("iam_user_arn"), take.text("iam_session_arn")
    if user and session:
        raise ConfigError(f"{take.path}: iam_user_arn and iam_session_arn are both given; keep the one this host uses")
    if not user and not session:
        raise ConfigError(
            f"{take.path}: this host has no identity. Give region, iam_user_arn, aws_access_key_id and "
            "aws_secret_access_key, as printed when it was registered "
            "(or iam_session_arn and aws_credentials_file)."
        )
    region = take.text("region") or environ.get("AWS_REGION") or take.needed("region")
    if session:
        credentials_file = Path(take.needed("aws_credentials_file"))
        return Identity(host_identifier=session, region=region, provider=SessionCredentials(credentials_file))
    assert user
    keys = UserCredentials(take.needed("aws_access_key_id"), take.needed("aws_secret_access_key"))
    return Identity(host_identifier=user, region=region, provider=keys)


def _endpoint(configured: str | None, region: str, environ: Mapping[str, str]) -> str:
    endpoint = configured or environ.get("AWS_ENDPOINT_URL") or f"https://codedeploy-commands.{region}.amazonaws.com"
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"deploy_control_endpoint {endpoint!r} is not a URL like https://deploy.example.com:8420")
    return endpoint


def _signer(take: _Settings) -> bytes | None:
    said = take.text("specification_signer")
    if said is None:
        return None
    try:
        key = base64.b64decode(said, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise ConfigError(
            f"{take.path}: specification_signer must be the base64 of a raw 32-byte Ed25519 public key, "
            "as the server prints it"
        )
    return key


def _absolute(take: _Settings, key: str, default: Path) -> Path:
    said = take.text(key)
    return Path(os.path.abspath(said)) if said else default  # noqa: PTH100 - normalises, does not follow links


def _file_name(take: _Settings, key: str, default: str) -> str:
    said = take.text(key) or default
    if "/" in said or said in (".", "..") or "\0" in said:
        raise ConfigError(f"{take.path}: {key} must be a plain name, not {said!r}")
    return said
