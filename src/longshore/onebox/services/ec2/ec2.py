"""EC2 as onebox's other services call it, and as its own operations do: instances by owner, in plain Python."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from longshore.onebox.machinery.records import Owner, Records, Transaction
from longshore.onebox.services.ec2 import images, launch_templates, launching, networks, rows
from longshore.onebox.services.ec2.errors import incorrect_state, invalid, require_form, unknown
from longshore.onebox.services.ec2.keeper import Keeper
from longshore.onebox.services.ec2.ports import Profile, Roles
from longshore.onebox.services.ec2.values import Instance, State
from longshore.wire.service import AwsError, Call

#: An instance before and after a call.
Change = tuple[Instance, Instance]

_BY_USER = ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown")


class Ec2:
    """Instances: what is asked for is written down here, and the keeper makes it so.

    Callable from any thread; no call waits for an instance to start or to end.
    """

    def __init__(self, records: Records, keeper: Keeper, roles: Roles, *, now: Callable[[], float]) -> None:
        self._records = records
        self._keeper = keeper
        self._roles = roles
        self._now = now

    def launch(self, owner: Owner, asked: Mapping[str, Any]) -> list[str]:
        """Launch instances; their ids, in the order of their launch indexes. They are pending then.

        `asked` is the input of RunInstances: `LaunchTemplate`, `MinCount`, `MaxCount`, `SubnetId` or `Placement`,
        `TagSpecifications`, `ClientToken` (with which a second call launches nothing and gives the same ids); and
        `SystemTags`, a mapping of tags whose keys may begin with ``aws:``. Raises AwsError as RunInstances does.
        """
        return [instance.id for instance in self.run(owner, asked).instances]

    def terminate(self, owner: Owner, ids: Sequence[str]) -> None:
        """Terminate instances, for good; of those that are gone already nothing is wanted."""
        with self._records.transaction() as tx:
            known = [one for one in ids if rows.instance(tx, owner, one) is not None]
        self.change(owner, known, terminated)

    def template(self, owner: Owner, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The launch template that a LaunchTemplateSpecification means: its id, its name, and the version as asked.

        Raises AwsError when there is none such, or no such version.
        """
        with self._records.transaction() as tx:
            found = launch_templates.existing(tx, owner, asked.get("LaunchTemplateId"), asked.get("LaunchTemplateName"))
            version = asked.get("Version") or "$Default"
            launch_templates.version(found, str(launch_templates.number_of(found, version)))
        return {"LaunchTemplateId": found["id"], "LaunchTemplateName": found["name"], "Version": version}

    def zones(self, owner: Owner) -> list[str]:
        """The names of the availability zones of the owner's region."""
        return networks.zones(owner.region)

    def instances(self, owner: Owner, ids: Sequence[str] | None = None) -> list[Instance]:
        """These instances, or all of the owner's; unknown ids are left out, as one day those terminated are too."""
        with self._records.transaction() as tx:
            if ids is None:
                return rows.instances(tx, owner)
            found = [rows.instance(tx, owner, one) for one in ids]
        return [instance for instance in found if instance is not None]

    def private_ip(self, owner: Owner, instance_id: str) -> str | None:
        """The loopback address of an instance; None for one that is not there or terminated."""
        found = self.instances(owner, [instance_id])
        return found[0].private_ip if found else None

    def running(self, owner: Owner, ids: Collection[str]) -> dict[str, str]:
        """The private addresses of those of these instances that run."""
        found = self.instances(owner, list(ids))
        return {one.id: one.private_ip for one in found if one.state is State.RUNNING and one.private_ip is not None}

    def ended(self, owner: Owner, ids: Collection[str]) -> set[str]:
        """Those of these that will never run again: terminated, or not known (any more)."""
        return set(ids) - {one.id for one in self.instances(owner, list(ids)) if not one.state.is_over}

    def zone_of_subnet(self, owner: Owner, subnet_id: str) -> str:
        """The availability zone of a subnet; raises AwsError for one that is not there."""
        with self._records.transaction() as tx:
            networks.ensure(tx, owner)
            subnet = tx.get(rows.SUBNET, owner, subnet_id)
        if subnet is None:
            raise unknown("InvalidSubnetID", "subnet ID", [subnet_id])
        return str(subnet["zone"])

    def on_change(self, listener: Callable[[Owner, Instance], None]) -> None:
        """Have `listener` called after each change of an instance's state is written down, in some thread; be quick."""
        self._keeper.listeners.append(listener)

    async def require_may_launch(self, call: Call, asked: Mapping[str, Any]) -> None:
        """Raise UnauthorizedOperation unless the caller may run instances, and give them the role that is asked for.

        For whoever launches for a caller, who would have the role's rights otherwise, and could run anything. Raises
        AwsError, too, for a request that names a launch template, an image or a profile that is not there.
        """
        owner = Owner(call.caller.account, call.caller.region)
        _, profile = self._completed(owner, asked)
        await self._roles.require_may_launch(call, None if profile is None else profile.role_arn)

    def run(self, owner: Owner, asked: Mapping[str, Any]) -> launching.Launched:
        """`launch`, for the operation itself."""
        launching.require_image(asked)
        request, profile = self._completed(owner, asked)
        if (reason := self._keeper.why_not()) is not None:
            raise AwsError("Unsupported", f"This machine cannot run instances: {reason}.")
        with self._records.transaction() as tx:
            question = launching.question(asked)
            launched = launching.launch(tx, owner, request, profile=profile, question=question, now=self._now())
        if launched.is_new:
            self._keeper.changed(owner, launched.instances)
        return launched

    def change(self, owner: Owner, ids: Sequence[str], step: Callable[[Instance, float], Instance]) -> list[Change]:
        """Take a step with each of these instances, or with none; before and after. Raises AwsError."""
        require_form(ids, "i", "InvalidInstanceID")
        with self._records.transaction() as tx:
            changes = [(one, step(one, self._now())) for one in existing(tx, owner, ids)]
            rows.put(tx, owner, [after for before, after in changes if after != before])
        self._keeper.changed(owner, [after for before, after in changes if after != before])
        return changes

    def _completed(self, owner: Owner, asked: Mapping[str, Any]) -> tuple[dict[str, Any], Profile | None]:
        with self._records.transaction() as tx:
            request = launching.completed(tx, owner, asked)
            images.existing(tx, owner, request.get("ImageId"))
        named = launching.profile_asked(request)
        if named is None:
            return request, None
        profile = self._roles.profile(owner.account, named)
        if profile is None:
            part = "arn" if named.startswith("arn:") else "name"
            raise invalid(
                f"Value ({named[:200]}) for parameter iamInstanceProfile.{part} is invalid. Invalid IAM Instance "
                f"Profile {'ARN' if part == 'arn' else 'name'}"
            )
        return request, profile


