"""Operations on the tags of applications, deployment groups and custom deployment configs (server.md S12.44–46)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from longshore.api.existing import application_missing, config_missing, group_missing
from longshore.api.limits import Limits
from longshore.api.operations import Call, reads, writes
from longshore.store import applications, deployment_configs, deployment_groups, resource_tags
from longshore.wire.service import AwsError

if TYPE_CHECKING:
    from mypy_boto3_codedeploy.type_defs import (
        ListTagsForResourceInputTypeDef,
        ListTagsForResourceOutputTypeDef,
        TagResourceInputTypeDef,
        TagTypeDef,
        UntagResourceInputTypeDef,
    )


@writes("TagResource")
def tag_resource(call: Call, asked: TagResourceInputTypeDef) -> Mapping[str, Any]:
    resource = _named(call, asked["ResourceArn"])
    tags = tags_to_add(asked["Tags"], call.limits)
    resource_id = _existing(call, resource)
    together = resource_tags.tags_of(call.tx, resource_id) | tags
    if len(together) > call.limits.tags_per_resource:
        raise _too_many(len(together), call.limits)
    resource_tags.put(call.tx, resource_id, tags)
    return {}


@writes("UntagResource")
def untag_resource(call: Call, asked: UntagResourceInputTypeDef) -> Mapping[str, Any]:
    resource_id = _existing(call, _named(call, asked["ResourceArn"]))
    resource_tags.remove(call.tx, resource_id, asked["TagKeys"])
    return {}


@reads("ListTagsForResource")
def list_tags_for_resource(call: Call, asked: ListTagsForResourceInputTypeDef) -> ListTagsForResourceOutputTypeDef:
    """All tags at once: a resource has fewer than a page holds, so no token is ever given out."""
    resource_id = _find(call, _named(call, asked["ResourceArn"]))
    tags = {} if resource_id is None else resource_tags.tags_of(call.tx, resource_id)
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    return cast("ListTagsForResourceOutputTypeDef", {"Tags": listed})


def is_reserved(key: str) -> bool:
    """Whether nobody but AWS may give a tag this key."""
    return key[:4].lower() == "aws:"


def tags_to_add(asked: Sequence[TagTypeDef], limits: Limits) -> dict[str, str]:
    """Tags for a resource, by key; a tag without a value has an empty one."""
    tags: dict[str, str] = {}
    for tag in asked:
        key = tag["Key"]
        if is_reserved(key):
            raise AwsError(
                "InvalidTagsToAddException",
                f"The tag key {key!r} begins with aws:, which is AWS's. Choose another.",
            )
        if key in tags:
            raise AwsError("InvalidTagsToAddException", f"The tag key {key!r} is given twice; a key has one value.")
        tags[key] = tag.get("Value", "")
    if len(tags) > limits.tags_per_resource:
        raise _too_many(len(tags), limits)
    return tags


def _too_many(number: int, limits: Limits) -> AwsError:
    return AwsError(
        "InvalidTagsToAddException",
        f"The resource would have {number} tags; it may have {limits.tags_per_resource}. Remove some first.",
    )


@dataclass(frozen=True, slots=True)
class _Resource:
    """What an ARN names, whether it is there or not."""

    #: `application`, `deploymentgroup` or `deploymentconfig`.
    kind: str
    name: str
    #: The group's name, where `name` is its application's.
    group: str = ""


def _named(call: Call, arn: str) -> _Resource:
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn":
        raise AwsError("InvalidArnException", f"{arn} is not an ARN.")
    service, region, account, resource = parts[2:]
    kind, _, name = resource.partition(":")
    application, _, group = name.partition("/")
    if service != "codedeploy" or kind not in ("application", "deploymentgroup", "deploymentconfig"):
        raise AwsError(
            "ArnNotSupportedException",
            f"{arn} cannot be tagged: only applications, deployment groups and deployment configs can.",
        )
    if not application or bool(group) != (kind == "deploymentgroup"):
        raise AwsError("InvalidArnException", f"{arn} does not name a {kind}.")
    if (account, region) != (call.scope.account, call.scope.region):
        raise AwsError(
            "InvalidArnException",
            f"{arn} is not of account {call.scope.account} in {call.scope.region}, where this call was made.",
        )
    return _Resource(kind, application, group)


def _find(call: Call, resource: _Resource) -> str | None:
    """The id of a resource, if there is one of that name."""
    if resource.kind == "deploymentconfig":
        config = deployment_configs.find(call.tx, call.scope, resource.name)
        if config is not None and config.is_predefined:
            raise AwsError(
                "ArnNotSupportedException", f"{resource.name} is predefined and shared by all; it cannot be tagged."
            )
        return None if config is None else config.id
    application = applications.find(call.tx, call.scope, resource.name)
    if application is None:
        return None
    if resource.kind == "application":
        return application.id
    group = deployment_groups.find(call.tx, application.id, resource.group)
    return None if group is None else group.id


def _existing(call: Call, resource: _Resource) -> str:
    found = _find(call, resource)
    if found is not None:
        return found
    if resource.kind == "deploymentconfig":
        raise config_missing(call, resource.name)
    if resource.kind == "deploymentgroup" and applications.find(call.tx, call.scope, resource.name) is not None:
        raise group_missing(resource.name, resource.group)
    raise application_missing(call, resource.name)
