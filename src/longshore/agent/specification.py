"""What a deployment asks of this host, checked (agent.md 1.6)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from longshore.agent.errors import SpecificationError
from longshore.agent.layout import Layout

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
    #: Of the object; of a local revision, its absolute path.
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
    bundle_url: str | None = None
    bundle_sha256: str | None = None
    bundle_size: int | None = None
    creator: str = "user"
    deployment_type: str = "IN_PLACE"
    #: None: appspec.yml, else appspec.yaml.
    appspec_filename: str | None = None
    #: DISALLOW, OVERWRITE or RETAIN, or a word we do not know; the AppSpec's own word beats it.
    file_exists_behavior: str = "DISALLOW"
    #: A restart: the deployment that left the revision here. None: the revision comes with this deployment.
    restarts: str | None = None
    #: Events the deployment may have; None: not said.
    possible_events: tuple[str, ...] | None = None
    #: Environment variables for the hooks, as whoever deploys gave them.
    parameters: dict[str, str] = field(default_factory=dict)


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
        appspec_filename=checked_appspec_filename(_text(values, "AppSpecFilename")),
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


def checked_appspec_filename(said: str | None) -> str | None:
    """A name that stays inside the revision; raises `SpecificationError`."""
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
