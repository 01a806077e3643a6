"""What reports do to a host of a deployment (server.md S3, S4, S6; agent.md 1.4)."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from longshore.domain.deployment import RUN_TIMEOUT, START_TIMEOUT, EventStatus, ScriptCode, TargetStatus
from longshore.domain.lifecycle import BLUE_GREEN, IN_PLACE, Label
from longshore.domain.target import (
    CommandState,
    Diagnostics,
    Report,
    Target,
    advance,
    begin,
    lose,
    settle,
    skip,
    start,
)


def ended(code: ScriptCode = ScriptCode.SUCCESS) -> Diagnostics:
    return Diagnostics(error_code=code, script_name="", message="", log_tail="")


def acknowledged(target: Target, now: float = 1.0, attempt: str = "a") -> Target:
    return advance(target, Report(position=target.position, attempt=attempt), now)


def finished(target: Target, code: ScriptCode = ScriptCode.SUCCESS, now: float = 2.0, attempt: str = "a") -> Target:
    return advance(target, Report(position=target.position, attempt=attempt, outcome=ended(code)), now)


def statuses(target: Target) -> list[str]:
    return [event.status.value for event in target.events]


def test_a_host_goes_through_its_events_in_order() -> None:
    target = start(begin(IN_PLACE), 0.0)
    seen = []
    while not target.status.is_final:
        seen.append(target.event.name)
        target = finished(acknowledged(target))
    assert tuple(seen) == IN_PLACE
    assert target.status is TargetStatus.SUCCEEDED
    assert target.command is CommandState.NONE


def test_a_failed_event_skips_the_rest() -> None:
    """S3.4: the skipped events have an end and no start."""
    target = start(begin(IN_PLACE), 0.0)
    target = finished(acknowledged(target))
    target = finished(acknowledged(target), ScriptCode.SCRIPT_FAILED, now=7.0)
    assert target.status is TargetStatus.FAILED
    assert statuses(target) == ["Succeeded", "Failed"] + ["Skipped"] * 5
    assert {(event.start_time, event.end_time) for event in target.events[2:]} == {(None, 7.0)}


def test_stop_failures_can_be_forgiven_and_stay_on_record() -> None:
    """S6.15."""
    target = start(begin(IN_PLACE, forgives_stop_failures=True), 0.0)
    target = finished(acknowledged(target), ScriptCode.SCRIPT_FAILED)
    assert target.event.name == "DownloadBundle"
    assert target.events[0].status is EventStatus.FAILED
    target = finished(acknowledged(target), ScriptCode.UNKNOWN_ERROR)
    assert target.status is TargetStatus.FAILED


def test_an_agent_that_never_answers_leaves_every_event_skipped() -> None:
    """S3.6."""
    target = start(begin(IN_PLACE), 0.0)
    assert target.deadline == START_TIMEOUT
    lost = lose(target, START_TIMEOUT)
    assert lost.status is TargetStatus.FAILED
    assert statuses(lost) == ["Skipped"] * 7


def test_an_event_that_runs_too_long_is_the_one_that_failed() -> None:
    """S4.2."""
    target = acknowledged(start(begin(IN_PLACE), 0.0), now=10.0)
    assert target.deadline == 10.0 + RUN_TIMEOUT
    assert statuses(lose(target, 9999.0)) == ["Failed"] + ["Skipped"] * 6


def test_a_completion_without_an_acknowledgement_counts() -> None:
    """agent.md 1.4.8."""
    target = finished(start(begin(IN_PLACE), 0.0), ScriptCode.UNKNOWN_ERROR, now=5.0)
    assert target.status is TargetStatus.FAILED
    assert target.events[0].start_time == 5.0


def test_the_first_completion_wins() -> None:
    """agent.md 1.4.7: the official agent reports a failure twice, the second time with less to say."""
    target = acknowledged(start(begin(IN_PLACE), 0.0))
    first = finished(target, ScriptCode.SCRIPT_FAILED)
    assert finished(first, ScriptCode.UNKNOWN_ERROR) is first


def test_the_attempt_acknowledged_first_is_the_one_that_runs() -> None:
    """A command offered twice: the other attempt's words change nothing."""
    target = acknowledged(start(begin(IN_PLACE), 0.0), attempt="a")
    assert acknowledged(target, attempt="b") is target
    assert finished(target, ScriptCode.UNKNOWN_ERROR, attempt="b") is target


