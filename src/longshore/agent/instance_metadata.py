"""What an EC2 instance is told about itself (agent.md 7.4 to 7.7): who it is, where it is, and its role's keys.

Loaded only where nothing on the host says who it is, or a source wants the role's keys.
"""

from __future__ import annotations

import calendar
import http.client
import json
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from longshore.agent.errors import AgentError, WireError
from longshore.agent.identity import Credentials, Identity

#: `AWS_EC2_METADATA_SERVICE_ENDPOINT` names another place.
_PLACE = "http://169.254.169.254"
#: Seconds for one answer; it comes from the machine below.
_ANSWER_SECONDS = 2.0
_TRIES = 3
#: How long a token is good for, seconds; the most there is.
_TOKEN_SECONDS = 21_600
#: Seconds before their end at which temporary credentials are asked for anew.
_RENEW_BEFORE = 300.0
_DOCUMENT = "/latest/dynamic/instance-identity/document"
_ROLES = "/latest/meta-data/iam/security-credentials/"
_MAX_ANSWER = 64 * 1024


class MetadataError(WireError):
    """The metadata service gave no usable answer."""


class Metadata:
    """The metadata service: version 2, and version 1 where there is no other and the configuration allows it."""

    def __init__(self, environ: Mapping[str, str], *, allow_v1: bool = False) -> None:
        place = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _PLACE
        self._host = place.removeprefix("http://").rstrip("/")
        self._allow_v1 = allow_v1
        self._token = ""
        self._token_until = 0.0
        self.is_disabled = environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"

    def get(self, path: str) -> str:
        """What stands at a path; raises MetadataError."""
        status, said = self._tried("GET", path, self._shown())
        if status == 401:
            # The token was forgotten before its time: the machine below was replaced.
            self._token_until = 0.0
            status, said = self._tried("GET", path, self._shown())
        if status != 200:
            raise MetadataError(f"the instance's metadata service at {self._host} answered {status} to {path}")
        return said

    def object(self, path: str) -> dict[str, Any]:
        """The JSON object at a path; raises MetadataError."""
        try:
            found = json.loads(self.get(path))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise MetadataError(f"the instance's metadata service at {self._host} gave no JSON object at {path}")
        return found

    def _shown(self) -> dict[str, str]:
        if time.monotonic() >= self._token_until:
            ttl = {"x-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_SECONDS)}
            status, said = self._tried("PUT", "/latest/api/token", ttl)
            if status != 200 and not (self._allow_v1 and status in (403, 404, 405)):
                raise MetadataError(f"the instance's metadata service at {self._host} gave no token ({status})")
            self._token = said if status == 200 else ""
            self._token_until = time.monotonic() + _TOKEN_SECONDS * 0.9
        return {"x-aws-ec2-metadata-token": self._token} if self._token else {}

    def _tried(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        if self.is_disabled:
            raise MetadataError("the instance's metadata service is switched off (AWS_EC2_METADATA_DISABLED)")
        for left in reversed(range(_TRIES)):
            try:
                status, said = self._ask(method, path, headers)
            except (OSError, http.client.HTTPException) as error:
                if not left:
                    raise MetadataError(f"no instance metadata at {self._host}: {error}") from None
            else:
                if status < 500 or not left:
                    return status, said
            time.sleep(0.2)
        raise AssertionError("the last try returns or raises")

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        with closing(http.client.HTTPConnection(self._host, timeout=_ANSWER_SECONDS)) as connection:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read(_MAX_ANSWER).decode("utf-8", "replace")


class InstanceRole:
    """The keys of the instance's role, renewed before they end."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._keys: Credentials | None = None
        self._ends = 0.0

    def credentials(self) -> Credentials:
        """Keys that are good for minutes yet; where they cannot be renewed, those that are good at all."""
        if self._keys is None or time.time() >= self._ends - _RENEW_BEFORE:
            try:
                self._renew()
            except MetadataError:
                if self._keys is None or time.time() >= self._ends:
                    raise
        assert self._keys is not None
        return self._keys

    def _renew(self) -> None:
        role = self._metadata.get(_ROLES).split("\n")[0].strip()
        told = self._metadata.object(_ROLES + role)
        try:
            ends = calendar.timegm(time.strptime(told["Expiration"], "%Y-%m-%dT%H:%M:%SZ"))
            self._keys = Credentials(told["AccessKeyId"], told["SecretAccessKey"], told["Token"])
        except (KeyError, TypeError, ValueError):
            raise MetadataError(
                f"the instance has no keys of a role: {told.get('Message') or told.get('Code')}"
            ) from None
        self._ends = float(ends)


def identity(environ: Mapping[str, str], *, allow_v1: bool) -> tuple[Identity, str | None]:
    """This EC2 instance, and the domain of AWS's services in its region, if that is its own; raises AgentError."""
    metadata = Metadata(environ, allow_v1=allow_v1)
    try:
        document = metadata.object(_DOCUMENT)
        region = environ.get("AWS_REGION") or str(document["region"])
        partition = metadata.get("/latest/meta-data/services/partition").strip()
        domain = metadata.get("/latest/meta-data/services/domain").strip()
        arn = f"arn:{partition}:ec2:{document['region']}:{document['accountId']}:instance/{document['instanceId']}"
    except KeyError as missing:
        raise AgentError(f"the instance's identity document has no {missing.args[0]}") from None
    found = Identity(
        host_identifier=environ.get("AWS_HOST_IDENTIFIER") or arn,
        region=region,
        provider=InstanceRole(metadata),
    )
    return found, domain if region == document["region"] else None
