"""What a deployment asks of this host: opened, verified, checked (agent.md 1.6, 1.7).

Only Longshore's own envelope is read: an Ed25519 signature over the specification, by the signer this host has
pinned. The PKCS7 envelope beside it, which the official agent opens without checking, is not even looked at.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from longshore.agent.errors import SpecificationError
from longshore.agent.layout import Layout, write_atomically

VARIANT = "longshore-ed25519"
FORMAT = "ED25519/JSON"
#: Put before the payload when it is signed, so that a signature means nothing elsewhere.
SIGNED_PREFIX = b"longshore-specification-v1\n"
BUNDLE_TYPES = ("tar", "tgz", "zip")

_SAFE_ID = re.compile(r"[A-Za-z0-9-]{1,100}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Revision:
    """What is deployed."""

    #: "S3", "GitHub", "Git", "Local File" or "Local Directory".
    kind: str
    #: tar, tgz or zip; directory for a local one.
    bundle_type: str
    bucket: str = ""
    key: str = ""
    version: str | None = None
    etag: str | None = None
    #: GitHub's `owner/name`, or the URL that git fetches from.
    repository: str = ""
    commit: str = ""
    #: Lets GitHub's API show a private repository; a credential, never logged.
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Specification:
    """One deployment, as this host must know it."""

    deployment_id: str
    group_id: str
    group_name: str
    application: str
    revision: Revision
    #: Presigned; a credential, never logged.
    bundle_url: str | None
    bundle_sha256: str | None
    bundle_size: int | None
    creator: str
    deployment_type: str
    #: None: appspec.yml, else appspec.yaml.
    appspec_filename: str | None
    #: DISALLOW, OVERWRITE or RETAIN, or a word we do not know; the AppSpec's own word beats it.
    file_exists_behavior: str
    #: A restart: the deployment that left the revision here. None: the revision comes with this deployment.
    restarts: str | None
    #: Events the deployment may have; None: not said.
    possible_events: tuple[str, ...] | None
    #: Environment variables for the hooks, as whoever deploys gave them.
    parameters: dict[str, str]


class SignerPin:
    """The one key whose specifications are obeyed: configured, or the first one seen."""

    def __init__(self, configured: bytes | None, stored: Path) -> None:
        self._configured = configured
        self._stored = stored

    def check(self, offered: bytes) -> None:
        """Refuse every key but the pinned one; remembers `offered` when there is none yet (trust on first use)."""
        pinned = self._configured or self._remembered(offered)
        if not hmac.compare_digest(pinned, offered):
            how = (
                "put the new key in specification_signer in the agent's configuration and restart it"
                if self._configured
                else f"delete {self._stored}; the next specification's signer is then trusted"
            )
            raise SpecificationError(
                "the specification is signed by another key than the one this host trusts. "
                f"If the control plane's signing key was changed on purpose, {how}."
            )

    def _remembered(self, offered: bytes) -> bytes:
        try:
            return base64.b64decode(self._stored.read_bytes().strip(), validate=True)
        except FileNotFoundError:
            pass
        except (binascii.Error, ValueError):
            raise SpecificationError(f"{self._stored} is damaged; write the signer's key there or delete it") from None
        # Linked, not renamed: of two workers at the first deployment only one key may win.
        beside = self._stored.with_name(f"{self._stored.name}.{os.getpid()}")
        write_atomically(beside, base64.b64encode(offered) + b"\n", 0o600)
        try:
            self._stored.hardlink_to(beside)
        except FileExistsError:
            return self._remembered(offered)
        finally:
            beside.unlink()
        return offered


def open_envelope(answer: dict[str, Any], pin: SignerPin) -> dict[str, Any]:
    """The specification in GetDeploymentSpecification's answer, its signature verified."""
    if answer.get("DeploymentSystem") != "CodeDeploy":
        raise SpecificationError(f"the deployment system is {answer.get('DeploymentSystem')!r}, not CodeDeploy")
    container = answer.get("DeploymentSpecification")
    if not isinstance(container, dict):
        raise SpecificationError("the control plane sent no deployment specification")
    envelope = container.get("VariantEnvelope")
    if not isinstance(envelope, dict) or container.get("VariantId") != VARIANT:
        raise SpecificationError(
            f"the control plane sent no {VARIANT} envelope. This agent obeys only specifications signed by a pinned "
            "key; the PKCS7 envelope of AWS CodeDeploy cannot be pinned. Use a Longshore server, or the official agent."
        )
    if envelope.get("Format") != FORMAT:
        raise SpecificationError(
            f"the specification's envelope has the format {envelope.get('Format')!r}, not {FORMAT}"
        )
    parts = _object(envelope.get("Payload"), "the specification's envelope")
    payload, signature, key = (_bytes(parts, name) for name in ("payload", "signature", "publicKey"))
    # Verified before it is pinned: a broken envelope must not decide whom this host trusts.
    _verify(key, signature, payload)
    pin.check(key)
    return _object(payload, "the specification")


def _verify(key: bytes, signature: bytes, payload: bytes) -> None:
    try:
        VerifyKey(key).verify(SIGNED_PREFIX + payload, signature)
    except (BadSignatureError, ValueError):
        raise SpecificationError("the specification's signature is wrong; it was altered on its way") from None


