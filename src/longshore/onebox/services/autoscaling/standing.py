"""Auto Scaling's ground where there is one: onebox's own EC2 and load balancers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from longshore.onebox.machinery.records import Owner
from longshore.onebox.services.autoscaling.errors import validation_error
from longshore.onebox.services.autoscaling.ground import Machine, RefusedError
from longshore.onebox.services.ec2 import Ec2
from longshore.onebox.services.elbv2 import Elbv2
from longshore.wire.service import AwsError, Call

#: Members of a launch configuration that RunInstances has too, spelled alike.
_ALIKE = ("ImageId", "InstanceType", "KeyName", "UserData")


class OnEc2:
    """Instances of onebox's EC2 (`ground.Machines`)."""

    def __init__(self, ec2: Ec2) -> None:
        self._ec2 = ec2

    def launch(
        self,
        owner: Owner,
        launch: Mapping[str, Any],
        *,
        zone: str,
        subnet: str | None,
        client_token: str,
        tags: Mapping[str, str],
    ) -> str:
        """See `ground.Machines`."""
        # Found by its token even when the template or the tags have changed since.
        for instance in self._ec2.instances(owner):
            if instance.client_token == client_token:
                return instance.id
        asked = {
            **_recipe(launch),
            **({"SubnetId": subnet} if subnet else {"Placement": {"AvailabilityZone": zone}}),
            "MinCount": 1,
            "MaxCount": 1,
            "ClientToken": client_token,
            "SystemTags": dict(tags),
        }
        with _refusals():
            (instance_id,) = self._ec2.launch(owner, asked)
        return instance_id

    def terminate(self, owner: Owner, instance_ids: Sequence[str]) -> None:
        """See `ground.Machines`."""
        self._ec2.terminate(owner, instance_ids)

    def machines(self, owner: Owner, instance_ids: Collection[str]) -> Mapping[str, Machine]:
        """See `ground.Machines`."""
        return {
            one.id: Machine(
                state=one.state.value,
                zone=one.zone,
                type=one.type,
                template_version=one.tags.get("aws:ec2launchtemplate:version"),
            )
            for one in self._ec2.instances(owner, list(instance_ids))
        }

    def template(self, owner: Owner, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `ground.Machines`."""
        with _refusals():
            return self._ec2.template(owner, asked)

    def zones(self, owner: Owner, asked: Sequence[str]) -> Sequence[str]:
        """See `ground.Machines`."""
        with _refusals():
            return [self._ec2.zone_of_subnet(owner, subnet) for subnet in asked]

    def every_zone(self, owner: Owner) -> Collection[str]:
        """See `ground.Machines`."""
        return self._ec2.zones(owner)

    async def require_may_launch(self, call: Call, launch: Mapping[str, Any]) -> None:
        """See `ground.Machines`."""
        try:
            await self._ec2.require_may_launch(call, _recipe(launch))
        except AwsError as error:
            if error.status == 403:
                raise AwsError("AccessDenied", error.message, 403) from None
            raise validation_error(f"You must use a valid fully-formed launch template. {error.message}") from None


class OnElbv2:
    """Target groups of onebox's load balancers (`ground.Balancers`)."""

    def __init__(self, load_balancers: Elbv2) -> None:
        self._load_balancers = load_balancers

    def kinds(self, owner: Owner, target_groups: Collection[str]) -> Mapping[str, str]:
        """See `ground.Balancers`."""
        return self._load_balancers.target_types(owner, target_groups)

    def register(self, owner: Owner, target_group: str, instance_ids: Sequence[str]) -> None:
        """See `ground.Balancers`."""
        with _refusals():
            self._load_balancers.register(owner, target_group, instance_ids)

    def deregister(self, owner: Owner, target_group: str, instance_ids: Sequence[str]) -> None:
        """See `ground.Balancers`."""
        with _refusals():
            self._load_balancers.deregister(owner, target_group, instance_ids)

    def health(self, owner: Owner, target_group: str) -> Mapping[str, str] | None:
        """See `ground.Balancers`."""
        return self._load_balancers.health(owner, target_group)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except AwsError as error:
        if error.status >= 500:
            raise
        raise RefusedError(error.message) from error


def _recipe(launch: Mapping[str, Any]) -> dict[str, Any]:
    """What RunInstances is asked for, by a group's LaunchTemplate or by a launch configuration."""
    if template := launch.get("LaunchTemplate"):
        # By its id alone: RunInstances takes no name beside it.
        named = "LaunchTemplateId" if template.get("LaunchTemplateId") else "LaunchTemplateName"
        return {"LaunchTemplate": {name: template[name] for name in (named, "Version") if name in template}}
    asked = {name: launch[name] for name in _ALIKE if launch.get(name)}
    if groups := launch.get("SecurityGroups"):
        asked["SecurityGroupIds"] = groups
    if profile := launch.get("IamInstanceProfile"):
        asked["IamInstanceProfile"] = {"Arn" if profile.startswith("arn:") else "Name": profile}
    return asked
