"""EC2 instances (`ports.Instances`)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from longshore.domain.group import TagSet, is_member
from longshore.domain.instance import Instance, InstanceState
from longshore.providers.ports import Access
from longshore.providers.service_roles import RefusedError, ServiceRoles

#: Those that are, or may be again.
_THERE = ["pending", "running", "stopping", "stopped"]
#: Instances named in one call.
_AT_ONCE = 500
#: Values that one filter takes.
_MOST_VALUES = 200
_UNKNOWN = frozenset({"InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"})


class Ec2Instances:
    """EC2, or what speaks its API."""

    def __init__(self, roles: ServiceRoles) -> None:
        self._roles = roles

    def matching(self, access: Access, tag_set: TagSet) -> list[Instance]:
        """See `ports.Instances`."""
        if not tag_set:
            return []
        filters = [{"Name": "instance-state-name", "Values": _THERE}, *_narrowing(tag_set)]
        return [_instance(one) for one in self._described(access, Filters=filters) if is_member(tag_set, _tags(one))]

    def find(self, access: Access, instance_ids: Collection[str]) -> list[Instance]:
        """See `ports.Instances`."""
        # By a filter: an unknown id would fail a call that names it.
        return [
            _instance(one)
            for some in _chunks(instance_ids, _MOST_VALUES)
            for one in self._described(access, Filters=[{"Name": "instance-id", "Values": some}])
        ]

    def terminate(self, access: Access, instance_ids: Collection[str]) -> None:
        """See `ports.Instances`."""
        for some in _chunks(instance_ids, _AT_ONCE):
            try:
                self._roles.call(access, "ec2", "terminate_instances", InstanceIds=some)
            except RefusedError as error:
                if error.reason not in _UNKNOWN:
                    raise
                # One that is unknown keeps the others alive.
                known = [one.id for one in self.find(access, some) if not one.state.is_over]
                if known:
                    self._roles.call(access, "ec2", "terminate_instances", InstanceIds=known)

    def _described(self, access: Access, **asked: Any) -> list[Mapping[str, Any]]:
        pages = self._roles.pages(access, "ec2", "describe_instances", **asked, PaginationConfig={"PageSize": 1000})
        found = [one for page in pages for reserved in page["Reservations"] for one in reserved["Instances"]]
        return sorted(found, key=lambda one: str(one["InstanceId"]))


def _narrowing(tag_set: TagSet) -> list[dict[str, Any]]:
    """A filter that lets all members pass, and fewer besides: EC2's own cannot say what a tag set says."""
    for group in tag_set:
        keys = {wanted.key for wanted in group}
        # In EC2's filters these mean something.
        if None not in keys and not any(set("*?\\") & set(key or "") for key in keys):
            return [{"Name": "tag-key", "Values": sorted(key for key in keys if key is not None)}]
    return []


def _tags(one: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(tag["Key"], tag.get("Value", "")) for tag in one.get("Tags", ())]


def _instance(one: Mapping[str, Any]) -> Instance:
    return Instance(
        id=one["InstanceId"],
        state=InstanceState(one["State"]["Name"]),
        zone=one.get("Placement", {}).get("AvailabilityZone", ""),
    )


def _chunks(names: Iterable[str], size: int) -> list[list[str]]:
    every = sorted(names)
    return [every[start : start + size] for start in range(0, len(every), size)]
