"""RunInstances: what is asked for, completed from the launch template, checked, and made into instances."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from longshore.onebox.machinery.records import Document, Owner, Transaction
from longshore.onebox.services.ec2 import images, launch_templates, networks, rows, tags
from longshore.onebox.services.ec2.errors import invalid, missing, unknown
from longshore.onebox.services.ec2.ports import Profile
from longshore.onebox.services.ec2.values import Instance, State
from longshore.wire.service import AwsError

#: Instances that one call may launch.
_MOST = 500
#: Bytes, before base64.
_MOST_USER_DATA = 16_384
_USUAL_TYPE: Final = "m1.small"
#: What somebody may rely on, and is not done.
_NOT_DONE: Final = (
    "CapacityReservationSpecification",
    "DisableApiStop",
    "DisableApiTermination",
    "EnclaveOptions",
    "HibernationOptions",
    "InstanceMarketOptions",
    "InstanceRequirements",
    "Ipv6AddressCount",
    "Ipv6Addresses",
    "PrivateIpAddress",
)


@dataclass(frozen=True, kw_only=True)
class Launched:
    """What a launch made, or found made already by an earlier one with the same token."""

    reservation: str
    instances: list[Instance]
    is_new: bool


def completed(tx: Transaction, owner: Owner, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked for, with what the launch template says of all that is not."""
    chosen = asked.get("LaunchTemplate")
    if not chosen:
        return dict(asked)
    template, version, data = launch_templates.chosen(tx, owner, chosen)
    own_tags = {"TagSpecifications": tags.merged(data.get("TagSpecifications"), asked.get("TagSpecifications"))}
    launched_by = {"aws:ec2launchtemplate:id": template, "aws:ec2launchtemplate:version": str(version)}
    given = {name: value for name, value in asked.items() if value not in (None, [], {})}
    return {**data, **given, **own_tags, "SystemTags": {**launched_by, **asked.get("SystemTags", {})}}


def launch(
    tx: Transaction, owner: Owner, asked: Mapping[str, Any], *, profile: Profile | None, question: str, now: float
) -> Launched:
    """The instances that a completed request asks for, written down as pending.

    `profile` is the one that it names, and `question` what was asked before it was completed (`question`).
    """
    count = _count(asked)
    token = asked.get("ClientToken")
    if token and (before := [one for one in rows.instances(tx, owner) if one.client_token == token]):
        if before[0].asked != question:
            raise AwsError(
                "IdempotentParameterMismatch",
                "The client token you have provided is associated with another request; use a new one.",
            )
        same = sorted(before, key=lambda one: one.index)
        return Launched(reservation=before[0].reservation, instances=same, is_new=False)
    for member in _NOT_DONE:
        if asked.get(member):
            raise AwsError("UnsupportedOperation", f"{member} is not supported by this server; leave it out.")
    image = images.existing(tx, owner, asked.get("ImageId"))["id"]
    networks.ensure(tx, owner)
    interface = _interface(asked)
    named_subnet = asked.get("SubnetId") or interface.get("SubnetId")
    subnets = _subnets(tx, owner, asked.get("Placement", {}).get("AvailabilityZone"), named_subnet, count)
    groups = _groups(tx, owner, asked, interface, subnets[0]["vpc"])
    options = asked.get("MetadataOptions", {})
    wanted_tags = {**tags.of_specifications(asked.get("TagSpecifications"), "instance"), **asked.get("SystemTags", {})}
    reservation = rows.new_id("r")
    addresses = {
        subnet["id"]: networks.addresses(tx, subnet, subnets.count(subnet))
        for subnet in {one["id"]: one for one in subnets}.values()
    }
    made = []
    for index, subnet in enumerate(subnets):
        address = addresses[subnet["id"]].pop(0)
        made.append(
            Instance(
                id=rows.new_id("i"),
                state=State.PENDING,
                reservation=reservation,
                index=index,
                launch_time=now,
                image=image,
                type=asked.get("InstanceType", _USUAL_TYPE),
                private_ip=address,
                private_dns_name=networks.name_of(address, owner.region),
                zone=subnet["zone"],
                subnet=subnet["id"],
                vpc=subnet["vpc"],
                security_groups=groups,
                key_name=asked.get("KeyName"),
                profile=None if profile is None else profile.arn,
                profile_id=None if profile is None else profile.id,
                user_data=_user_data(asked.get("UserData")),
                shutdown_behavior=asked.get("InstanceInitiatedShutdownBehavior", "stop"),
                has_metadata=options.get("HttpEndpoint", "enabled") == "enabled",
                metadata_has_tags=options.get("InstanceMetadataTags", "disabled") == "enabled",
                client_token=token,
                asked=question,
                tags=wanted_tags,
            )
        )
    rows.put(tx, owner, made)
    return Launched(reservation=reservation, instances=made, is_new=True)


