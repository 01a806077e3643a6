"""onebox, wired once: AWS-shaped services over real things on this machine."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from longshore.onebox.machinery.records import FILE, Records
from longshore.onebox.services import cloudwatch, ec2, events, sns
from longshore.onebox.services.autoscaling import AutoScaling
from longshore.onebox.services.autoscaling.standing import OnEc2, OnElbv2
from longshore.onebox.services.ec2.keeper import Keeper
from longshore.onebox.services.ec2.ports import ControlPlane, Roles
from longshore.onebox.services.elb import Elb
from longshore.onebox.services.elbv2 import Elbv2
from longshore.wire.endpoint import ASGIApp
from longshore.wire.service import Service


@dataclass(frozen=True, kw_only=True)
class Onebox:
    """The services that onebox adds to a control plane's port, beside S3."""

    services: Sequence[Service]
    records: Records
    instances: Keeper
    load_balancers: Elbv2
    auto_scaling: AutoScaling
    delivering: sns.Delivering
    watching: cloudwatch.Watching
    rules: events.Rules
    #: What is to be had unsigned: pages by path, and what links at "/" do by their Action.
    pages: Mapping[str, ASGIApp]
    unsigned: Mapping[str, ASGIApp]

    @property
    def changes(self) -> frozenset[str]:
        """Operations of these that may change something."""
        return frozenset[str]().union(*(service.unrecorded for service in self.services))

    def start(self) -> None:
        """Find again what ran when the last server of this data stopped, and go on with it."""
        self.instances.start()
        self.load_balancers.start()
        self.auto_scaling.start()
        self.delivering.start()
        self.watching.start()

    def stop(self) -> None:
        """Do nothing more. What runs goes on running: instances and their traffic outlive the server."""
        self.watching.stop()
        self.delivering.stop()
        self.auto_scaling.stop()
        self.load_balancers.stop()
        self.instances.stop()
        self.records.close()


def build(
    directory: Path,
    *,
    url: str,
    mail_server: sns.MailServer | None,
    roles: Roles,
    plane: ControlPlane,
    hidden: Path,
) -> Onebox:
    """Open what is kept in `directory` and wire the services over it; nothing runs before `start`.

    `url` is where everybody reaches the services; `roles` and `plane` are what instances need of the control plane, and
    `hidden` is the data that they shall not see.
    """
    records = Records(directory / FILE)
    computing = ec2.build(records, directory / "ec2", roles, plane, hidden=hidden)
    load_balancers = Elbv2(records, directory / "proxy", computing.ec2, now=time.time)
    computing.ec2.on_change(lambda _owner, _instance: load_balancers.wake())
    scaling = AutoScaling(records, OnEc2(computing.ec2), OnElbv2(load_balancers))
    computing.ec2.on_change(lambda _owner, _instance: scaling.nudge())
    signer = sns.Signer(records)
    delivering = sns.Delivering(records, mail_server)
    topics = sns.Topics(records, signer, url, nudge=delivering.nudge)
    delivering.also_sweep(topics.sweep)
    metrics = cloudwatch.Metrics(records)
    alarms = cloudwatch.Alarms(records, metrics, topics)
    watching = cloudwatch.Watching(records, metrics, alarms)
    rules = events.Rules(records, topics)
    return Onebox(
        services=(
            computing.service,
            load_balancers.service,
            scaling.service(),
            Elb(load_balancers).service,
            cloudwatch.service(records, metrics, alarms, watching),
            sns.service(records, topics, sends_mail=mail_server is not None),
            events.service(records, rules),
        ),
        records=records,
        instances=computing.keeper,
        load_balancers=load_balancers,
        auto_scaling=scaling,
        delivering=delivering,
        watching=watching,
        rules=rules,
        pages=sns.pages_of(signer),
        unsigned=sns.unsigned_of(records, topics, now=time.time),
    )
