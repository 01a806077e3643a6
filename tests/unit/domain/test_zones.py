"""Zone after zone: whose turn it is, from when on, and how many at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.domain.config import ComputePlatform, DeploymentConfig
from longshore.domain.deployment import ErrorCode
from longshore.domain.health import Fleet, MinimumHealthyHosts, MinimumType
from longshore.domain.lineup import Circumstances, Host, line_up
from longshore.domain.zones import Zone, open_zone, zone_rules

NONE_MUST_STAY = MinimumHealthyHosts(type=MinimumType.HOST_COUNT, value=0)


def zone(name: str, total: int, *, done: int = 0, failed: int = 0, required: int = 0, changed: float = 0.0) -> Zone:
    fleet = Fleet(
        total=total, required=required, pending=total - done - failed, in_flight=0, succeeded=done, failed=failed
    )
    return Zone(name=name, fleet=fleet, changed=changed)


def per_zone(kind: str, value: int) -> dict[str, object]:
    return {"minimumHealthyHostsPerZone": {"type": kind, "value": value}}


@pytest.mark.parametrize(
    ("zonal", "hosts", "required"),
    [
        ({}, 9, 0),
        (per_zone("HOST_COUNT", 2), 9, 2),
        (per_zone("FLEET_PERCENT", 50), 9, 5),
        (per_zone("FLEET_PERCENT", 1), 3, 1),
        (per_zone("FLEET_PERCENT", 0), 3, 0),
    ],
)
def test_a_zones_minimum(zonal: dict[str, object], hosts: int, required: int) -> None:
    assert zone_rules(zonal).required(hosts) == required


def test_zones_come_by_name_and_wait_for_those_before() -> None:
    rules = zone_rules({"firstZoneMonitorDurationInSeconds": 600, "monitorDurationInSeconds": 60})
    zones = [zone("c", 2), zone("a", 2), zone("b", 2)]
    first = open_zone(zones, rules)
    assert first is not None
    assert (first.zone.name, first.opens_at) == ("a", 0.0)
    zones[1] = zone("a", 2, done=2, changed=1000.0)
    second = open_zone(zones, rules)
    assert second is not None
    assert (second.zone.name, second.opens_at) == ("b", 1600.0)
    zones[2] = zone("b", 2, done=1, failed=1, changed=2000.0)
    third = open_zone(zones, rules)
    assert third is not None
    assert (third.zone.name, third.opens_at) == ("c", 2060.0)
    zones[0] = zone("c", 2, done=2)
    assert open_zone(zones, rules) is None
    assert rules.pauses(3) == 660.0
    assert rules.pauses(1) == 0.0


def test_the_first_zone_is_monitored_like_the_others_if_nothing_else_is_said() -> None:
    assert zone_rules({"monitorDurationInSeconds": 60}).first_monitored == 60
    assert zone_rules({"monitorDurationInSeconds": 60, "firstZoneMonitorDurationInSeconds": 0}).first_monitored == 0


def test_a_zone_that_failed_lets_no_other_begin() -> None:
    found = open_zone([zone("a", 2, failed=2), zone("b", 2)], zone_rules({}))
    assert found is not None
    assert found.zone.name == "a"


def test_no_host_starts_while_the_zone_before_is_monitored() -> None:
    rules = zone_rules({"monitorDurationInSeconds": 60})
    found = open_zone([zone("a", 2, done=2, changed=100.0), zone("b", 2)], rules)
    assert found is not None
    everyone = Fleet(total=4, required=0, pending=2, in_flight=0, succeeded=2, failed=0)
    assert found.room(everyone, 159.0) == 0
    assert found.room(everyone, 160.0) == 2


@given(
    in_zone=st.integers(1, 20),
    elsewhere=st.integers(0, 20),
    required=st.integers(0, 40),
    required_there=st.integers(0, 20),
    failed=st.integers(0, 5),
)
def test_both_floors_are_kept(in_zone: int, elsewhere: int, required: int, required_there: int, failed: int) -> None:
    """However many are started at once, as many stay up as were promised, in the zone and altogether."""
    failed = min(failed, in_zone)
    there = zone("a", in_zone, failed=failed, required=required_there)
    everyone = Fleet(
        total=in_zone + elsewhere,
        required=required,
        pending=in_zone + elsewhere - failed,
        in_flight=0,
        succeeded=0,
        failed=failed,
    )
    found = open_zone([there], zone_rules({}))
    if found is None:
        return
    started = found.room(everyone, 0.0)
    assert started <= there.fleet.pending
    if started:
        assert in_zone - failed - started >= required_there
        assert everyone.total - failed - started >= required


def seen(zones: dict[str, int], **zonal: object) -> Circumstances:
    hosts = [
        Host(name=f"i-{name}{number}", arn="arn", poller="p", zone=name)
        for name, count in zones.items()
        for number in range(count)
    ]
    config = DeploymentConfig(
        id="1",
        name="by-zone",
        platform=ComputePlatform.SERVER,
        create_time=0.0,
        minimum=NONE_MUST_STAY,
        zonal=zonal or {"monitorDurationInSeconds": 0},
    )
    return Circumstances(
        hosts=hosts,
        health={"i-b1": (True, "r1")},
        current_revision="r2",
        config=config,
        only_without=None,
        limit=1000,
        account_room=1000,
        account_limit=1000,
    )


def test_waves_do_not_cross_zones() -> None:
    lineup = line_up(seen({"b": 3, "a": 2}, **per_zone("HOST_COUNT", 1)))
    waves = [[host.name for host in wave] for wave in lineup.waves()]
    # Within a zone those that have least to lose go first.
    assert waves == [["i-a0"], ["i-a1"], ["i-b0", "i-b2"], ["i-b1"]]


def test_a_zone_too_small_for_its_minimum_is_told_before_anything_starts() -> None:
    lineup = line_up(seen({"a": 3, "b": 1}, **per_zone("FLEET_PERCENT", 50)))
    assert lineup.refusal is not None
    assert lineup.refusal.code is ErrorCode.HEALTH_CONSTRAINTS_INVALID
    assert "in b, which has 1" in lineup.refusal.message


def test_a_host_in_no_zone_and_a_rollback() -> None:
    with_one = seen({"a": 1})
    with_one = replace(with_one, hosts=[*with_one.hosts, Host(name="web-1", arn="arn", poller="p")])
    refused = line_up(with_one).refusal
    assert refused is not None
    assert refused.code is ErrorCode.HEALTH_CONSTRAINTS_INVALID
    rollback = line_up(replace(with_one, ignores_zones=True))
    assert rollback.refusal is None
    assert len(rollback.waves()) == 1
