"""What is shown of logs, from what the control plane got while hooks ran and from what was reported at their end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from longshore.cli.log_lines import HookLog, LastWords, LogFollower
from longshore.cli.watch_follow import Follower
from longshore.cli.watch_progress import progress, target
from tests.unit.cli.deployments import described, info

NOW = datetime(2026, 11, 23, tzinfo=UTC)


class Longshore:
    """Answers GetHookLog, an entry a page."""

    def __init__(self, *entries: dict[str, Any]) -> None:
        self.entries = list(entries)

    def get_hook_log(self, *, nextToken: str = "0", **_: Any) -> dict[str, Any]:  # noqa: N803 - the wire's name
        at = int(nextToken)
        shown = self.entries[at : at + 1]
        return {"entries": shown, "nextForwardToken": str(at + len(shown))}


class CodeDeploy:
    """A deployment to one target that has failed in ApplicationStart."""

    def get_deployment(self, **_: Any) -> dict[str, Any]:
        return {"deploymentInfo": info("Failed", deploymentOverview={"Failed": 1})}

    def list_deployment_targets(self, **_: Any) -> dict[str, Any]:
        return {"targetIds": ["web-1"]}

    def batch_get_deployment_targets(self, **_: Any) -> dict[str, Any]:
        return {"deploymentTargets": [described("web-1", "Failed", ended=5, failed=True)]}


def entry(text: str, event: str = "ApplicationStart", **more: Any) -> dict[str, Any]:
    return {"targetId": "web-1", "lifecycleEventName": event, "time": NOW, "text": text, **more}


def lines(*entries: dict[str, Any], event: str | None = None) -> list[str | int]:
    """What the first look shows: texts, and numbers of lines that are missing."""
    follower = LogFollower(HookLog(Longshore(*entries), "d-1"), Follower(CodeDeploy(), "d-1"), event=event)
    look = follower.look()
    assert look.is_final
    assert follower.look().lines == (), "nothing is told twice"
    return [line.dropped or line.text for line in look.lines]


TAIL = ["Script - scripts/validate.sh", "[stderr]no answer"]


def test_of_an_agent_that_told_nothing_there_is_the_reported_end() -> None:
    assert lines() == TAIL
    assert lines(event="ApplicationStart") == TAIL
    assert lines(event="Install") == []


def test_what_was_told_is_not_repeated_by_the_end() -> None:
    assert lines(entry("one\ntwo\n"), entry("three\n")) == ["one", "two", "three"]
    assert lines(entry(""), entry("one\n")) == ["one"], "an empty entry is not the end"


def test_where_lines_are_missing_the_end_is_shown_too() -> None:
    assert lines(entry("one\n"), entry("", droppedLines=7)) == ["one", 7, *TAIL]


def test_no_line_moves_the_cursor() -> None:
    assert lines(entry("a\x1b[2Jb\tc\n")) == ["a[2Jb\tc"]


def test_last_words_are_of_hooks_that_run_now() -> None:
    running = progress(
        info(deploymentOverview={"InProgress": 1}), [target(described("web-1", "InProgress", ended=5, running=True))]
    )
    over = progress(info(deploymentOverview={"InProgress": 1}), [target(described("web-1", "InProgress", ended=6))])
    log = Longshore(entry("earlier\n", event="AfterInstall"), entry("one\ntwo\n\n"))
    words = LastWords(HookLog(log, "d-1"))
    said = [[line.text for line in words.lines()] for _ in words.along(iter([running, running, over]))]
    assert said == [[], ["two"], []]


def test_a_server_without_logs_has_no_last_words() -> None:
    class Aws:
        calls = 0

        def get_hook_log(self, **_: Any) -> dict[str, Any]:
            self.calls += 1
            raise ClientError({"Error": {"Code": "UnknownOperationException", "Message": "no"}}, "GetHookLog")

    running = progress(
        info(deploymentOverview={"InProgress": 1}), [target(described("web-1", "InProgress", ended=5, running=True))]
    )
    words = LastWords(HookLog(Aws(), "d-1"))
    assert [words.lines() for _ in words.along(iter([running, running]))] == [[], []]
