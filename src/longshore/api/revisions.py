"""Operations on application revisions (server.md S13; lambda_ecs_appspec.md A10–A18)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from longshore.api.existing import existing_application
from longshore.api.operations import Call, reads, writes
from longshore.api.pages import page
from longshore.domain.config import ComputePlatform
from longshore.domain.revision import describe, git_url, identity
from longshore.store import revisions
from longshore.store.revisions import Listing, Revision, SortBy
from longshore.wire.pagination import Position
from longshore.wire.service import AwsError

if TYPE_CHECKING:
    from mypy_boto3_codedeploy.type_defs import (
        BatchGetApplicationRevisionsInputTypeDef,
        BatchGetApplicationRevisionsOutputTypeDef,
        GenericRevisionInfoTypeDef,
        GetApplicationRevisionInputTypeDef,
        GetApplicationRevisionOutputTypeDef,
        ListApplicationRevisionsInputTypeDef,
        ListApplicationRevisionsOutputTypeDef,
        RegisterApplicationRevisionInputTypeDef,
    )

#: Longest AppSpec that travels in a revision itself, bytes (A17).
MAX_CONTENT = 256 * 1024

#: Each type of revision, and the member that says where it is.
_MEMBER = {
    "S3": "s3Location",
    "GitHub": "gitHubLocation",
    "String": "string",
    "AppSpecContent": "appSpecContent",
}
_TYPES = {
    ComputePlatform.SERVER: ("S3", "GitHub"),
    ComputePlatform.LAMBDA: ("S3", "String", "AppSpecContent"),
    ComputePlatform.ECS: ("S3", "String", "AppSpecContent"),
}
#: What a bundle may be. ECS takes any and fails the deployment where it is no AppSpec (A14).
_BUNDLES = {
    ComputePlatform.SERVER: ("tar", "tgz", "zip"),
    ComputePlatform.LAMBDA: ("YAML", "JSON"),
    ComputePlatform.ECS: ("YAML", "JSON", "tar", "tgz", "zip"),
}
_COMMIT_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_BUCKET = re.compile(r"[A-Za-z0-9._-]{3,255}")
_MAX_KEY = 1024


@writes("RegisterApplicationRevision")
def register_application_revision(call: Call, asked: RegisterApplicationRevisionInputTypeDef) -> None:
    """Make a revision known; registering it again refreshes its description."""
    application = existing_application(call, asked["applicationName"])
    location = check_location(asked["revision"], application.compute_platform)
    revisions.register(call.tx, application.id, location, description=asked.get("description"), now=call.now)


@reads("GetApplicationRevision")
def get_application_revision(
    call: Call, asked: GetApplicationRevisionInputTypeDef
) -> GetApplicationRevisionOutputTypeDef:
    application = existing_application(call, asked["applicationName"])
    location = check_location(asked["revision"], application.compute_platform)
    found = revisions.find(call.tx, application.id, location)
    if found is None:
        raise AwsError(
            "RevisionDoesNotExistException",
            f"{describe(location)} is not registered with {application.name}. A revision that was registered with a"
            " version or an eTag is asked for with the same; aws deploy list-application-revisions --application-name"
            f" {application.name} shows all.",
        )
    targeting = revisions.groups_targeting(call.tx, application.id, [found.identity])
    return cast(
        "GetApplicationRevisionOutputTypeDef",
        {
            "applicationName": application.name,
            "revision": found.location,
            "revisionInfo": _info(found, targeting[found.identity]),
        },
    )


@reads("BatchGetApplicationRevisions")
def batch_get_application_revisions(
    call: Call, asked: BatchGetApplicationRevisionsInputTypeDef
) -> BatchGetApplicationRevisionsOutputTypeDef:
    """The revisions that are registered, in the order asked; `errorMessage` names the others (S12.0c)."""
    application = existing_application(call, asked["applicationName"])
    if len(asked["revisions"]) > call.limits.batch:
        raise AwsError(
            "BatchLimitExceededException",
            f"{len(asked['revisions'])} revisions were asked for; the most at once is {call.limits.batch}. Ask in"
            " several calls.",
        )
    locations = [check_location(location, application.compute_platform) for location in asked["revisions"]]
    identities = [identity(location) for location in locations]
    found = revisions.several(call.tx, application.id, identities)
    targeting = revisions.groups_targeting(call.tx, application.id, found)
    unknown = [describe(location) for location in locations if identity(location) not in found]
    infos = [
        {"revisionLocation": found[one].location, "genericRevisionInfo": _info(found[one], targeting[one])}
        for one in identities
        if one in found
    ]
    return cast(
        "BatchGetApplicationRevisionsOutputTypeDef",
        {
            "applicationName": application.name,
            "errorMessage": f"Not registered with {application.name}: {', '.join(unknown)}." if unknown else "",
            "revisions": infos,
        },
    )


@reads("ListApplicationRevisions")
def list_application_revisions(
    call: Call, asked: ListApplicationRevisionsInputTypeDef
) -> ListApplicationRevisionsOutputTypeDef:
    listing = _listing(asked)
    application = existing_application(call, asked["applicationName"])

    def read(after: Position | None, count: int) -> list[Revision]:
        place = None if after is None else [float(part) for part in after]
        return revisions.listed(call.tx, application.id, listing, after=place, count=count)

    found, token = page(
        call,
        [
            "ListApplicationRevisions",
            application.id,
            listing.sort_by,
            listing.descending,
            listing.s3_bucket,
            listing.s3_key_prefix,
            listing.deployed,
        ],
        asked.get("nextToken"),
        read,
        lambda revision: [*revisions.position(revision, listing)],
    )
    locations = [revision.location for revision in found]
    return cast("ListApplicationRevisionsOutputTypeDef", {"revisions": locations, "nextToken": token})


def check_location(asked: Mapping[str, Any] | None, platform: ComputePlatform) -> dict[str, Any]:
    """A revision's location as it is kept: complete, and of a kind that the platform deploys (S13.1).

    The hash of an AppSpec that travels in the location is filled in (A18). Nothing is fetched: a bundle that is not
    there is found out by the deployment (S13.5).
    """
    if not asked:
        raise AwsError("RevisionRequiredException", "A revision is required.")
    kind = asked.get("revisionType")
    if kind not in _TYPES[platform]:
        raise _invalid(f"revisionType is {kind or 'missing'}; for {platform} it must be {_either(_TYPES[platform])}")
    member = _MEMBER[kind]
    if not asked.get(member):
        raise _invalid(f"a revision of type {kind} needs {member}")
    if others := [other for other in _MEMBER.values() if other != member and other in asked]:
        raise _invalid(f"a revision of type {kind} goes without {others[0]}")
    if kind == "S3":
        _check_s3(asked[member], platform)
    elif kind == "GitHub":
        _check_github(asked[member])
    else:
        return {"revisionType": kind, member: _with_hash(asked[member], member)}
    return {"revisionType": kind, member: dict(asked[member])}


def _check_s3(location: Mapping[str, Any], platform: ComputePlatform) -> None:
    for part in ("bucket", "key"):
        if not location.get(part):
            raise _invalid(f"s3Location needs a {part}")
    bundles = _BUNDLES[platform]
    if location.get("bundleType") not in bundles:
        raise _invalid(
            f"bundleType is {location.get('bundleType') or 'missing'}; for {platform} it must be {_either(bundles)}"
        )


def _check_github(location: Mapping[str, Any]) -> None:
    if not location.get("repository"):
        raise _invalid("gitHubLocation needs a repository, as owner/name")
    if not location.get("commitId"):
        raise _invalid("gitHubLocation needs a commitId")
    try:
        elsewhere = git_url(location["repository"])
    except ValueError as why:
        raise _invalid(f"the repository of gitHubLocation is not usable: {why}") from None
    if elsewhere and not _COMMIT_ID.fullmatch(location["commitId"]):
        raise _invalid("outside GitHub, the commitId must be whole: 40 (or 64) hexadecimal digits in lower case")


def _with_hash(raw: Mapping[str, Any], member: str) -> dict[str, Any]:
    content = raw.get("content", "").encode()
    if not content:
        raise _invalid(f"{member} needs a content")
    if len(content) > MAX_CONTENT:
        raise _invalid(f"the content of {member} is longer than {MAX_CONTENT} bytes")
    digest = hashlib.sha256(content).hexdigest()
    if raw.get("sha256", digest).lower() != digest:
        raise _invalid(f"the sha256 of {member} is not that of its content, which is {digest}")
    return {**raw, "sha256": digest}


def _invalid(why: str) -> AwsError:
    return AwsError("InvalidRevisionException", f"The revision is not valid: {why}.")


def _either(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _listing(asked: ListApplicationRevisionsInputTypeDef) -> Listing:
    bucket, prefix = asked.get("s3Bucket"), asked.get("s3KeyPrefix")
    if bucket is None and prefix is not None:
        raise AwsError("BucketNameFilterRequiredException", "s3KeyPrefix narrows s3Bucket: add s3Bucket.")
    if bucket is not None and not _BUCKET.fullmatch(bucket):
        raise AwsError("InvalidBucketNameFilterException", f"s3Bucket {bucket[:100]!r} cannot be a bucket's name.")
    if prefix is not None and not 0 < len(prefix.encode()) <= _MAX_KEY:
        raise AwsError("InvalidKeyPrefixFilterException", f"s3KeyPrefix must be of 1 to {_MAX_KEY} bytes.")
    sort_by = asked.get("sortBy")
    deployed: dict[str | None, bool] = {"include": True, "exclude": False}
    return Listing(
        sort_by=None if sort_by is None else SortBy(sort_by),
        descending=asked.get("sortOrder") == "descending",
        s3_bucket=bucket,
        s3_key_prefix=prefix,
        deployed=deployed.get(asked.get("deployed")),
    )


def _info(revision: Revision, groups: Iterable[str]) -> GenericRevisionInfoTypeDef:
    return cast(
        "GenericRevisionInfoTypeDef",
        {
            "description": revision.description,
            "deploymentGroups": list(groups),
            "firstUsedTime": revision.first_used_time,
            "lastUsedTime": revision.last_used_time,
            "registerTime": revision.register_time,
        },
    )
