"""A deployment on a terminal of 80 columns."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from longshore.cli.watch_progress import Progress, progress, target
from longshore.cli.watch_table import deployment_table
from tests.unit.cli.deployments import NOW, described, info


def shown(seen: Progress, *, rows: int = 40) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=80).print(deployment_table(seen, NOW, rows=rows))
    return out.getvalue().splitlines()


def seen(targets: Sequence[dict[str, Any]], status: str = "InProgress", **changed: Any) -> Progress:
    return progress(info(status, **changed), [target(each) for each in targets])


def test_hosts_by_events_fit_in_80_columns() -> None:
    lines = shown(
        seen(
            [described("web-2", "InProgress", ended=6, running=True), described("web-1", "Succeeded", ended=7)],
            deploymentOverview={"Succeeded": 1, "InProgress": 1},
        )
    )
    assert lines == [
        "d-ABC123DEF  shop → prod  HalfAtATime  InProgress  10.0 s",
        "      Application Download Before          After   Application Validate     ",
        "      Stop        Bundle   Install Install Install Start       Service      ",
        "web-1 ✔ 0.5s      ✔ 0.5s   ✔ 0.5s  ✔ 0.5s  ✔ 0.5s  ✔ 0.5s      ✔ 0.5s   6.5s",
        "web-2 ✔ 0.5s      ✔ 0.5s   ✔ 0.5s  ✔ 0.5s  ✔ 0.5s  ✔ 0.5s      ▶ 4.0s    10s",
        "━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  1 of 2 succeeded, 1 in progress",
    ]


def test_rows_of_a_few_hosts_keep_their_places() -> None:
    targets = [described("web-10", "Failed", ended=6, failed=True), described("web-9", "Pending")]
    lines = shown(seen(targets, deploymentOverview={"Failed": 1, "Pending": 1}))
    assert [line.split()[0] for line in lines[3:5]] == ["web-9", "web-10"]


def test_both_sides_of_a_blue_green_deployment_are_there_before_both_are_counted() -> None:
    blue, green = described("i-1", "Pending"), described("i-2", "InProgress", running=True)
    blue["instanceTarget"]["instanceLabel"], green["instanceTarget"]["instanceLabel"] = "Blue", "Green"
    lines = shown(seen([blue, green], deploymentOverview={"InProgress": 1}))
    assert [line.split()[:2] for line in lines[3:5]] == [["i-1", "blue"], ["i-2", "green"]]
    assert "more" not in "".join(lines)


def test_of_many_hosts_the_worst_come_first_and_the_rest_is_counted() -> None:
    targets = [described(f"web-{number}", "InProgress") for number in range(39)]
    targets.append(described("zoo", "Failed", ended=6, failed=True))
    lines = shown(seen(targets, deploymentOverview={"Failed": 1, "InProgress": 39, "Pending": 4960}))
    assert lines[3].startswith("zoo")
    assert len([line for line in lines if line.startswith("web-")]) == 39
    assert any(line.startswith("… 4960 more") for line in lines)


def test_a_small_screen_shows_the_worst_few() -> None:
    targets = [described("web-1", "Succeeded", ended=7), described("web-2", "Failed", ended=6, failed=True)]
    lines = shown(seen(targets, deploymentOverview={"Failed": 1, "Succeeded": 1}), rows=1)
    assert [line.split()[0] for line in lines[3:5]] == ["web-2", "…"]


def test_the_end_explains_the_failures() -> None:
    targets = [described(f"web-{number}", "Failed", ended=6, failed=True) for number in range(5)]
    text = "\n".join(
        shown(
            seen(
                targets,
                "Failed",
                deploymentOverview={"Failed": 5},
                errorInformation={"code": "HEALTH_CONSTRAINTS", "message": "too many"},
            )
        )
    )
    assert "HEALTH_CONSTRAINTS: too many" in text
    assert text.count("| [stderr]no answer") == 3
    assert "2 more failed." in text


def test_a_deployment_that_has_not_begun_is_one_line() -> None:
    assert shown(progress(info("Created"))) == ["d-ABC123DEF  shop → prod  HalfAtATime  Created  10.0 s"]


def test_a_single_failure_among_thousands_has_its_place_in_the_bar() -> None:
    counts = {"Succeeded": 4999, "Failed": 1}
    out = io.StringIO()
    Console(file=out, width=100, force_terminal=True, color_system="standard").print(
        deployment_table(progress(info(deploymentOverview=counts)), NOW)
    )
    assert "\x1b[1;31m━" in out.getvalue()


def test_where_the_events_do_not_fit_each_is_a_mark_and_one_has_a_name() -> None:
    at_work, waiting = (
        described("i-0123456789abcdef0", "InProgress", ended=6, running=True),
        described("i-1", "Pending"),
    )
    events = at_work["instanceTarget"]["lifecycleEvents"]
    for name in ("BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic"):
        events.append({"lifecycleEventName": name, "status": "Pending"})
    lines = shown(seen([at_work, waiting], deploymentOverview={"InProgress": 1, "Pending": 1}))
    assert lines[1].split() == ["i-1", "·······", "·"]
    assert lines[2].split() == ["i-0123456789abcdef0", "✔✔✔✔✔✔▶···", "ValidateService", "10s"]
