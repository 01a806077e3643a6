"""Operations on zones, and on networks as far as set-up scripts need them: they separate nothing here."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from longshore.onebox.machinery.records import Document, Owner, Transaction
from longshore.onebox.services.ec2 import launching, networks, rows, tags
from longshore.onebox.services.ec2.errors import invalid, missing, unknown
from longshore.onebox.services.ec2.filters import Field, chosen
from longshore.onebox.services.ec2.operations import Asked, page, reads, writes
from longshore.wire.service import AwsError


@reads("DescribeRegions")
def describe_regions(asked: Asked) -> Any:
    """The region that is asked: every region is there that somebody signs for."""
    region = asked.owner.region
    known = [{"RegionName": region, "Endpoint": f"ec2.{region}.amazonaws.com", "OptInStatus": "opt-in-not-required"}]
    names = asked.get("RegionNames")
    if names and (strange := set(names) - {region}):
        raise invalid(f"Invalid region: [{', '.join(sorted(strange))[:200]}]; ask it itself.")
    fields = {"region-name": lambda one: [one["RegionName"]], "endpoint": lambda one: [one["Endpoint"]]}
    return {"Regions": chosen(known, asked.get("Filters", ()), fields, lambda _: {})}


@reads("DescribeAvailabilityZones")
def describe_availability_zones(asked: Asked) -> Any:
    region = asked.owner.region
    known = [networks.shown_zone(zone, region) for zone in networks.zones(region)]
    for zone in asked.get("ZoneNames", ()):
        launching.require_zone(asked.owner, zone)
    wanted = asked.get("ZoneNames") or networks.zones(region)
    fields = {
        "zone-name": lambda one: [one["ZoneName"]],
        "zone-id": lambda one: [one["ZoneId"]],
        "region-name": lambda one: [one["RegionName"]],
        "state": lambda one: [one["State"]],
        "opt-in-status": lambda one: [one["OptInStatus"]],
        "zone-type": lambda one: [one["ZoneType"]],
    }
    found = [one for one in known if one["ZoneName"] in wanted]
    return {"AvailabilityZones": chosen(found, asked.get("Filters", ()), fields, lambda _: {})}


@writes("CreateVpc")
def create_vpc(asked: Asked) -> Any:
    cidr = asked.get("CidrBlock")
    if not cidr:
        raise missing("CidrBlock")
    _network(cidr)
    with asked.world.records.transaction() as tx:
        networks.ensure(tx, asked.owner)
        vpc = networks.put_vpc(tx, asked.owner, cidr, is_default=False)
        document = _tagged(tx, asked, rows.VPC, vpc, "vpc")
    return {"Vpc": _shown_vpc(document, asked.owner)}


@writes("DeleteVpc")
def delete_vpc(asked: Asked) -> None:
    vpc = asked["VpcId"]
    with asked.world.records.transaction() as tx:
        _existing(tx, asked.owner, rows.VPC, vpc, "InvalidVpcID", "vpc ID")
        groups = [one for one in tx.all(rows.SECURITY_GROUP, asked.owner).values() if one["vpc"] == vpc]
        has_subnets = any(one["vpc"] == vpc for one in tx.all(rows.SUBNET, asked.owner).values())
        if has_subnets or any(one["name"] != "default" for one in groups):
            raise _in_use("vpc", vpc)
        tx.delete(rows.VPC, asked.owner, vpc)
        for group in groups:
            tx.delete(rows.SECURITY_GROUP, asked.owner, group["id"])


@reads("DescribeVpcs")
def describe_vpcs(asked: Asked) -> Any:
    fields = {
        "vpc-id": lambda one: [one["id"]],
        "cidr": lambda one: [one["cidr"]],
        "is-default": _is_default,
        "isDefault": _is_default,
        "state": lambda _: ["available"],
    }
    found, more = _listed(asked, rows.VPC, asked.get("VpcIds"), fields, "InvalidVpcID", "vpc ID")
    return {"Vpcs": [_shown_vpc(one, asked.owner) for one in found], **more}


@writes("CreateSubnet")
def create_subnet(asked: Asked) -> Any:
    zone = asked.get("AvailabilityZone")
    if zone:
        launching.require_zone(asked.owner, zone)
    with asked.world.records.transaction() as tx:
        vpc = _existing(tx, asked.owner, rows.VPC, asked["VpcId"], "InvalidVpcID", "vpc ID")
        cidr = asked.get("CidrBlock")
        if not cidr:
            raise missing("CidrBlock")
        wanted = _network(cidr)
        if not wanted.subnet_of(ipaddress.IPv4Network(vpc["cidr"])):
            raise AwsError("InvalidSubnet.Range", f"The CIDR '{cidr}' is invalid: it is not in {vpc['cidr']}.")
        others = [one for one in tx.all(rows.SUBNET, asked.owner).values() if one["vpc"] == vpc["id"]]
        if any(wanted.overlaps(ipaddress.ip_network(one["cidr"])) for one in others):
            raise AwsError("InvalidSubnet.Conflict", f"The CIDR '{cidr}' conflicts with another subnet")
        subnet = networks.put_subnet(
            tx,
            asked.owner,
            vpc["id"],
            zone or networks.zones(asked.owner.region)[len(others) % len(networks.ZONES)],
            cidr,
            addresses=networks.spare_addresses(tx, asked.owner),
            is_default=False,
        )
        document = _tagged(tx, asked, rows.SUBNET, subnet, "subnet")
    return {"Subnet": _shown_subnet(document, asked.owner)}


@writes("DeleteSubnet")
def delete_subnet(asked: Asked) -> None:
    subnet = asked["SubnetId"]
    with asked.world.records.transaction() as tx:
        _existing(tx, asked.owner, rows.SUBNET, subnet, "InvalidSubnetID", "subnet ID")
        if any(one.subnet == subnet and not one.state.is_over for one in rows.instances(tx, asked.owner)):
            raise _in_use("subnet", subnet)
        tx.delete(rows.SUBNET, asked.owner, subnet)


@reads("DescribeSubnets")
def describe_subnets(asked: Asked) -> Any:
    fields = {
        "subnet-id": lambda one: [one["id"]],
        "vpc-id": lambda one: [one["vpc"]],
        "availability-zone": lambda one: [one["zone"]],
        "availabilityZone": lambda one: [one["zone"]],
        "cidr-block": lambda one: [one["cidr"]],
        "default-for-az": _is_default,
        "defaultForAz": _is_default,
        "state": lambda _: ["available"],
    }
    found, more = _listed(asked, rows.SUBNET, asked.get("SubnetIds"), fields, "InvalidSubnetID", "subnet ID")
    return {"Subnets": [_shown_subnet(one, asked.owner) for one in found], **more}


@writes("CreateSecurityGroup")
def create_security_group(asked: Asked) -> Any:
    name = asked["GroupName"]
    with asked.world.records.transaction() as tx:
        networks.ensure(tx, asked.owner)
        vpcs = tx.all(rows.VPC, asked.owner)
        vpc = asked.get("VpcId") or next((one["id"] for one in vpcs.values() if one["is_default"]), None)
        if vpc not in vpcs:
            raise unknown("InvalidVpcID", "vpc ID", [str(vpc)])
        if any(one["vpc"] == vpc and one["name"] == name for one in tx.all(rows.SECURITY_GROUP, asked.owner).values()):
            raise AwsError("InvalidGroup.Duplicate", f"The security group '{name}' already exists for VPC '{vpc}'")
        group = networks.put_security_group(tx, asked.owner, vpc, name, asked["Description"])
        document = _tagged(tx, asked, rows.SECURITY_GROUP, group, "security-group")
    return {"GroupId": group, "Tags": tags.shown(document["tags"])}


@writes("DeleteSecurityGroup")
def delete_security_group(asked: Asked) -> Any:
    with asked.world.records.transaction() as tx:
        group = _group(tx, asked)
        if group["name"] == "default":
            raise AwsError("CannotDelete", f'the specified group: "{group["id"]}" name: "default" cannot be deleted')
        if any(group["id"] in one.security_groups and not one.state.is_over for one in rows.instances(tx, asked.owner)):
            raise _in_use("security group", group["id"])
        tx.delete(rows.SECURITY_GROUP, asked.owner, group["id"])
    return {"Return": True, "GroupId": group["id"]}


@writes("AuthorizeSecurityGroupIngress")
def authorize_ingress(asked: Asked) -> Any:
    return _rules_added(asked, "ingress")


@writes("AuthorizeSecurityGroupEgress")
def authorize_egress(asked: Asked) -> Any:
    return _rules_added(asked, "egress")


@writes("RevokeSecurityGroupIngress")
def revoke_ingress(asked: Asked) -> Any:
    return _rules_removed(asked, "ingress")


@writes("RevokeSecurityGroupEgress")
def revoke_egress(asked: Asked) -> Any:
    return _rules_removed(asked, "egress")


@reads("DescribeSecurityGroups")
def describe_security_groups(asked: Asked) -> Any:
    fields = {
        "group-id": lambda one: [one["id"]],
        "group-name": lambda one: [one["name"]],
        "description": lambda one: [one["description"]],
        "vpc-id": lambda one: [one["vpc"]],
    }
    names = asked.get("GroupNames")
    found, more = _listed(asked, rows.SECURITY_GROUP, asked.get("GroupIds"), fields, "InvalidGroup", "security group")
    if names:
        found = [one for one in found if one["name"] in names]
        if strange := set(names) - {one["name"] for one in found}:
            raise unknown("InvalidGroup", "security group", strange)
    return {"SecurityGroups": [_shown_group(one, asked.owner) for one in found], **more}


def _rules_added(asked: Asked, way: str) -> Any:
    """Rules are kept and shown; on loopback nothing enforces them."""
    with asked.world.records.transaction() as tx:
        group = _group(tx, asked)
        for rule in _rules(asked):
            if rule in group[way]:
                raise AwsError("InvalidPermission.Duplicate", "the specified rule already exists")
            group[way].append(rule)
        tx.put(rows.SECURITY_GROUP, asked.owner, group["id"], group)
    return {"Return": True}


def _rules_removed(asked: Asked, way: str) -> Any:
    with asked.world.records.transaction() as tx:
        group = _group(tx, asked)
        for rule in _rules(asked):
            if rule not in group[way]:
                raise AwsError(
                    "InvalidPermission.NotFound", "The specified rule does not exist in this security group."
                )
            group[way].remove(rule)
        tx.put(rows.SECURITY_GROUP, asked.owner, group["id"], group)
    return {"Return": True}


def _rules(asked: Asked) -> list[dict[str, Any]]:
    if rules := asked.get("IpPermissions"):
        return list(rules)
    if not asked.get("IpProtocol"):
        raise missing("IpPermissions")
    rule = {name: asked[name] for name in ("IpProtocol", "FromPort", "ToPort") if asked.get(name) is not None}
    return [{**rule, "IpRanges": [{"CidrIp": asked["CidrIp"]}] if asked.get("CidrIp") else []}]


def _group(tx: Transaction, asked: Asked) -> Document:
    if identifier := asked.get("GroupId"):
        return _existing(tx, asked.owner, rows.SECURITY_GROUP, identifier, "InvalidGroup", "security group")
    for group in tx.all(rows.SECURITY_GROUP, asked.owner).values():
        if group["name"] == asked.get("GroupName"):
            return group
    if not asked.get("GroupName"):
        raise missing("GroupId")
    raise unknown("InvalidGroup", "security group", [asked["GroupName"]])


def _listed(
    asked: Asked, kind: str, ids: Sequence[str] | None, fields: Mapping[str, Field], code: str, what: str
) -> tuple[list[Document], dict[str, Any]]:
    with asked.world.records.transaction() as tx:
        networks.ensure(tx, asked.owner)
        known = tx.all(kind, asked.owner)
    if ids and (strange := set(ids) - known.keys()):
        raise unknown(code, what, strange)
    these = [known[one] for one in dict.fromkeys(ids)] if ids else list(known.values())
    found = sorted(chosen(these, asked.get("Filters", ()), fields, lambda one: one["tags"]), key=lambda one: one["id"])
    return page(asked, found, lambda one: str(one["id"]))


def _existing(tx: Transaction, owner: Owner, kind: str, identifier: str, code: str, what: str) -> Document:
    networks.ensure(tx, owner)
    found = tx.get(kind, owner, identifier)
    if found is None:
        raise unknown(code, what, [identifier])
    return found


def _tagged(tx: Transaction, asked: Asked, kind: str, identifier: str, resource: str) -> Document:
    document = tx.get(kind, asked.owner, identifier) or {}
    document["tags"] = tags.of_specifications(asked.get("TagSpecifications"), resource)
    tx.put(kind, asked.owner, identifier, document)
    return document


def _network(cidr: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(cidr)
    except ValueError:
        raise invalid(
            f"Value ({cidr[:40]}) for parameter cidrBlock is invalid. This is not a valid CIDR block."
        ) from None


def _in_use(what: str, identifier: str) -> AwsError:
    return AwsError("DependencyViolation", f"The {what} '{identifier}' has dependencies and cannot be deleted.")


def _is_default(document: Document) -> list[str]:
    return ["true" if document["is_default"] else "false"]


def _shown_vpc(vpc: Document, owner: Owner) -> dict[str, Any]:
    return {
        "VpcId": vpc["id"],
        "OwnerId": owner.account,
        "CidrBlock": vpc["cidr"],
        "IsDefault": vpc["is_default"],
        "State": "available",
        "InstanceTenancy": "default",
        "DhcpOptionsId": "default",
        "Tags": tags.shown(vpc["tags"]),
    }


def _shown_subnet(subnet: Document, owner: Owner) -> dict[str, Any]:
    return {
        "SubnetId": subnet["id"],
        "SubnetArn": f"arn:aws:ec2:{owner.region}:{owner.account}:subnet/{subnet['id']}",
        "VpcId": subnet["vpc"],
        "OwnerId": owner.account,
        "CidrBlock": subnet["cidr"],
        "AvailabilityZone": subnet["zone"],
        "AvailabilityZoneId": networks.shown_zone(subnet["zone"], owner.region)["ZoneId"],
        "AvailableIpAddressCount": max(0, ipaddress.ip_network(subnet["cidr"]).num_addresses - 5),
        "DefaultForAz": subnet["is_default"],
        "MapPublicIpOnLaunch": False,
        "State": "available",
        "Tags": tags.shown(subnet["tags"]),
    }


def _shown_group(group: Document, owner: Owner) -> dict[str, Any]:
    return {
        "GroupId": group["id"],
        "GroupName": group["name"],
        "Description": group["description"],
        "OwnerId": owner.account,
        "VpcId": group["vpc"],
        "SecurityGroupArn": f"arn:aws:ec2:{owner.region}:{owner.account}:security-group/{group['id']}",
        "IpPermissions": group["ingress"],
        "IpPermissionsEgress": group["egress"],
        "Tags": tags.shown(group["tags"]),
    }
