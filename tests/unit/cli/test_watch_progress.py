"""What is told of a deployment, and what of it is new."""

from __future__ import annotations

from datetime import timedelta

from longshore.cli.watch import as_json
from longshore.cli.watch_progress import Changes, counted, failure_lines, progress, target
from tests.unit.cli.deployments import BEGAN, NAMES, NOW, described, info


def test_targets_come_worst_first() -> None:
    names = {"a": "Succeeded", "b": "Pending", "c": "Failed", "d": "InProgress", "e": "Skipped"}
    seen = progress(info(), [target(described(name, status)) for name, status in names.items()])
    assert [each.id for each in seen.targets] == ["c", "d", "b", "a", "e"]


def test_a_target_of_any_platform_is_understood() -> None:
    body = {"targetId": "shop:prod", "status": "InProgress", "lifecycleEvents": []}
    assert target({"deploymentTargetType": "ECSTarget", "ecsTarget": body}).id == "shop:prod"


def test_counts_in_words() -> None:
    seen = progress(info(deploymentOverview={"Succeeded": 3, "InProgress": 1, "Pending": 1, "Failed": 0}))
    assert counted(seen) == "3 of 5 succeeded, 1 in progress, 1 pending"


def test_each_change_is_told_once() -> None:
    changes = Changes()
    counts = {"InProgress": 1}
    first = progress(info(deploymentOverview=counts), [target(described("web-1", "InProgress", ended=1, running=True))])
    assert list(changes.since_last(first)) == [
        "deployment d-ABC123DEF shop to prod with CodeDeployDefault.HalfAtATime: InProgress",
        "web-1: ApplicationStop Succeeded (0.5 s)",
        "web-1: DownloadBundle InProgress",
        "targets: 0 of 1 succeeded, 1 in progress",
    ]
    assert list(changes.since_last(first)) == []
    second = progress(info(deploymentOverview=counts), [target(described("web-1", "InProgress", ended=2))])
    assert list(changes.since_last(second)) == ["web-1: DownloadBundle Succeeded (0.5 s)"]


def test_a_wait_is_told_with_what_ends_it() -> None:
    changes = Changes()
    *_, ready = changes.since_last(progress(info("Ready", deploymentOverview={"Ready": 2})))
    assert ready.endswith(
        "aws deploy continue-deployment --deployment-id d-ABC123DEF --deployment-wait-type READY_WAIT"
    )
    moved = progress(info(instanceTerminationWaitTimeStarted=True))
    assert [line.split()[-1] for line in changes.since_last(moved)] == ["InProgress", "TERMINATION_WAIT"]
    assert list(changes.since_last(moved)) == []
    said = "The original instances could not all be terminated."
    ended = progress(
        info("Succeeded", instanceTerminationWaitTimeStarted=True, additionalDeploymentStatusInfo=said),
    )
    assert list(changes.since_last(ended)) == ["deployment d-ABC123DEF: Succeeded", said]


def test_the_end_comes_last_with_its_reason() -> None:
    changes = Changes()
    reason = {"code": "HEALTH_CONSTRAINTS", "message": "too many failed"}
    ended = progress(
        info("Failed", deploymentOverview={"Failed": 1, "Skipped": 1}, errorInformation=reason),
        [target(described("web-1", "Failed", ended=6, failed=True)), target(described("web-2", "Skipped"))],
    )
    lines = list(changes.since_last(ended))
    assert lines[-1] == "deployment d-ABC123DEF: Failed because of HEALTH_CONSTRAINTS: too many failed"
    assert "web-1 failed at ValidateService in scripts/validate.sh: ScriptFailed" in lines
    assert "  | [stderr]no answer" in lines
    assert "web-2: Skipped" in lines


def test_of_a_large_deployment_only_counts_and_failures_are_told() -> None:
    changes = Changes()
    targets = [
        target(described("web-1", "Failed", ended=6, failed=True)),
        target(described("web-2", "InProgress", ended=2)),
    ]
    seen = progress(info(deploymentOverview={"Failed": 1, "InProgress": 99, "Pending": 900}), targets)
    lines = list(changes.since_last(seen))
    assert not [line for line in lines if line.startswith("web-2")]
    assert lines[-1] == "targets: 0 of 1000 succeeded, 1 failed, 99 in progress, 900 pending"
    away = progress(info(deploymentOverview=seen.counts), targets[1:])
    assert list(changes.since_last(away)) == []
    assert list(changes.since_last(seen)) == [], "a failure that comes back into view is no news"


def test_a_target_that_no_agent_took_up_says_so() -> None:
    (line,) = failure_lines(target(described("web-1", "Failed")))
    assert line.startswith("web-1 failed before any lifecycle event ended")


def test_a_hosts_log_cannot_move_the_readers_cursor() -> None:
    hostile = described("web-1", "Failed", ended=6, failed=True)
    hostile["instanceTarget"]["lifecycleEvents"][6]["diagnostics"]["logTail"] = "\x1b[2Jgone\x07\tand\nback\r"
    assert [*failure_lines(target(hostile))][2:] == ["  | [2Jgone\tand", "  | back"]


def test_times_run_until_the_end() -> None:
    seen = progress(info(completeTime=BEGAN + timedelta(seconds=4)))
    assert seen.seconds(NOW) == 4
    assert progress(info()).seconds(NOW) == 10


def test_json_speaks_as_the_api_does() -> None:
    failed = target(described("web-1", "Failed", ended=6, failed=True))
    said = as_json(progress(info("Failed", deploymentOverview={"Failed": 1}), [failed]))
    assert said["status"] == "Failed"
    assert said["failedTargets"] == [
        {
            "targetId": "web-1",
            "lifecycleEventName": NAMES[6],
            "errorCode": "ScriptFailed",
            "scriptName": "scripts/validate.sh",
            "message": "the script scripts/validate.sh failed with exit code 1",
            "logTail": "Script - scripts/validate.sh\n[stderr]no answer\n",
        }
    ]
