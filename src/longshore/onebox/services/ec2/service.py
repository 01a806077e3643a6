"""EC2 wired: its operations, what keeps its hosts, and what other services call."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longshore import models
from longshore.onebox.machinery.records import Owner, Records
from longshore.onebox.services.ec2 import (
    image_operations,
    instance_operations,
    network_operations,
    tag_operations,
    template_operations,
)
from longshore.onebox.services.ec2.ec2 import Ec2
from longshore.onebox.services.ec2.errors import explain
from longshore.onebox.services.ec2.hosts import RealHosts
from longshore.onebox.services.ec2.keeper import Keeper
from longshore.onebox.services.ec2.operations import World, changes, handlers
from longshore.onebox.services.ec2.ports import ControlPlane, Roles
from longshore.wire.service import Call, Handler, Service

#: Whose operations are EC2's.
MODULES = (
    instance_operations,
    image_operations,
    network_operations,
    tag_operations,
    template_operations,
)
_SECRET_KIND, _NOBODY, _SECRET_ID = "ec2.secret", Owner("", ""), "pages"


@dataclass(frozen=True, kw_only=True)
class Built:
    """What there is of EC2."""

    ec2: Ec2
    service: Service
    keeper: Keeper


def build(records: Records, directory: Path, roles: Roles, plane: ControlPlane, *, hidden: Path) -> Built:
    """EC2 over hosts that are kept in `directory`; `hidden` is what no host shall see. Nothing runs before the
    keeper's start."""
    hosts = RealHosts(records, directory, roles, plane, hidden=hidden, now=time.time)
    keeper = Keeper(records, hosts, now=time.time)
    ec2 = Ec2(records, keeper, roles, now=time.time)
    world = World(ec2=ec2, records=records, hosts=hosts, page_secret=_secret(records))
    answered = handlers(world, MODULES)
    service = Service(
        model=models.load_later("ec2"),
        handlers={**answered, "RunInstances": _with_role(ec2, answered["RunInstances"])},
        explain=explain,
        signing_names=frozenset({"ec2"}),
        unrecorded=changes(MODULES),
    )
    return Built(ec2=ec2, service=service, keeper=keeper)


def _with_role(ec2: Ec2, run: Handler) -> Handler:
    """RunInstances, for whoever may give the instances the role that they will have."""

    async def handle(call: Call, given: dict[str, Any]) -> Mapping[str, Any] | None:
        await ec2.require_may_launch(call, given)
        return await run(call, given)

    return handle


def _secret(records: Records) -> bytes:
    with records.transaction() as tx:
        kept = tx.get(_SECRET_KIND, _NOBODY, _SECRET_ID)
        if kept is None:
            kept = {"secret": secrets.token_hex(32)}
            tx.put(_SECRET_KIND, _NOBODY, _SECRET_ID, kept)
    return bytes.fromhex(kept["secret"])
