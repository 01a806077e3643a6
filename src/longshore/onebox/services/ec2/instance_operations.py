"""Operations on instances."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from longshore.onebox.services.ec2 import ec2, images, rows
from longshore.onebox.services.ec2.errors import require_form
from longshore.onebox.services.ec2.filters import Field, chosen
from longshore.onebox.services.ec2.operations import Asked, page, reads, writes
from longshore.onebox.services.ec2.tags import shown as shown_tags
from longshore.onebox.services.ec2.values import Instance, State
from longshore.wire.service import AwsError

#: The names of security groups, by id.
Groups = Mapping[str, str]


@writes("RunInstances")
def run_instances(asked: Asked) -> Any:
    launched = asked.world.ec2.run(asked.owner, asked.input)
    return _reservation(asked, launched.instances, _groups(asked))


@reads("DescribeInstances")
def describe_instances(asked: Asked) -> Any:
    if asked.get("InstanceIds") and asked.get("MaxResults"):
        raise AwsError(
            "InvalidParameterCombination",
            "The parameter instancesSet cannot be used with the parameter maxResults",
        )
    found = _found(asked, _FIELDS)
    found.sort(key=_reserved)
    # A reservation that a page cuts in two is shown on both.
    rest, more = page(asked, found, _place)
    groups = _groups(asked)
    reservations = [
        _reservation(asked, list(instances), groups)
        for _, instances in itertools.groupby(rest, key=lambda one: one.reservation)
    ]
    return {"Reservations": reservations, **more}


@reads("DescribeInstanceStatus")
def describe_instance_status(asked: Asked) -> Any:
    found = _found(asked, _STATUS_FIELDS)
    if not asked.get("IncludeAllInstances"):
        found = [one for one in found if one.state is State.RUNNING]
    found.sort(key=lambda one: one.id)
    rest, more = page(asked, found, lambda one: one.id)
    return {"InstanceStatuses": [_status(one) for one in rest], **more}


@writes("TerminateInstances")
def terminate_instances(asked: Asked) -> Any:
    return {"TerminatingInstances": _changed(asked, ec2.terminated)}


@writes("StopInstances")
def stop_instances(asked: Asked) -> Any:
    return {"StoppingInstances": _changed(asked, ec2.stopped)}


@writes("StartInstances")
def start_instances(asked: Asked) -> Any:
    return {"StartingInstances": _changed(asked, ec2.started)}


@writes("RebootInstances")
def reboot_instances(asked: Asked) -> None:
    _changed(asked, ec2.rebooted)


@reads("GetConsoleOutput")
def get_console_output(asked: Asked) -> Any:
    """What the user data said: there is no console but that."""
    (instance,) = _these(asked, [asked["InstanceId"]])
    said = asked.world.hosts.console(instance)
    return {
        "InstanceId": instance.id,
        "Timestamp": asked.call.now,
        "Output": base64.b64encode(said.encode()).decode("ascii"),
    }


def _changed(asked: Asked, step: Callable[[Instance, float], Instance]) -> list[dict[str, Any]]:
    changes = asked.world.ec2.change(asked.owner, asked["InstanceIds"], step)
    return [
        {"InstanceId": before.id, "PreviousState": before.state.shown, "CurrentState": after.state.shown}
        for before, after in changes
    ]


def _these(asked: Asked, ids: Sequence[str]) -> list[Instance]:
    require_form(ids, "i", "InvalidInstanceID")
    with asked.world.records.transaction() as tx:
        return ec2.existing(tx, asked.owner, ids)


def _found(asked: Asked, fields: Mapping[str, Field]) -> list[Instance]:
    ids = asked.get("InstanceIds")
    these = _these(asked, ids) if ids else asked.world.ec2.instances(asked.owner)
    return chosen(these, asked.get("Filters", ()), fields, lambda one: one.tags)


def _reserved(instance: Instance) -> tuple[str, int]:
    return instance.reservation, instance.index


def _place(instance: Instance) -> str:
    return f"{instance.reservation}/{instance.index:04}"


def _groups(asked: Asked) -> Groups:
    with asked.world.records.transaction() as tx:
        return {name: group["name"] for name, group in tx.all(rows.SECURITY_GROUP, asked.owner).items()}


def _reservation(asked: Asked, instances: Sequence[Instance], groups: Groups) -> dict[str, Any]:
    return {
        "ReservationId": instances[0].reservation,
        "OwnerId": asked.owner.account,
        "Groups": [],
        "Instances": [_shown(one, groups) for one in instances],
    }


def _shown(instance: Instance, groups: Groups) -> dict[str, Any]:
    is_there = instance.private_ip is not None
    state_reason = {"Code": instance.reason_code, "Message": instance.reason} if instance.reason_code else None
    profile = {"Arn": instance.profile, "Id": instance.profile_id} if instance.profile else None
    return {
        "InstanceId": instance.id,
        "ImageId": instance.image,
        "State": instance.state.shown,
        "StateReason": state_reason,
        "StateTransitionReason": instance.reason,
        "PrivateDnsName": instance.private_dns_name if is_there else "",
        "PublicDnsName": "",
        "PrivateIpAddress": instance.private_ip,
        "KeyName": instance.key_name,
        "AmiLaunchIndex": instance.index,
        "InstanceType": instance.type,
        "LaunchTime": instance.launch_time,
        "Placement": {"AvailabilityZone": instance.zone, "GroupName": "", "Tenancy": "default"},
        "Monitoring": {"State": "disabled"},
        "SubnetId": instance.subnet if is_there else None,
        "VpcId": instance.vpc if is_there else None,
        "Architecture": images.architecture(),
        "RootDeviceType": "instance-store",
        "VirtualizationType": "hvm",
        "ClientToken": instance.client_token or "",
        "IamInstanceProfile": profile,
        "SecurityGroups": [
            {"GroupId": group, "GroupName": groups.get(group, "")} for group in instance.security_groups if is_there
        ],
        "Tags": shown_tags(instance.tags),
        "MetadataOptions": {
            "State": "applied",
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
            "HttpEndpoint": "enabled" if instance.has_metadata else "disabled",
            "InstanceMetadataTags": "enabled" if instance.metadata_has_tags else "disabled",
        },
        "BlockDeviceMappings": [],
        "NetworkInterfaces": [],
        "EbsOptimized": False,
        "PlatformDetails": "Linux/UNIX",
    }


def _status(instance: Instance) -> dict[str, Any]:
    is_running = instance.state is State.RUNNING
    summary = {"Status": "ok" if is_running else "not-applicable"}
    if is_running:
        summary["Details"] = [{"Name": "reachability", "Status": "passed"}]  # type: ignore[assignment]  # of summary
    return {
        "InstanceId": instance.id,
        "AvailabilityZone": instance.zone,
        "InstanceState": instance.state.shown,
        "InstanceStatus": summary,
        "SystemStatus": summary,
    }


def _one(read: Callable[[Instance], str | None]) -> Field:
    return lambda instance: [text] if (text := read(instance)) is not None else []


_STATUS_FIELDS: Mapping[str, Field] = {
    "availability-zone": _one(lambda one: one.zone),
    "instance-state-code": _one(lambda one: str(one.state.shown["Code"])),
    "instance-state-name": _one(lambda one: one.state.value),
    "instance-status.status": _one(lambda one: _status(one)["InstanceStatus"]["Status"]),
    "system-status.status": _one(lambda one: _status(one)["SystemStatus"]["Status"]),
}

_FIELDS: Mapping[str, Field] = {
    "architecture": _one(lambda _: images.architecture()),
    "availability-zone": _one(lambda one: one.zone),
    "client-token": _one(lambda one: one.client_token),
    "iam-instance-profile.arn": _one(lambda one: one.profile),
    "image-id": _one(lambda one: one.image),
    "instance-id": _one(lambda one: one.id),
    "instance-state-code": _one(lambda one: str(one.state.shown["Code"])),
    "instance-state-name": _one(lambda one: one.state.value),
    "instance-type": _one(lambda one: one.type),
    "instance.group-id": lambda one: one.security_groups,
    "key-name": _one(lambda one: one.key_name),
    "launch-index": _one(lambda one: str(one.index)),
    "network-interface.addresses.private-ip-address": _one(lambda one: one.private_ip),
    "placement-availability-zone": _one(lambda one: one.zone),
    "private-dns-name": _one(lambda one: one.private_dns_name),
    "private-ip-address": _one(lambda one: one.private_ip),
    "reason": _one(lambda one: one.reason),
    "reservation-id": _one(lambda one: one.reservation),
    "state-reason-code": _one(lambda one: one.reason_code),
    "subnet-id": _one(lambda one: one.subnet),
    "vpc-id": _one(lambda one: one.vpc),
}