def test_a_halted_host_ends_with_the_event_it_is_in() -> None:
    """S6.5, S6.8."""
    target = replace(acknowledged(start(begin(IN_PLACE), 0.0)), halted=True)
    assert finished(target).status is TargetStatus.SKIPPED
    assert statuses(finished(target)) == ["Succeeded"] + ["Skipped"] * 6
    assert finished(target, ScriptCode.SCRIPT_FAILED).status is TargetStatus.FAILED


def test_a_halted_host_takes_up_nothing() -> None:
    """S6.5: a command that was offered before the stop and taken up after it does not run."""
    target = replace(start(begin(IN_PLACE), 0.0), halted=True)
    assert acknowledged(target) is target
    assert finished(target) is target


reports = st.builds(
    Report,
    position=st.integers(0, 7),
    attempt=st.sampled_from(["a", "b"]),
    outcome=st.none() | st.builds(ended, st.sampled_from(list(ScriptCode))),
)


@given(st.lists(st.tuples(reports, st.integers(1, 3)), max_size=60))
def test_any_reports_in_any_order_leave_a_sound_host(said: list[tuple[Report, int]]) -> None:
    """Repeated, late, mixed-up reports: never two events at work, never backwards, an end is final."""
    target = start(begin(IN_PLACE), 0.0)
    for now, (report, times) in enumerate(said):
        for _ in range(times):
            before = target
            target = advance(target, report, float(now))
            assert target.position >= before.position
            if before.status.is_final:
                assert target is before
        running = [event for event in target.events if event.status is EventStatus.IN_PROGRESS]
        assert len(running) <= 1
        assert (target.deadline is None) == target.status.is_final
    assert skip(target, 99.0).status.is_final or target.command is CommandState.RUNNING


def test_a_replacement_waits_with_its_revision_installed_until_it_is_started_again() -> None:
    """S3.10, S6.11: and its AllowTraffic is the engine's (S3.15)."""
    target = start(begin(BLUE_GREEN[Label.GREEN], label=Label.GREEN), 0.0)
    while target.status is TargetStatus.IN_PROGRESS:
        target = finished(acknowledged(target))
    assert (target.status, target.event.name, target.deadline) == (TargetStatus.READY, "BeforeAllowTraffic", None)
    assert finished(target) is target
    target = finished(acknowledged(start(target, 5.0)))
    assert (target.command, target.event.name) == (CommandState.ENGINE, "AllowTraffic")
    assert target.event.status is EventStatus.IN_PROGRESS
    assert finished(target) is target
    target = finished(acknowledged(settle(target, ended(), 6.0)))
    assert target.status is TargetStatus.SUCCEEDED


def test_an_original_only_loses_its_traffic() -> None:
    """S3.11."""
    target = finished(acknowledged(start(begin(BLUE_GREEN[Label.BLUE], label=Label.BLUE), 0.0)))
    assert (target.command, target.event.name) == (CommandState.ENGINE, "BlockTraffic")
    assert target.awaits_engine
    lost = lose(target, RUN_TIMEOUT + 2.0)
    assert statuses(lost) == ["Succeeded", "Failed", "Skipped"]
    stopped = skip(target, 3.0)
    assert (stopped.status, statuses(stopped)) == (TargetStatus.SKIPPED, ["Succeeded", "Skipped", "Skipped"])


def test_what_a_replacement_waits_for_its_traffic_is_no_work() -> None:
    now, target = 0.0, start(begin(BLUE_GREEN[Label.GREEN], label=Label.GREEN), 0.0)
    assert target.seconds is None
    while not target.status.is_final:
        if target.status is TargetStatus.READY:
            assert target.seconds == 7.0
            now += 3600.0
            target = start(target, now)
        if target.command is CommandState.ENGINE:
            target = settle(target, ended(), now := now + 1.0)
        else:
            target = acknowledged(target, now)
            target = finished(target, now=(now := now + 1.0))
    assert target.seconds == 7.0 + 3.0