def existing(tx: Transaction, owner: Owner, ids: Sequence[str]) -> list[Instance]:
    """These instances; raises AwsError when one is not there."""
    found = {one: rows.instance(tx, owner, one) for one in ids}
    if strange := [one for one, instance in found.items() if instance is None]:
        raise unknown("InvalidInstanceID", "instance ID", strange)
    return [instance for instance in found.values() if instance is not None]


def terminated(instance: Instance, _now: float) -> Instance:
    if instance.state.is_over:
        return instance
    code, reason = _BY_USER
    return replace(instance, state=State.SHUTTING_DOWN, reason_code=code, reason=reason)


def stopped(instance: Instance, _now: float) -> Instance:
    if instance.state in (State.STOPPING, State.STOPPED):
        return instance
    if instance.state is not State.RUNNING:
        raise incorrect_state(instance.id, "stopped")
    code, reason = _BY_USER
    return replace(instance, state=State.STOPPING, reason_code=code, reason=reason, is_to_reboot=False)


def started(instance: Instance, now: float) -> Instance:
    if instance.state in (State.PENDING, State.RUNNING):
        return instance
    if instance.state is not State.STOPPED:
        raise incorrect_state(instance.id, "started")
    return replace(instance, state=State.PENDING, reason_code="", reason="", launch_time=now)


def rebooted(instance: Instance, _now: float) -> Instance:
    if instance.state is not State.RUNNING:
        raise incorrect_state(instance.id, "rebooted")
    return replace(instance, is_to_reboot=True)
