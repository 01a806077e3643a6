"""The agent's configuration: the official agent's keys and files (agent.md 7.1, 7.2), and a few of our own."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from longshore.agent import config_keys
from longshore.agent.config_file import Settings, is_url, read
from longshore.agent.errors import AgentError, ConfigError
from longshore.agent.identity import Credentials, Identity, SessionCredentials, UserCredentials
from longshore.agent.pin import Pin
from longshore.agent.proxies import ENDPOINTS, Proxies, Proxy

OWN_FILE = Path("/etc/longshore/agent.yml")
DEFAULT_FILES = (
    OWN_FILE,
    Path("/etc/codedeploy-agent/conf/codedeployagent.yml"),
    Path("/opt/codedeploy-agent/conf/codedeployagent.yml"),
)
DEFAULT_ON_PREMISES_FILE = Path("/etc/codedeploy-agent/conf/codedeploy.onpremises.yml")
DEFAULT_ROOT = Path("/opt/codedeploy-agent/deployment-root")


@dataclass(frozen=True, kw_only=True)
class HostConfig:
    """What carrying out a deployment on this host needs to know, checked; a control plane or not."""

    #: Who this host is, and how it proves it. None: nobody has said; deployments without a control plane need it not.
    identity: Identity | None = None
    program_name: str = "codedeploy-agent"
    root_dir: Path = DEFAULT_ROOT
    #: None: the log goes to stderr.
    log_dir: Path | None = None
    verbose: bool = False
    #: Revisions kept for each deployment group (agent.md 2.5).
    max_revisions: int = 5
    #: Bytes that they may take together, but for the last and the last successful one. None: any number.
    max_revisions_size: int | None = None
    enable_deployments_log: bool = True
    ongoing_deployment_tracking: str = "ongoing-deployment"
    #: Bytes a bundle may unpack to.
    archive_max_extraction_size: int = 8 * 1024**3
    #: Entries a bundle may have.
    archive_max_entries: int = 200_000
    #: Seconds a script has between SIGTERM and SIGKILL.
    hook_grace_seconds: float = 5
    proxies: Proxies = field(default_factory=Proxies)
    #: The certificate that the control plane, and bundles kept there, must come with.
    pin: Pin | None = None
    #: Where S3 is; None: where AWS has it.
    s3_endpoint_override: str | None = None
    #: Bundles in S3 are fetched with the host's own credentials, though the control plane sent a presigned URL.
    s3_own_credentials: bool = False
    use_fips_mode: bool = False
    #: GitHub's API; a GitHub Enterprise Server has it at `https://HOST/api/v3`.
    github_api_url: str = "https://api.github.com"
    #: What `git credential-store` keeps: a line `https://USER:TOKEN@HOST` for each git host. None: git's own settings.
    git_credentials_file: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Config(HostConfig):
    """What the agent needs to know, checked."""

    identity: Identity
    #: Where the control plane listens; http:// is allowed.
    endpoint: str
    #: Signs and targets as the official agent's `enable_auth_policy` does (agent.md 1.1.3).
    auth_policy: bool = False
    #: None: no pid file.
    pid_dir: Path | None = None
    #: Seconds an answer may take; a poll is held by the server for up to 45.
    http_read_timeout: float = 80
    #: How long a stop waits for running commands.
    kill_agent_max_wait_time_seconds: float = 7200
    #: Raw Ed25519 public key whose specifications are obeyed; None: trust on first use.
    specification_signer: bytes | None = None
    #: Seconds a worker waits for the next command of its deployment.
    worker_idle_seconds: float = 10
    #: Whom the agent and all it starts run as; None: whoever started it.
    user: str | None = None
    group: str | None = None
    #: The agent's memory holds keys: none of it is written to a file when it crashes.
    disable_core_dumps: bool = True
    #: Keys that mean nothing: perhaps mistyped.
    unknown_keys: tuple[str, ...] = ()


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """The configuration in `path`, completed from the on-premises file and the environment."""
    settings, source = _completed(path)
    take = Settings(settings, path)
    if reason := config_keys.refused(settings):
        raise ConfigError(f"{path}: {reason}")
    identity, domain = _identity(Settings(settings, source), environ)
    endpoint = _endpoint(take, identity.region, domain, environ)
    return Config(
        **_host_settings(take, environ),
        identity=identity,
        endpoint=endpoint,
        pin=_pin(take, endpoint),
        auth_policy=take.flag("enable_auth_policy", False),
        pid_dir=_path(take, "pid_dir"),
        http_read_timeout=take.number("http_read_timeout", 80, at_least=1),
        kill_agent_max_wait_time_seconds=take.number("kill_agent_max_wait_time_seconds", 7200, at_least=0),
        specification_signer=_signer(take),
        worker_idle_seconds=take.number("worker_idle_seconds", 10, at_least=0),
        user=take.text("user"),
        group=take.text("group"),
        disable_core_dumps=take.flag("disable_core_dumps", True),
        unknown_keys=tuple(config_keys.unknown(settings)),
    )


def load_host(path: Path | None, environ: Mapping[str, str]) -> HostConfig:
    """The same for deployments without a control plane: nobody need say who this host is.

    Without a `path`, what holds on a host that has no configuration; its on-premises file counts all the same.
    """
    settings, source = _completed(path)
    has_identity = {"iam_user_arn", "iam_session_arn"} & settings.keys()
    return HostConfig(
        **_host_settings(Settings(settings, path or source), environ),
        identity=_identity(Settings(settings, source), environ)[0] if has_identity else None,
    )


def _completed(path: Path | None) -> tuple[dict[str, object], Path]:
    """The settings in `path`, and the file that says who this host is: perhaps the on-premises file."""
    settings = read(path) if path is not None else {}
    if path is not None and {"iam_user_arn", "iam_session_arn"} & settings.keys():
        return settings, path
    source = Path(str(settings.get("on_premises_config_file") or DEFAULT_ON_PREMISES_FILE))
    if source.exists():
        settings |= {key: value for key, value in read(source).items() if key in config_keys.OF_IDENTITY}
    return settings, source


def _host_settings(take: Settings, environ: Mapping[str, str]) -> dict[str, Any]:
    return {
        "program_name": _file_name(take, "program_name", "codedeploy-agent"),
        "root_dir": _path(take, "root_dir") or DEFAULT_ROOT,
        "log_dir": _path(take, "log_dir"),
        "verbose": take.flag("verbose", False),
        "max_revisions": int(take.number("max_revisions", 5, at_least=1)),
        "max_revisions_size": int(take.number("max_revisions_size", 0, at_least=0)) or None,
        "enable_deployments_log": take.flag("enable_deployments_log", True),
        "ongoing_deployment_tracking": _file_name(take, "ongoing_deployment_tracking", "ongoing-deployment"),
        "archive_max_extraction_size": int(take.number("archive_max_extraction_size", 8 * 1024**3, at_least=1)),
        "archive_max_entries": int(take.number("archive_max_entries", 200_000, at_least=1)),
        "hook_grace_seconds": take.number("hook_grace_seconds", 5, at_least=0),
        "proxies": proxies(take.values, take.path, environ),
        "s3_endpoint_override": take.url("s3_endpoint_override"),
        "s3_own_credentials": take.flag("s3_own_credentials", False),
        "use_fips_mode": take.flag("use_fips_mode", False),
        "github_api_url": (take.url("github_api_url") or HostConfig.github_api_url).rstrip("/"),
        "git_credentials_file": _path(take, "git_credentials_file"),
    }


def proxies(settings: Mapping[str, object], path: Path, environ: Mapping[str, str]) -> Proxies:
    """The proxies that the settings in `path` and the environment name; raises ConfigError."""
    take = Settings(settings, path)
    exempt = take.text("no_proxy") or environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    try:
        return Proxies(
            everywhere=Proxy.read(take.text("proxy_uri")),
            of_endpoint={kind: Proxy.read(take.text(f"{kind}_proxy_uri")) for kind in ENDPOINTS},
            environment=Proxy.read(environ.get("https_proxy") or environ.get("HTTPS_PROXY")),
            exempt=tuple(exempt.replace(",", " ").split()),
        )
    except ValueError as error:
        raise ConfigError(f"{take.path}: {error}") from None


def _identity(take: Settings, environ: Mapping[str, str]) -> tuple[Identity, str | None]:
    """This host, and the domain of AWS's services where it is, if anybody said so."""
    user, session = take.text("iam_user_arn"), take.text("iam_session_arn")
    if user and session:
        raise ConfigError(f"{take.path}: iam_user_arn and iam_session_arn are both given; keep the one this host uses")
    if not user and not session:
        return _instance(take, environ)
    region = take.text("region") or environ.get("AWS_REGION") or take.needed("region")
    if session:
        credentials_file = Path(take.needed("aws_credentials_file"))
        renewed = SessionCredentials(credentials_file)
        return Identity(host_identifier=session, region=region, provider=renewed), None
    assert user
    path = take.path

    def read_again() -> Credentials:
        return Credentials(*_user_keys(Settings(read(path), path)))

    keys = UserCredentials(*_user_keys(take), path=path, read_again=read_again)
    return Identity(host_identifier=user, region=region, provider=keys), None


