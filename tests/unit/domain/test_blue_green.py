"""What a blue/green deployment does next (server.md S2.9, S2.10, S4.5–S4.7, S6.9–S6.13, S7.14–S7.16)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from longshore.domain.blue_green import (
    DEPLOYMENT_TIMEOUT,
    PROVISION_TIMEOUT,
    RETIRE_TIMEOUT,
    Options,
    Phase,
    Seen,
    Side,
    Wait,
    group_after,
    members_deployed_to,
    next_step,
    options_of,
)
from longshore.domain.deployment import DeploymentStatus, ErrorCode, Finish

STOP = Finish(status=DeploymentStatus.STOPPED, code=ErrorCode.MANUAL_STOP, message="stop")


def seen(phase: Phase, **changes: Any) -> Seen:
    """Three replacements and two originals, of which one at a time may be down."""
    base = Seen(
        phase=phase,
        since=100.0,
        create_time=50.0,
        options=Options(ready_wait=600.0, termination_wait=1200.0),
        green=Side(pending=3),
        blue=Side(pending=2),
        required=2,
        waiting=("g1", "g2", "g3"),
    )
    return replace(base, **changes)


def test_replacements_are_deployed_to_as_in_place() -> None:
    step = next_step(seen(Phase.INSTALL), 100.0)
    assert step.start == ("g1",)
    busy = Side(pending=2, in_flight=1)
    assert next_step(seen(Phase.INSTALL, green=busy), 100.0).start == ()


def test_nothing_is_rerouted_before_every_replacement_has_ended_its_installation() -> None:
    """S6.11."""
    assert next_step(seen(Phase.INSTALL, green=Side(ready=2, in_flight=1)), 100.0).enter is None
    assert next_step(seen(Phase.INSTALL, green=Side(ready=3)), 100.0).enter is Phase.READY_WAIT
    at_once = seen(Phase.INSTALL, green=Side(ready=3), options=Options())
    assert next_step(at_once, 100.0).enter is Phase.REROUTE


def test_the_last_replacement_may_fail_to_be_installed_and_the_rest_gets_traffic() -> None:
    """S2.9 with S2.7: the floor is two of three, so now each of the two counts."""
    green = Side(ready=2, failed=1, not_installed=1)
    assert next_step(seen(Phase.INSTALL, green=green), 100.0).enter is Phase.READY_WAIT
    assert next_step(seen(Phase.REROUTE, green=green, waiting=("g1", "g2")), 100.0).start == ("g1",)
    worse = Side(ready=1, failed=2, not_installed=1)
    step = next_step(seen(Phase.REROUTE, green=worse, idle=("g2",)), 100.0)
    assert step.finish is not None
    assert (step.finish.code, step.skip) == (ErrorCode.HEALTH_CONSTRAINTS, ("g2",))


def test_too_many_failed_installations_end_it_with_no_traffic_moved() -> None:
    green = Side(pending=1, ready=1, failed=1, not_installed=1)
    step = next_step(seen(Phase.INSTALL, green=green, idle=("g3", "g1")), 100.0)
    assert step.finish is not None
    assert (step.finish.status, step.skip) == (DeploymentStatus.FAILED, ("g3", "g1"))


def test_ready_replacements_wait_for_a_word_and_no_longer_than_they_were_told() -> None:
    """S4.6, S7.14."""
    ready = seen(Phase.READY_WAIT, green=Side(ready=3))
    waiting = next_step(ready, 100.0)
    assert (waiting.enter, waiting.finish, waiting.look_at) == (None, None, 700.0)
    assert next_step(replace(ready, continued=Wait.READY), 100.0).enter is Phase.REROUTE
    assert next_step(replace(ready, continued=Wait.TERMINATION), 100.0).enter is None
    over = next_step(replace(ready, idle=("g1", "g2", "g3")), 700.0)
    assert over.finish is not None
    assert (over.finish.status, over.skip) == (DeploymentStatus.STOPPED, ("g1", "g2", "g3"))


def test_as_many_get_traffic_at_a_time_as_were_deployed_to_at_a_time() -> None:
    """S2.9."""
    assert next_step(seen(Phase.REROUTE, green=Side(ready=3)), 100.0).start == ("g1",)
    assert next_step(seen(Phase.REROUTE, green=Side(ready=2, in_flight=1)), 100.0).start == ()
    all_at_once = seen(Phase.REROUTE, green=Side(ready=3), required=0)
    assert next_step(all_at_once, 100.0).start == ("g1", "g2", "g3")


def test_originals_lose_their_traffic_after_the_replacements_have_it() -> None:
    assert next_step(seen(Phase.REROUTE, green=Side(in_flight=1, succeeded=2)), 100.0).enter is None
    assert next_step(seen(Phase.REROUTE, green=Side(succeeded=3)), 100.0).enter is Phase.BLOCK
    block = seen(Phase.BLOCK, green=Side(succeeded=3), waiting=("b1", "b2"))
    assert next_step(block, 100.0).start == ("b1", "b2")


def test_one_original_that_keeps_its_traffic_fails_the_deployment() -> None:
    """S2.10."""
    block = seen(Phase.BLOCK, green=Side(succeeded=3), blue=Side(succeeded=1, failed=1), waiting=())
    finish = next_step(block, 100.0).finish
    assert finish is not None
    assert (finish.status, finish.code) == (DeploymentStatus.FAILED, ErrorCode.HEALTH_CONSTRAINTS)


@pytest.mark.parametrize(
    ("options", "after"),
    [(Options(), Phase.RETIRE), (Options(termination_wait=0.0), Phase.TERMINATION_WAIT)],
)
def test_originals_that_are_kept_wait_for_nothing(options: Options, after: Phase) -> None:
    done = seen(Phase.BLOCK, green=Side(succeeded=3), blue=Side(succeeded=2), options=options)
    assert next_step(done, 100.0).enter is after


def test_a_group_without_originals_goes_straight_on() -> None:
    """The first deployment of a group."""
    step = next_step(seen(Phase.BLOCK, green=Side(succeeded=3), blue=Side(), options=Options()), 100.0)
    assert step.enter is Phase.RETIRE


def test_originals_wait_to_be_terminated_unless_somebody_cannot_wait() -> None:
    """S6.10, S6.12."""
    waiting = seen(Phase.TERMINATION_WAIT, green=Side(succeeded=3), blue=Side(succeeded=2))
    assert next_step(waiting, 100.0).look_at == 1300.0
    assert next_step(waiting, 1299.0).enter is None
    assert next_step(waiting, 1300.0).enter is Phase.RETIRE
    assert next_step(replace(waiting, continued=Wait.TERMINATION), 100.0).enter is Phase.RETIRE
    assert next_step(replace(waiting, continued=Wait.READY), 100.0).enter is None


def test_originals_that_cannot_be_terminated_do_not_fail_it() -> None:
    """S7.16."""
    leaving = seen(Phase.RETIRE, green=Side(succeeded=3), blue=Side(succeeded=2), unarranged="i-1 is protected.")
    assert next_step(leaving, 100.0).finish is None
    gone = next_step(replace(leaving, is_arranged=True, unarranged=""), 100.0)
    assert gone.finish == Finish(status=DeploymentStatus.SUCCEEDED)
    never = next_step(replace(leaving, is_arranged=True), 100.0).finish
    assert never is not None
    assert (never.status, "protected" in (never.message or "")) == (DeploymentStatus.SUCCEEDED, True)
    late = next_step(leaving, 100.0 + RETIRE_TIMEOUT).finish
    assert late is not None
    assert (late.status, late.code) == (DeploymentStatus.SUCCEEDED, None)
    assert "i-1 is protected." in (late.message or "")


def test_what_stops_it_lets_running_events_finish_and_gives_up_the_rest() -> None:
    """S6.5, S6.8."""
    running = seen(
        Phase.INSTALL, green=Side(pending=1, ready=1, in_flight=1), ending=STOP, idle=("g2", "g3"), is_running=True
    )
    step = next_step(running, 100.0)
    assert (step.halt, step.skip, step.finish) == (True, ("g2", "g3"), None)
    not_taken_up = replace(running, idle=("g1", "g2", "g3"), is_running=False)
    assert next_step(not_taken_up, 100.0).finish == STOP


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.RETIRE])
def test_it_can_be_stopped_in_every_phase_but_the_last(phase: Phase) -> None:
    """S6.9: once originals start to go there is no way back."""
    stopped = seen(phase, green=Side(), blue=Side(), ending=STOP, waiting=())
    assert next_step(stopped, 100.0).finish == STOP
    assert next_step(replace(stopped, phase=Phase.RETIRE), 100.0).finish is None


def test_it_may_take_109_hours() -> None:
    """S4.5."""
    waiting = seen(Phase.TERMINATION_WAIT, since=0.0, options=Options(termination_wait=1e9))
    end = 50.0 + DEPLOYMENT_TIMEOUT
    assert next_step(waiting, end - 1).look_at == end
    finish = next_step(waiting, end).finish
    assert finish is not None
    assert finish.code is ErrorCode.TIMEOUT


def test_replacements_have_an_hour_to_be_there() -> None:
    coming = seen(Phase.PROVISION, green=Side(), blue=Side(), unarranged="2 of 3 are in service.")
    assert next_step(coming, 100.0).finish is None
    finish = next_step(coming, 100.0 + PROVISION_TIMEOUT).finish
    assert finish is not None
    assert (finish.code, "2 of 3" in (finish.message or "")) == (ErrorCode.NO_INSTANCES, True)
    assert next_step(replace(coming, is_arranged=True), 100.0).enter is Phase.INSTALL


def test_a_rollback_gives_the_originals_their_traffic_before_the_replacements_lose_it() -> None:
    """S3.12."""
    back = seen(Phase.RESTORE, required=1, waiting=("b1", "b2"))
    assert next_step(back, 100.0).start == ("b1",)
    assert next_step(replace(back, blue=Side(succeeded=1, in_flight=1)), 100.0).enter is None
    assert next_step(replace(back, blue=Side(succeeded=2)), 100.0).enter is Phase.WITHDRAW
    out = seen(Phase.WITHDRAW, blue=Side(succeeded=2))
    assert next_step(out, 100.0).start == ("g1", "g2", "g3")
    done = next_step(replace(out, green=Side(succeeded=3)), 100.0)
    assert done.finish == Finish(status=DeploymentStatus.SUCCEEDED)


def test_replacements_keep_serving_when_the_originals_do_not_come_back() -> None:
    failing = seen(Phase.RESTORE, required=1, blue=Side(pending=1, failed=1), idle=("b2", "g1", "g2", "g3"))
    step = next_step(failing, 100.0)
    assert step.finish is not None
    assert step.finish.status is DeploymentStatus.FAILED


def test_who_is_late_is_lost_first() -> None:
    step = next_step(seen(Phase.INSTALL, overdue=("g1",), ending=STOP), 100.0)
    assert (step.lose, step.finish) == (("g1",), None)


def test_what_a_configuration_leaves_out_is_done_so_that_nothing_is_lost() -> None:
    assert options_of({}) == Options(ready_wait=None, copies_group=False, termination_wait=None)
    full = {
        "deploymentReadyOption": {"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 10},
        "greenFleetProvisioningOption": {"action": "COPY_AUTO_SCALING_GROUP"},
        "terminateBlueInstancesOnDeploymentSuccess": {"action": "TERMINATE", "terminationWaitTimeInMinutes": 5},
    }
    assert options_of(full) == Options(ready_wait=600.0, copies_group=True, termination_wait=300.0)


GREEN: dict[str, Any] = {"Key": "colour", "Value": "green", "Type": "KEY_AND_VALUE"}
WITH_ADDRESS: dict[str, Any] = {"Key": "longshore:address", "Type": "KEY_ONLY"}


@pytest.mark.parametrize(
    ("named", "members"),
    [
        ({"tagFilters": [GREEN]}, {"ec2TagFilters": [GREEN]}),
        ({"tagFilters": [GREEN, WITH_ADDRESS]}, {"ec2TagFilters": [GREEN, WITH_ADDRESS]}),
        ({"tagFilters": [WITH_ADDRESS]}, {"onPremisesInstanceTagFilters": [WITH_ADDRESS]}),
        (
            {"ec2TagSet": {"ec2TagSetList": [[GREEN], [WITH_ADDRESS]]}},
            {"onPremisesTagSet": {"onPremisesTagSetList": [[GREEN], [WITH_ADDRESS]]}},
        ),
        ({"autoScalingGroups": ["green"]}, {"autoScalingGroups": ["green"]}),
        ({}, {}),
    ],
)
def test_who_the_replacements_are_and_the_group_afterwards(named: dict[str, Any], members: dict[str, Any]) -> None:
    """Tags that ask for an address are those of on-premises hosts; nobody else is a member afterwards (S7.15)."""
    group: dict[str, Any] = {
        "deploymentStyle": {"deploymentType": "BLUE_GREEN"},
        "ec2TagFilters": [{"Key": "colour", "Value": "blue"}],
        "onPremisesTagSet": {"onPremisesTagSetList": [[WITH_ADDRESS]]},
        "autoScalingGroups": ["blue"],
    }
    assert members_deployed_to(group, named) == members
    assert group_after(group, named) == {"deploymentStyle": group["deploymentStyle"], **members}
