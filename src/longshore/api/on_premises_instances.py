"""Operations on on-premises instances (server.md S8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from longshore.api.operations import Call, reads, writes
from longshore.api.pages import page_of_names
from longshore.api.resource_tags import is_reserved
from longshore.domain.group import BadTagFilterError, TagSet, tag_filter
from longshore.store import instances
from longshore.store.instances import Instance, Tag
from longshore.wire.service import AwsError

if TYPE_CHECKING:
    from mypy_boto3_codedeploy.type_defs import (
        AddTagsToOnPremisesInstancesInputTypeDef,
        BatchGetOnPremisesInstancesInputTypeDef,
        BatchGetOnPremisesInstancesOutputTypeDef,
        DeregisterOnPremisesInstanceInputTypeDef,
        GetOnPremisesInstanceInputTypeDef,
        GetOnPremisesInstanceOutputTypeDef,
        InstanceInfoTypeDef,
        ListOnPremisesInstancesInputTypeDef,
        ListOnPremisesInstancesOutputTypeDef,
        RegisterOnPremisesInstanceInputTypeDef,
        RemoveTagsFromOnPremisesInstancesInputTypeDef,
        TagFilterTypeDef,
        TagTypeDef,
    )


@writes("RegisterOnPremisesInstance")
def register_on_premises_instance(call: Call, asked: RegisterOnPremisesInstanceInputTypeDef) -> None:
    name = asked["instanceName"]
    user, session = asked.get("iamUserArn"), asked.get("iamSessionArn")
    if user is None and session is None:
        raise AwsError(
            "IamArnRequiredException",
            f"{name} needs an iamUserArn or an iamSessionArn: its agent signs as that user or session.",
        )
    if user is not None and session is not None:
        raise AwsError(
            "MultipleIamArnsProvidedException", f"{name} has an iamUserArn and an iamSessionArn; give only one."
        )
    arn = user or session or ""
    if arn.split(":")[4] != call.scope.account:
        # Whoever registers a host may deploy to it: another account's is that account's to register.
        raise AwsError(
            "InvalidIamUserArnException" if user else "InvalidIamSessionArnException",
            f"{arn} is of another account; a host signs as a user or session of the account that it is registered in,"
            f" {call.scope.account}. Give the ARN of one.",
        )
    known = instances.find(call.tx, call.scope, name)
    if known is not None and known.is_registered:
        raise AwsError(
            "InstanceNameAlreadyRegisteredException",
            f"An on-premises instance named {name} is registered already. Choose another name, or deregister it first.",
        )
    other = instances.with_principal(call.tx, call.scope, iam_user_arn=user, iam_session_arn=session)
    if other is not None:
        raise AwsError(
            "IamUserArnAlreadyRegisteredException" if user else "IamSessionArnAlreadyRegisteredException",
            f"{arn} is registered for the on-premises instance {other.name} already. Give every host its own, or"
            f" deregister {other.name} first.",
        )
    instances.register(call.tx, call.scope, name=name, iam_user_arn=user, iam_session_arn=session, now=call.now)


@writes("DeregisterOnPremisesInstance")
def deregister_on_premises_instance(call: Call, asked: DeregisterOnPremisesInstanceInputTypeDef) -> None:
    """Take an instance out of every group; one that is not registered is no matter (S8.6)."""
    instances.deregister(call.tx, call.scope, asked["instanceName"], call.now)


@reads("GetOnPremisesInstance")
def get_on_premises_instance(
    call: Call, asked: GetOnPremisesInstanceInputTypeDef
) -> GetOnPremisesInstanceOutputTypeDef:
    """An instance, also after it was deregistered (S8.8)."""
    name = asked["instanceName"]
    instance = instances.find(call.tx, call.scope, name)
    if instance is None:
        raise _not_registered(call, name)
    return cast("GetOnPremisesInstanceOutputTypeDef", {"instanceInfo": _info(instance)})


@reads("BatchGetOnPremisesInstances")
def batch_get_on_premises_instances(
    call: Call, asked: BatchGetOnPremisesInstancesInputTypeDef
) -> BatchGetOnPremisesInstancesOutputTypeDef:
    """Those of the instances that were ever registered, in the order asked (S12.0c)."""
    names = asked["instanceNames"]
    if len(names) > call.limits.batch:
        raise AwsError(
            "BatchLimitExceededException",
            f"{len(names)} on-premises instances were asked for; the most at once is {call.limits.batch}. Ask in"
            " several calls.",
        )
    found = instances.several(call.tx, call.scope, names)
    infos = [_info(found[name]) for name in names if name in found]
    return cast("BatchGetOnPremisesInstancesOutputTypeDef", {"instanceInfos": infos})


@reads("ListOnPremisesInstances")
def list_on_premises_instances(
    call: Call, asked: ListOnPremisesInstancesInputTypeDef
) -> ListOnPremisesInstancesOutputTypeDef:
    status, filters = asked.get("registrationStatus"), asked.get("tagFilters", ())
    tag_set = _any_of(call, filters)
    names, token = page_of_names(
        call,
        ["ListOnPremisesInstances", status, filters],
        asked.get("nextToken"),
        lambda after, count: instances.names(
            call.tx,
            call.scope,
            registered=None if status is None else status == "Registered",
            tag_set=tag_set,
            after=after,
            count=count,
        ),
    )
    return cast("ListOnPremisesInstancesOutputTypeDef", {"instanceNames": names, "nextToken": token})


@writes("AddTagsToOnPremisesInstances")
def add_tags_to_on_premises_instances(call: Call, asked: AddTagsToOnPremisesInstancesInputTypeDef) -> None:
    """Give every instance every tag, or none of them any (S8.4)."""
    tags = _tags(asked["tags"])
    for key, _ in tags:
        if is_reserved(key):
            raise AwsError(
                "InvalidTagException", f"The tag key {key!r} begins with aws:, which is AWS's. Choose another."
            )
    targets = _registered(call, asked["instanceNames"])
    for target in targets:
        if len({*target.tags, *tags}) > call.limits.tags_per_instance:
            raise AwsError(
                "TagLimitExceededException",
                f"{target.name} would have {len({*target.tags, *tags})} tags; an on-premises instance may have"
                f" {call.limits.tags_per_instance}. Remove some first.",
            )
    instances.add_tags(call.tx, targets, tags)


@writes("RemoveTagsFromOnPremisesInstances")
def remove_tags_from_on_premises_instances(call: Call, asked: RemoveTagsFromOnPremisesInstancesInputTypeDef) -> None:
    """Take every tag, key and value together, off every instance; one it does not have is no matter."""
    tags = _tags(asked["tags"])
    instances.remove_tags(call.tx, _registered(call, asked["instanceNames"]), tags)


def _tags(asked: Sequence[TagTypeDef]) -> list[Tag]:
    return [(tag["Key"], tag.get("Value", "")) for tag in asked]


def _registered(call: Call, names: Sequence[str]) -> list[Instance]:
    """These instances, each once, all of them registered."""
    if len(names) > call.limits.instances_per_call:
        raise AwsError(
            "InstanceLimitExceededException",
            f"{len(names)} on-premises instances were named; the most at once is {call.limits.instances_per_call}. Name"
            " them in several calls.",
        )
    found = instances.several(call.tx, call.scope, names)
    if missing := [name for name in dict.fromkeys(names) if name not in found or not found[name].is_registered]:
        raise _not_registered(call, ", ".join(missing))
    return list(found.values())


def _any_of(call: Call, filters: Sequence[TagFilterTypeDef]) -> TagSet:
    if len(filters) > call.limits.filters_per_tag_list:
        raise AwsError(
            "InvalidTagFilterException",
            f"{len(filters)} tag filters were given; the most is {call.limits.filters_per_tag_list}.",
        )
    try:
        return [[tag_filter(asked) for asked in filters]] if filters else []
    except BadTagFilterError as problem:
        raise AwsError("InvalidTagFilterException", f"tagFilters: {problem}.") from None


def _not_registered(call: Call, name: str) -> AwsError:
    return AwsError(
        "InstanceNotRegisteredException",
        f"No on-premises instance named {name} is registered in {call.scope.region}. aws deploy"
        " list-on-premises-instances shows those that are.",
    )


def _info(instance: Instance) -> InstanceInfoTypeDef:
    return cast(
        "InstanceInfoTypeDef",
        {
            "instanceName": instance.name,
            "iamUserArn": instance.iam_user_arn,
            "iamSessionArn": instance.iam_session_arn,
            "instanceArn": instance.arn,
            "registerTime": instance.register_time,
            "deregisterTime": instance.deregister_time,
            # Always there, be it empty: `aws deploy deregister` reads it unguarded (S8.8).
            "tags": [{"Key": key, "Value": value} for key, value in instance.tags],
        },
    )