def profile_asked(asked: Mapping[str, Any]) -> str | None:
    """The name or ARN of the instance profile that a completed request asks for."""
    named = asked.get("IamInstanceProfile") or {}
    profile: str | None = named.get("Arn") or named.get("Name")
    return profile


def _count(asked: Mapping[str, Any]) -> int:
    least, most = asked.get("MinCount", 1), asked.get("MaxCount", 1)
    if not 1 <= least <= most:
        raise invalid(f"Value ({least}) for parameter minCount is invalid: it is from 1 to maxCount, which is {most}.")
    if least > _MOST:
        raise AwsError(
            "InstanceLimitExceeded", f"You have requested {least} instances; one call launches {_MOST} at most."
        )
    return int(min(most, _MOST))


def question(asked: Mapping[str, Any]) -> str:
    """What is asked for, in short: the same token must mean the same, whatever became of a launch template."""
    told = {name: value for name, value in asked.items() if name not in ("ClientToken", "DryRun")}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def _interface(asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first network interface, which may name subnet and groups in the place of the request."""
    interfaces = asked.get("NetworkInterfaces") or [{}]
    first: Mapping[str, Any] = interfaces[0]
    if len(interfaces) > 1 or first.get("NetworkInterfaceId"):
        raise AwsError("UnsupportedOperation", "An instance has one network interface, which is made with it.")
    return first


def _subnets(tx: Transaction, owner: Owner, zone: str | None, subnet_id: str | None, count: int) -> list[Document]:
    """The subnet of each instance: the one named, the zone's, or where the fewest are so far."""
    if subnet_id:
        subnet = tx.get(rows.SUBNET, owner, subnet_id)
        if subnet is None:
            raise unknown("InvalidSubnetID", "subnet ID", [subnet_id])
        if zone and zone != subnet["zone"]:
            raise invalid(f"The subnet '{subnet_id}' is in {subnet['zone']}, not in {zone}.")
        return [subnet] * count
    if zone:
        require_zone(owner, zone)
        return [networks.subnet_in(tx, owner, zone)] * count
    load = Counter(one.zone for one in rows.instances(tx, owner) if not one.state.is_over)
    chosen = []
    for _ in range(count):
        least = min(networks.zones(owner.region), key=lambda one: load[one])
        load[least] += 1
        chosen.append(networks.subnet_in(tx, owner, least))
    return chosen


def require_zone(owner: Owner, zone: str) -> None:
    """Refuse a zone that the region does not have."""
    known = networks.zones(owner.region)
    if zone not in known:
        raise invalid(f"Invalid availability zone: [{zone[:64]}]; this region has {', '.join(known)}.")


def _groups(
    tx: Transaction, owner: Owner, asked: Mapping[str, Any], interface: Mapping[str, Any], vpc: str
) -> tuple[str, ...]:
    known = tx.all(rows.SECURITY_GROUP, owner)
    ids = asked.get("SecurityGroupIds") or interface.get("Groups") or []
    if strange := set(ids) - known.keys():
        raise unknown("InvalidGroup", "security group", strange)
    in_vpc = {group["name"]: group["id"] for group in known.values() if group["vpc"] == vpc}
    names = asked.get("SecurityGroups") or []
    if strange := set(names) - in_vpc.keys():
        raise unknown("InvalidGroup", "security group", strange)
    return tuple(dict.fromkeys([*ids, *(in_vpc[name] for name in names)])) or (in_vpc["default"],)


def _user_data(given: str | None) -> str | None:
    if not given:
        return None
    try:
        # As AWS: lines may be broken.
        plain = base64.b64decode(re.sub(r"\s", "", given), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Invalid BASE64 encoding of user data.") from None
    if len(plain) > _MOST_USER_DATA:
        raise invalid(f"User data is limited to {_MOST_USER_DATA} bytes.")
    return given


def require_image(asked: Mapping[str, Any]) -> None:
    """Say early that a request without template must name an image."""
    if not asked.get("ImageId") and not asked.get("LaunchTemplate"):
        raise missing("ImageId")
