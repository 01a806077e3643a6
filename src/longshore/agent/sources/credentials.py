"""The AWS credentials of this host, where AWS's own tools look for them (agent.md 7.2, 7.3)."""

from __future__ import annotations

import calendar
import configparser
import http.client
import json
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from longshore.agent.config import HostConfig
from longshore.agent.errors import BundleError
from longshore.agent.identity import Credentials, Provider, UserCredentials

#: Where an EC2 instance asks about itself; `AWS_EC2_METADATA_SERVICE_ENDPOINT` names another place.
_METADATA = "169.254.169.254"
_METADATA_SECONDS = 2.0
#: Seconds before their end at which temporary credentials are asked for anew.
_RENEW_BEFORE = 300.0


def of_this_host(config: HostConfig, environ: Mapping[str, str]) -> Provider | None:
    """The host's identity if it is configured, else the environment, a credentials file, the instance's role."""
    if config.identity is not None:
        return config.identity.provider
    access, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    if access and secret:
        return _Fixed(Credentials(access, secret, environ.get("AWS_SESSION_TOKEN") or None))
    return _from_file(environ) or _InstanceRole.of(environ)


def region_of(config: HostConfig, environ: Mapping[str, str]) -> str:
    """The region that requests are signed for, until S3 names another."""
    if config.identity is not None:
        return config.identity.region
    return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"


class _Fixed(UserCredentials):
    def __init__(self, keys: Credentials) -> None:
        self._keys = keys


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


class _InstanceRole:
    """What the role of an EC2 instance gives, by its metadata service in version 2."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._keys: Credentials | None = None
        self._good_until = 0.0

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> _InstanceRole | None:
        """None: this is no instance, or it has no role."""
        if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
            return None
        endpoint = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{_METADATA}")
        made = cls(endpoint.removeprefix("http://").rstrip("/"))
        try:
            made.credentials()
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            return None
        return made

    def credentials(self) -> Credentials:
        """The role's keys, renewed before they end."""
        if self._keys is None or time.time() > self._good_until:
            token = self._ask("PUT", "/latest/api/token", {"x-aws-ec2-metadata-token-ttl-seconds": "300"}).decode()
            shown = {"x-aws-ec2-metadata-token": token}
            place = "/latest/meta-data/iam/security-credentials/"
            role = self._ask("GET", place, shown).decode().split("\n")[0]
            told: dict[str, Any] = json.loads(self._ask("GET", place + role, shown))
            self._keys = Credentials(told["AccessKeyId"], told["SecretAccessKey"], told["Token"])
            ends = calendar.timegm(time.strptime(told["Expiration"], "%Y-%m-%dT%H:%M:%SZ"))
            self._good_until = ends - _RENEW_BEFORE
        return self._keys

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> bytes:
        with closing(http.client.HTTPConnection(self._host, timeout=_METADATA_SECONDS)) as connection:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            said = answer.read(64 * 1024)
            if answer.status != 200:
                raise OSError(f"the instance's metadata service answered {answer.status}")
            return said
