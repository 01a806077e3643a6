"""Who belongs to a deployment group at AWS (`ports.Members`): EC2 and Auto Scaling joined (server.md S7.1)."""

from __future__ import annotations

from collections.abc import Sequence

from longshore.domain.group import TagSet
from longshore.domain.lineup import Host
from longshore.providers.ports import Access, AutoScalingGroups, Instances, NoAutoScalingGroupError


class AwsMembers:
    """EC2 instances by tag, and those that Auto Scaling groups have in service."""

    def __init__(self, instances: Instances, groups: AutoScalingGroups) -> None:
        self._instances = instances
        self._groups = groups

    def hosts(self, access: Access, tag_set: TagSet, groups: Sequence[str]) -> list[Host]:
        """See `ports.Members`."""
        zones = {one.id: one.zone for one in self._instances.matching(access, tag_set)} if tag_set else {}
        if groups:
            known = self._groups.describe(access, groups)
            if missing := sorted(set(groups) - set(known)):
                raise NoAutoScalingGroupError(f"there is no Auto Scaling group {', '.join(missing)}")
            zones |= {member.instance_id: member.zone for group in known.values() for member in group.in_service}
        return [_host(access, instance_id, zone) for instance_id, zone in sorted(zones.items())]


def _host(access: Access, instance_id: str, zone: str) -> Host:
    arn = access.scope.ec2_instance_arn(instance_id)
    # An instance's agent says who it is by that ARN (agent.md 7.4).
    return Host(name=instance_id, arn=arn, poller=access.scope.host(arn), zone=zone)
