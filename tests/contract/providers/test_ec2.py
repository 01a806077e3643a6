"""EC2 instances by tag and id, and their end."""

from __future__ import annotations

import pytest

from longshore.domain.group import TagFilter
from longshore.domain.instance import InstanceState
from longshore.providers.clients import Clients
from longshore.providers.ec2 import Ec2Instances
from longshore.providers.ports import Access, TransientError
from longshore.providers.service_roles import ServiceRoles
from tests.acceptance.world import wait_until
from tests.contract.providers.places import Place


def wanted(key: str | None, value: str | None) -> TagFilter:
    return TagFilter(key=key, value=value)


#: Each test in every AWS.
EVERYWHERE = pytest.mark.parametrize("place", ["moto", "onebox"], indirect=True)


@EVERYWHERE
def test_instances_by_tag(place: Place) -> None:
    instances = Ec2Instances(place.roles)
    blue = place.launch(2, app="shop", colour="blue")
    (green,) = place.launch(1, app="shop", colour="green")
    (other,) = place.launch(1, app="*")

    def found(*groups: list[TagFilter]) -> list[str]:
        return [one.id for one in instances.matching(place.access, groups)]

    assert found([wanted("app", "shop")]) == sorted([*blue, green])
    assert found([wanted("app", None)]) == sorted([*blue, green, other])
    assert found([wanted(None, "green")]) == [green]
    assert found([wanted("colour", "*e*")]) == sorted([*blue, green])
    assert found([wanted("colour", "bl*"), wanted("app", "\\*")]) == blue
    assert found([wanted("app", "shop")], [wanted("colour", "green"), wanted("colour", "red")]) == [green]
    assert found([wanted("APP", "shop")]) == []
    assert found() == []


@EVERYWHERE
def test_a_stopped_instance_is_still_one_and_a_terminated_one_is_not(place: Place) -> None:
    instances = Ec2Instances(place.roles)
    kept, stopped, ended = place.launch(3, app="till")
    place.owner("ec2").stop_instances(InstanceIds=[stopped])
    instances.terminate(place.access, [ended])
    instances.terminate(place.access, [ended])

    def states() -> dict[str, InstanceState]:
        return {one.id: one.state for one in instances.matching(place.access, [[wanted("app", "till")]])}

    wait_until(
        "EC2 sees what became of them",
        lambda: states() == {kept: InstanceState.RUNNING, stopped: InstanceState.STOPPED},
    )
    found = instances.find(place.access, [kept, ended, "i-0123456789abcdef0"])
    by_id = {one.id: one for one in found}
    assert by_id[kept].zone.startswith("eu-central-1")
    assert ended not in by_id or by_id[ended].state.is_over
    assert "i-0123456789abcdef0" not in by_id


@EVERYWHERE
def test_an_unknown_instance_does_not_keep_others_alive(place: Place) -> None:
    instances = Ec2Instances(place.roles)
    (doomed,) = place.launch(1)
    instances.terminate(place.access, [doomed, "i-0123456789abcdef0"])
    wait_until("it is over", lambda: all(one.state.is_over for one in instances.find(place.access, [doomed])))


def test_what_does_not_answer_may_answer_later(place: Place) -> None:
    away = Ec2Instances(
        ServiceRoles(Clients(endpoint_url="http://127.0.0.1:9", keys=lambda _account: ("AKIA", "example")))
    )
    with pytest.raises(TransientError):
        away.find(Access(scope=place.access.scope, role_arn=place.access.role_arn), ["i-0123456789abcdef0"])