def _user_keys(take: Settings) -> tuple[str, str]:
    return take.needed("aws_access_key_id"), take.needed("aws_secret_access_key")


def _instance(take: Settings, environ: Mapping[str, str]) -> tuple[Identity, str | None]:
    """This host as an EC2 instance; nothing else is left that could say who it is."""
    from longshore.agent import instance_metadata

    try:
        return instance_metadata.identity(environ, allow_v1=not take.flag("disable_imds_v1", False))
    except AgentError as error:
        # Where there could be one, it may only not be there yet: the instance is being started.
        kind = ConfigError if environ.get("AWS_EC2_METADATA_DISABLED") else AgentError
        raise kind(
            f"{take.path}: this host has no identity. Enroll it (longshore agent enroll), or give region, "
            "iam_user_arn, aws_access_key_id and aws_secret_access_key as they were printed when it was registered, or "
            f"iam_session_arn and aws_credentials_file. It could be an EC2 instance, but: {error}"
        ) from None


def _endpoint(take: Settings, region: str, domain: str | None, environ: Mapping[str, str]) -> str:
    """Where the control plane is: as configured, else where AWS has it in this region (agent.md 7.7)."""
    fips = take.flag("use_fips_mode", False)
    if fips and not region.startswith("us-"):
        raise ConfigError(f"{take.path}: use_fips_mode is for regions of the United States, and {region} is none")
    configured = take.text("deploy_control_endpoint") or environ.get("AWS_ENDPOINT_URL")
    if configured is None:
        name = "codedeploy-commands" + "-secure" * take.flag("enable_auth_policy", False) + "-fips" * fips
        return f"https://{name}.{region}.{domain or _domain(region)}"
    if not is_url(configured):
        raise ConfigError(f"deploy_control_endpoint {configured!r} is not a URL like https://deploy.example.com:8420")
    return configured


