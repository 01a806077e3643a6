"""Who takes part: registered instances and EC2 instances together, and what comes of an AWS that does not tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy.engine import URL

from longshore.domain.deployment import START_TIMEOUT
from longshore.providers.ports import (
    AutoScalingRightsError,
    NoAutoScalingGroupError,
    ProviderError,
    RoleMissingError,
    RoleRightsError,
    ThrottledError,
)
from tests.integration.engine.rollout import SCOPE, Rollout

Make = Callable[..., Rollout]


@pytest.fixture
def make(database: URL) -> Iterator[Make]:
    made: list[Rollout] = []

    def one(*, hosts: int) -> Rollout:
        made.append(Rollout(database, hosts=hosts, minimum="CodeDeployDefault.AllAtOnce"))
        made[-1].mean(ec2TagFilters=[{"Key": "role", "Value": "web", "Type": "KEY_AND_VALUE"}])
        return made[-1]

    yield one
    for each in made:
        each.close()


def test_registered_and_ec2_instances_take_part_together(make: Make) -> None:
    rollout = make(hosts=2)
    rollout.members.zones = {"i-0aa": "eu-central-1a", "i-0bb": "eu-central-1b"}
    rollout.deploy()
    rollout.tick()
    assert rollout.overview == {"InProgress": 4}
    arn = SCOPE.ec2_instance_arn("i-0aa")
    assert rollout.target("i-0aa")["targetArn"] == arn
    assert rollout.target(arn)["targetId"] == "i-0aa"
    assert {one.role_arn for one in rollout.members.asked} == {"arn:aws:iam::111122223333:role/deploy"}
    for name in (*rollout.names, "i-0aa", "i-0bb"):
        rollout.run_all(name)
    rollout.tick()
    assert rollout.info["status"] == "Succeeded"


def test_an_instance_that_is_stopped_counts_as_one_that_failed(make: Make) -> None:
    """S2.15, S3.6: it is a member, its agent never answers, and the others go on."""
    rollout = make(hosts=1)
    rollout.members.zones = {"i-0aa": "eu-central-1a"}
    rollout.deploy()
    rollout.tick()
    rollout.run_all(rollout.names[0])
    rollout.now += START_TIMEOUT - 1
    rollout.tick()
    assert rollout.info["status"] == "InProgress"
    rollout.now += 1
    rollout.tick()
    assert rollout.info["status"] == "Succeeded", "one of the two is enough for AllAtOnce"
    assert rollout.overview == {"Succeeded": 1, "Failed": 1}
    assert {event["status"] for event in rollout.target("i-0aa")["lifecycleEvents"]} == {"Skipped"}


def test_a_group_of_registered_instances_alone_needs_no_service_role(database: URL) -> None:
    rollout = Rollout(database, hosts=1, minimum="CodeDeployDefault.AllAtOnce")
    rollout.members.fails = RoleMissingError("there is no role")
    rollout.deploy()
    rollout.tick()
    assert rollout.overview == {"InProgress": 1}
    rollout.close()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RoleMissingError, "IAM_ROLE_MISSING"),
        (RoleRightsError, "IAM_ROLE_PERMISSIONS"),
        (AutoScalingRightsError, "AUTO_SCALING_IAM_ROLE_PERMISSIONS"),
        (NoAutoScalingGroupError, "AUTO_SCALING_CONFIGURATION"),
    ],
)
def test_what_will_not_work_fails_it_at_once(make: Make, error: type[ProviderError], code: str) -> None:
    rollout = make(hosts=1)
    rollout.members.fails = error("for this reason")
    rollout.deploy()
    rollout.tick()
    assert rollout.info["status"] == "Failed"
    assert rollout.info["errorInformation"]["code"] == code
    assert "for this reason" in rollout.info["errorInformation"]["message"]
    assert rollout.overview == {}


def test_what_may_work_later_is_asked_again(make: Make) -> None:
    rollout = make(hosts=0)
    rollout.members.zones = {"i-0aa": "eu-central-1a"}
    rollout.members.fails = ThrottledError("asked too often")
    rollout.deploy()
    for _ in range(5):
        rollout.tick()
        assert rollout.info["status"] == "Created"
        rollout.now += 10.0
    rollout.members.fails = None
    rollout.tick()
    assert rollout.overview == {"InProgress": 1}


def test_but_not_for_ever(make: Make) -> None:
    rollout = make(hosts=1)
    rollout.members.fails = ThrottledError("asked too often")
    rollout.deploy()
    rollout.tick()
    rollout.now += START_TIMEOUT
    rollout.tick()
    assert rollout.info["errorInformation"]["code"] == "THROTTLED"
