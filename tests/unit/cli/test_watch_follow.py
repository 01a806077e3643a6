"""Watching costs a bounded number of calls, however large the deployment is."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from longshore.cli import watch_follow
from longshore.cli.watch_follow import Follower, follow
from tests.unit.cli.deployments import described, info


class CodeDeploy:
    """The three calls of a deployment whose targets have these statuses; counts them."""

    def __init__(self, statuses: dict[str, str], status: str = "InProgress") -> None:
        self.statuses = statuses
        self.status = status
        self.calls: Counter[str] = Counter()
        self.batches: list[list[str]] = []

    def get_deployment(self, **_: Any) -> dict[str, Any]:
        self.calls["get"] += 1
        return {"deploymentInfo": info(self.status, deploymentOverview=dict(Counter(self.statuses.values())))}

    def list_deployment_targets(self, **asked: Any) -> dict[str, Any]:
        self.calls["list"] += 1
        wanted = asked.get("targetFilters", {}).get("TargetStatus")
        ids = [name for name, status in sorted(self.statuses.items()) if not wanted or status in wanted]
        return {"targetIds": ids[:100], "nextToken": "more" if len(ids) > 100 else None}

    def batch_get_deployment_targets(self, **asked: Any) -> dict[str, Any]:
        self.calls["batch"] += 1
        self.batches.append(asked["targetIds"])
        assert len(asked["targetIds"]) <= 25
        return {"deploymentTargets": [described(name, self.statuses[name]) for name in asked["targetIds"]]}


def many(count: int, status: str, prefix: str = "web") -> dict[str, str]:
    return {f"{prefix}-{number:04}": status for number in range(count)}


def test_every_target_of_a_small_deployment_is_seen() -> None:
    codedeploy = CodeDeploy(many(30, "Pending") | many(10, "InProgress", "db"))
    assert len(Follower(codedeploy, "d-1").look().targets) == 40
    assert codedeploy.calls == {"get": 1, "list": 1, "batch": 2}


def test_five_thousand_targets_cost_few_calls() -> None:
    codedeploy = CodeDeploy(many(4000, "Pending") | many(970, "InProgress", "db") | many(30, "Failed", "zoo"))
    seen = Follower(codedeploy, "d-1").look()
    assert Counter(target.status for target in seen.targets) == {"Failed": 20, "InProgress": 20}
    assert sum(codedeploy.calls.values()) <= 6


def test_a_target_that_ended_is_not_asked_for_again() -> None:
    codedeploy = CodeDeploy({"web-1": "Succeeded", "web-2": "InProgress"})
    follower = Follower(codedeploy, "d-1")
    follower.look()
    seen = follower.look()
    assert codedeploy.batches == [["web-1", "web-2"], ["web-2"]]
    assert {target.id for target in seen.targets} == {"web-1", "web-2"}


def test_the_counts_are_those_of_the_targets_that_are_shown() -> None:
    """The deployment is asked first, and its targets may move before they are."""
    codedeploy = CodeDeploy({"web-1": "Failed", "web-2": "Pending"})
    get_deployment = codedeploy.get_deployment

    def then_move(**asked: Any) -> dict[str, Any]:
        answer = get_deployment(**asked)
        codedeploy.statuses["web-2"] = "Skipped"
        return answer

    codedeploy.get_deployment = then_move  # type: ignore[method-assign]
    assert Follower(codedeploy, "d-1").look().counts == {"Failed": 1, "Skipped": 1}


def test_an_agent_that_lets_an_event_wait_is_asked_after(monkeypatch: pytest.MonkeyPatch) -> None:
    codedeploy = CodeDeploy({"web-1": "InProgress", "web-2": "Pending"})
    follower = Follower(codedeploy, "d-1")
    assert follower.look().hint == "", "it may just have been asked"
    monkeypatch.setattr(watch_follow, "_SILENT_SECONDS", 0.0)
    hint = follower.look().hint
    assert "Nothing is heard of web-1." in hint
    assert "longshore agent doctor" in hint
    monkeypatch.setattr(codedeploy, "batch_get_deployment_targets", lambda **_: at_work("web-1", "web-2"))
    assert follower.look().hint == "", "it has begun"


def at_work(running: str, pending: str) -> dict[str, Any]:
    return {"deploymentTargets": [described(running, "InProgress", running=True), described(pending, "Pending")]}


def test_nothing_is_asked_when_nothing_can_have_changed() -> None:
    codedeploy = CodeDeploy(many(5, "Pending"))
    follower = Follower(codedeploy, "d-1")
    follower.look()
    again = follower.look()
    assert codedeploy.calls == {"get": 2, "list": 1, "batch": 1}
    assert len(again.targets) == 5


def test_a_deployment_without_targets_yet_is_not_asked_for_them() -> None:
    codedeploy = CodeDeploy({}, "Created")
    assert Follower(codedeploy, "d-1").look().targets == ()
    assert codedeploy.calls == {"get": 1}


class Flaky(Follower):
    """Fails at some looks."""

    def __init__(self, *outcomes: BaseException | None) -> None:
        super().__init__(CodeDeploy({"web-1": "Succeeded"}), "d-1")
        self._outcomes = list(outcomes)

    def look(self) -> Any:
        outcome = self._outcomes.pop(0) if self._outcomes else None
        if outcome is not None:
            raise outcome
        if not self._outcomes:
            self._codedeploy.status = "Succeeded"
        return super().look()


GONE = EndpointConnectionError(endpoint_url="http://127.0.0.1:1")


def test_a_server_that_comes_back_is_watched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_follow, "_AWAY_SECONDS", 0.001)
    told: list[str] = []
    seen = list(follow(Flaky(None, GONE, GONE, None), every=0.001, away=told.append))
    assert [each.status for each in seen] == ["InProgress", "Succeeded"]
    assert len(told) == 1


def test_a_server_that_was_never_there_is_an_error_at_once() -> None:
    with pytest.raises(EndpointConnectionError):
        list(follow(Flaky(GONE), every=0.001))


def test_an_error_of_ours_is_not_tried_again() -> None:
    refused = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetDeployment")
    with pytest.raises(ClientError):
        list(follow(Flaky(None, refused), every=0.001))