def _domain(region: str) -> str:
    if region.startswith("cn-"):
        return "amazonaws.com.cn"
    return "amazonaws.eu" if region.startswith("eusc-") else "amazonaws.com"


def _signer(take: Settings) -> bytes | None:
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


def _pin(take: Settings, endpoint: str) -> Pin | None:
    said = take.text("server_certificate_sha256")
    if said is None:
        return None
    digest = said.replace(":", "").lower()
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise ConfigError(
            f"{take.path}: server_certificate_sha256 must be the SHA-256 of the server's certificate, 64 hexadecimal "
            "digits, as `openssl x509 -noout -fingerprint -sha256` prints it"
        )
    parts = urlsplit(endpoint)
    if parts.scheme != "https":
        raise ConfigError(f"{take.path}: server_certificate_sha256 is given, but {endpoint} does not use TLS")
    return Pin(parts.hostname or "", parts.port or 443, digest)


def _path(take: Settings, key: str) -> Path | None:
    said = take.text(key)
    return Path(os.path.abspath(said)) if said else None  # noqa: PTH100 - normalises, does not follow links


def _file_name(take: Settings, key: str, default: str) -> str:
    said = take.text(key) or default
    if "/" in said or said in (".", "..") or "\0" in said:
        raise ConfigError(f"{take.path}: {key} must be a plain name, not {said!r}")
    return said
