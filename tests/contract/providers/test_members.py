"""Who belongs to a deployment group: EC2 instances by tag, and those that Auto Scaling groups have in service."""

from __future__ import annotations

import pytest

from longshore.domain.group import TagFilter
from longshore.providers.autoscaling import Ec2AutoScaling
from longshore.providers.ec2 import Ec2Instances
from longshore.providers.members import AwsMembers
from longshore.providers.ports import NoAutoScalingGroupError
from tests.acceptance.world import wait_until
from tests.contract.providers.places import REGION, Place
from tests.contract.providers.test_autoscaling import make

#: Each test in every AWS.
pytestmark = pytest.mark.parametrize("place", ["moto", "onebox"], indirect=True)

BLUE = [[TagFilter(key="colour", value="blue")]]


def test_each_instance_once_stopped_ones_too(place: Place) -> None:
    members = AwsMembers(Ec2Instances(place.roles), Ec2AutoScaling(place.roles))
    tagged, stopped = place.launch(2, colour="blue")
    place.launch(1, colour="red")
    make(place, "web", 2)
    wait_until("the group is there", lambda: len(members.hosts(place.access, [], ["web"])) == 2)
    scaled = [host.name for host in members.hosts(place.access, [], ["web"])]
    place.owner("ec2").stop_instances(InstanceIds=[stopped])
    place.owner("ec2").create_tags(Resources=scaled[:1], Tags=[{"Key": "colour", "Value": "blue"}])

    hosts = members.hosts(place.access, BLUE, ["web"])
    assert [host.name for host in hosts] == sorted([tagged, stopped, *scaled])
    arn = f"arn:aws:ec2:{REGION}:{place.access.scope.account}:instance/{hosts[0].name}"
    assert (hosts[0].arn, hosts[0].poller) == (arn, f"{REGION}/{arn}")
    assert all((host.zone or "").startswith(REGION) for host in hosts)


def test_an_auto_scaling_group_that_is_not_there(place: Place) -> None:
    members = AwsMembers(Ec2Instances(place.roles), Ec2AutoScaling(place.roles))
    assert members.hosts(place.access, BLUE, []) == []
    with pytest.raises(NoAutoScalingGroupError, match="nobody"):
        members.hosts(place.access, BLUE, ["nobody"])
