"""The AWS credentials of this host, where AWS's own tools look for them (agent.md 7.2, 7.3)."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path

from longshore.agent.config import HostConfig
from longshore.agent.errors import BundleError
from longshore.agent.identity import Credentials, Provider
from longshore.agent.instance_metadata import InstanceRole, Metadata, MetadataError


def of_this_host(config: HostConfig, environ: Mapping[str, str]) -> Provider | None:
    """The host's identity if it is configured, else the environment, a credentials file, the instance's role."""
    if config.identity is not None:
        return config.identity.provider
    access, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    if access and secret:
        return _Fixed(Credentials(access, secret, environ.get("AWS_SESSION_TOKEN") or None))
    return _from_file(environ) or _instance_role(environ)


def region_of(config: HostConfig, environ: Mapping[str, str]) -> str:
    """The region that requests are signed for, until S3 names another."""
    if config.identity is not None:
        return config.identity.region
    return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def _instance_role(environ: Mapping[str, str]) -> Provider | None:
    """None: this is no instance, or it has no role."""
    role = InstanceRole(Metadata(environ))
    try:
        role.credentials()
    except MetadataError:
        return None
    return role


class _Fixed:
    """Keys that stay as they are while a bundle is fetched."""

    def __init__(self, keys: Credentials) -> None:
        self._keys = keys

    def credentials(self) -> Credentials:
        return self._keys


def _from_file(environ: Mapping[str, str]) -> Provider | None:
    path = Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or Path(environ.get("HOME") or "/") / ".aws/credentials")
    profile = environ.get("AWS_PROFILE") or "default"
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text())
        found = parser[profile]
        return _Fixed(
            Credentials(
                found["aws_access_key_id"], found["aws_secret_access_key"], found.get("aws_session_token") or None
            )
        )
    except (OSError, KeyError):
        return None
    except (configparser.Error, UnicodeDecodeError):
        raise BundleError(f"{path} is not a file of AWS credentials") from None