def read(values: dict[str, Any], *, expected_id: str, layout: Layout) -> Specification:
    """The specification's members, checked; unknown ones are ignored (agent.md 1.6)."""
    deployment_id = _needed(values, "DeploymentId")
    if deployment_id.startswith("arn:"):
        deployment_id = deployment_id.split(":", 5)[-1].partition("/")[2]
    group_id = _needed(values, "DeploymentGroupId")
    for name, value in (("DeploymentId", deployment_id), ("DeploymentGroupId", group_id)):
        if not _SAFE_ID.fullmatch(value) or value in layout.reserved_names():
            raise SpecificationError(f"{name} {value!r} cannot name a directory; letters, digits and '-' are allowed")
    if deployment_id != expected_id:
        raise SpecificationError(f"the specification is for deployment {deployment_id}, the command for {expected_id}")
    ours = _optional_object(values, "Longshore")
    overrides = _optional_object(_optional_object(values, "AgentActionOverrides"), "AgentOverrides")
    sha256 = _text(ours, "BundleSha256")
    if sha256 is not None and not _SHA256.fullmatch(sha256.lower()):
        raise SpecificationError("BundleSha256 is not 64 hexadecimal digits")
    size = ours.get("BundleSize")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 0):
        raise SpecificationError("BundleSize is not a number of bytes")
    return Specification(
        deployment_id=deployment_id,
        group_id=group_id,
        group_name=_needed(values, "DeploymentGroupName"),
        application=_needed(values, "ApplicationName"),
        revision=_revision(values),
        bundle_url=_text(ours, "BundleUrl"),
        bundle_sha256=sha256.lower() if sha256 else None,
        bundle_size=size,
        creator=_text(values, "DeploymentCreator") or "user",
        deployment_type=_text(values, "DeploymentType") or "IN_PLACE",
        appspec_filename=_appspec_filename(_text(values, "AppSpecFilename")),
        file_exists_behavior=(_text(overrides, "FileExistsBehavior") or "DISALLOW").upper(),
        restarts=_text(values, "ReuseArchiveFromDeploymentId"),
        possible_events=_events(values.get("AllPossibleLifecycleEvents")),
        parameters=_parameters(_optional_object(ours, "Parameters")),
    )


def _parameters(said: dict[str, Any]) -> dict[str, str]:
    if not said:
        return {}
    from longshore.domain.parameters import BadParameterError, checked  # few deployments have any

    try:
        return checked((name, _text(said, name) or "") for name in said)
    except BadParameterError as problem:
        raise SpecificationError(f"Parameters in the deployment specification: {problem}") from None


def _revision(values: dict[str, Any]) -> Revision:
    revision = _optional_object(values, "Revision")
    kind = _text(revision, "RevisionType")
    if kind == "S3":
        s3 = _optional_object(revision, "S3Revision")
        bundle_type = _needed(s3, "BundleType").lower()
        if bundle_type not in BUNDLE_TYPES:
            raise SpecificationError(f"BundleType {bundle_type!r} is not one of {', '.join(BUNDLE_TYPES)}")
        return Revision(
            kind=kind,
            bundle_type=bundle_type,
            bucket=_needed(s3, "Bucket"),
            key=_needed(s3, "Key"),
            version=_text(s3, "Version"),
            etag=_text(s3, "ETag"),
        )
    if kind in ("Local File", "Local Directory"):
        # The official agent takes them from anybody (agent.md 1.6.4).
        raise SpecificationError(f"the revision type is {kind}; only longshore local deploys what lies on the host")
    if kind == "GitHub":
        return _github(_optional_object(revision, "GitHubRevision"), _text(values, "GitHubAccessToken"))
    if kind == "Git":
        git = _optional_object(revision, "GitRevision")
        return Revision(kind=kind, bundle_type="tar", repository=_needed(git, "Url"), commit=_needed(git, "CommitId"))
    raise SpecificationError(f"the revision type {kind!r} is not known")


def _github(github: dict[str, Any], token: str | None) -> Revision:
    bundle_type = (_text(github, "BundleType") or "tar").lower()
    if bundle_type not in ("tar", "zip"):
        raise SpecificationError(f"BundleType {bundle_type!r} is not one of tar, zip, which GitHub makes")
    return Revision(
        kind="GitHub",
        bundle_type=bundle_type,
        repository=f"{_needed(github, 'Account')}/{_needed(github, 'Repository')}",
        commit=_needed(github, "CommitId"),
        token=token,
    )


def _appspec_filename(said: str | None) -> str | None:
    if said is not None and (said.startswith("/") or ".." in said.split("/") or "\0" in said):
        raise SpecificationError(f"AppSpecFilename {said!r} leads outside the revision")
    return said


def _events(said: object) -> tuple[str, ...] | None:
    if said is None:
        return None
    if not isinstance(said, list) or not all(isinstance(event, str) for event in said):
        raise SpecificationError("AllPossibleLifecycleEvents is not a list of names")
    return tuple(said)


def _needed(values: dict[str, Any], name: str) -> str:
    value = _text(values, name)
    if not value:
        raise SpecificationError(f"the deployment specification lacks {name}")
    return value


def _text(values: dict[str, Any], name: str) -> str | None:
    value = values.get(name)
    if value is not None and not isinstance(value, str):
        raise SpecificationError(f"{name} in the deployment specification is not text")
    return value or None


def _optional_object(values: dict[str, Any], name: str) -> dict[str, Any]:
    value = values.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SpecificationError(f"{name} in the deployment specification is not an object")
    return value


def _object(text: object, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text) if isinstance(text, str | bytes) else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise SpecificationError(f"{what} is not a JSON object")
    return value


def _bytes(values: dict[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(values[name], validate=True)
    except (KeyError, TypeError, ValueError):
        raise SpecificationError(f"the specification's envelope has no usable {name}") from None
