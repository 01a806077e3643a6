"""Where instances are: zones, the default network of each region, and addresses of the loopback range.

All hosts of this machine share its network, so a VPC separates nothing here: it is there because set-up scripts ask
for it. Addresses are real: each owner has a block of 4,096 of 127.64.0.0/10, and each instance its own of that.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final

from longshore.onebox.machinery.metadata_server import PORT
from longshore.onebox.machinery.records import Document, Owner, Transaction
from longshore.onebox.services.ec2 import rows
from longshore.wire.service import AwsError

ZONES: Final = ("a", "b", "c")
_NOBODY: Final = Owner("", "")
_POOL: Final = ipaddress.ip_network("127.64.0.0/10")
_BLOCK: Final = 20
#: Of each subnet, as on AWS.
_RESERVED_FIRST, _RESERVED_LAST = 4, 1


def zones(region: str) -> list[str]:
    """The names of the zones of a region."""
    return [region + letter for letter in ZONES]


def ensure(tx: Transaction, owner: Owner) -> None:
    """Give an owner the default network, unless there is one already."""
    taken = tx.get(rows.ADDRESSES, _NOBODY, "blocks") or {"blocks": {}}
    whose = f"{owner.account}/{owner.region}"
    if whose in taken["blocks"]:
        return
    block = _free_block(set(taken["blocks"].values()))
    taken["blocks"][whose] = block
    tx.put(rows.ADDRESSES, _NOBODY, "blocks", taken)
    vpc = put_vpc(tx, owner, block, is_default=True)
    quarters = list(ipaddress.ip_network(block).subnets(2))
    for zone, cidr in zip(zones(owner.region), quarters, strict=False):
        put_subnet(tx, owner, vpc, zone, str(cidr), addresses=str(cidr), is_default=True)


def put_vpc(tx: Transaction, owner: Owner, cidr: str, *, is_default: bool) -> str:
    """Make a VPC, with the security group that each has; its id."""
    vpc = rows.new_id("vpc")
    tx.put(rows.VPC, owner, vpc, {"id": vpc, "cidr": cidr, "is_default": is_default, "tags": {}})
    put_security_group(tx, owner, vpc, "default", "default VPC security group")
    return vpc


def put_subnet(
    tx: Transaction, owner: Owner, vpc: str, zone: str, cidr: str, *, addresses: str, is_default: bool
) -> str:
    """Make a subnet, whose instances get one of these addresses; its id."""
    subnet = rows.new_id("subnet")
    document = {
        "id": subnet,
        "vpc": vpc,
        "zone": zone,
        "cidr": cidr,
        "addresses": addresses,
        "is_default": is_default,
        "tags": {},
    }
    tx.put(rows.SUBNET, owner, subnet, document)
    return subnet


def put_security_group(tx: Transaction, owner: Owner, vpc: str, name: str, description: str) -> str:
    group = rows.new_id("sg")
    document = {
        "id": group,
        "vpc": vpc,
        "name": name,
        "description": description,
        "ingress": [],
        "egress": [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
        "tags": {},
    }
    tx.put(rows.SECURITY_GROUP, owner, group, document)
    return group


def spare_addresses(tx: Transaction, owner: Owner) -> str:
    """The addresses for instances in subnets of people's own making: what the default ones leave of the block."""
    ensure(tx, owner)
    blocks = (tx.get(rows.ADDRESSES, _NOBODY, "blocks") or {})["blocks"]
    return str(list(ipaddress.ip_network(blocks[f"{owner.account}/{owner.region}"]).subnets(2))[-1])


def subnet_in(tx: Transaction, owner: Owner, zone: str) -> Document:
    """The default subnet of a zone."""
    ensure(tx, owner)
    for subnet in tx.all(rows.SUBNET, owner).values():
        if subnet["is_default"] and subnet["zone"] == zone:
            return subnet
    raise AwsError("MissingInput", f"No default subnet for availability zone: '{zone}'.")


def addresses(tx: Transaction, subnet: Document, count: int) -> list[str]:
    """So many addresses of a subnet that no instance has and nobody listens at."""
    taken = {instance.private_ip for _, instance in rows.everyones(tx)}
    found: list[str] = []
    for address in _of(subnet["addresses"]):
        if len(found) == count:
            break
        if address not in taken and is_free(address):
            found.append(address)
    if len(found) < count:
        raise AwsError(
            "InsufficientFreeAddressesInSubnet",
            f"There are not enough free addresses in subnet '{subnet['id']}' to satisfy the requested number of "
            "instances.",
        )
    return found


def name_of(address: str, region: str) -> str:
    """The private DNS name that goes with an address."""
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    return f"ip-{address.replace('.', '-')}.{domain}"


def is_free(address: str) -> bool:
    """Whether nobody, such as another server of this machine, listens for metadata at this address."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((address, PORT))
        except OSError:
            return False
    return True


def _of(cidr: str) -> Iterator[str]:
    network = ipaddress.ip_network(cidr)
    for number in range(_RESERVED_FIRST, network.num_addresses - _RESERVED_LAST):
        yield str(network[number])


def _free_block(taken: set[str], draw: Callable[[int], int] = secrets.randbelow) -> str:
    """A block that nobody here has; by chance, since another server may be on this machine."""
    count = 1 << (_BLOCK - _POOL.prefixlen)
    first = draw(count)
    for offset in range(count):
        block = f"{_POOL[((first + offset) % count) << (32 - _BLOCK)]}/{_BLOCK}"
        if block not in taken:
            return block
    raise AwsError("AddressLimitExceeded", "Every block of 127.64.0.0/10 belongs to some account and region.")


def shown_zone(zone: str, region: str) -> dict[str, Any]:
    return {
        "ZoneName": zone,
        "ZoneId": f"onebox-az{ZONES.index(zone[-1]) + 1}",
        "RegionName": region,
        "State": "available",
        "OptInStatus": "opt-in-not-required",
        "ZoneType": "availability-zone",
        "GroupName": region,
        "NetworkBorderGroup": region,
        "Messages": [],
    }
