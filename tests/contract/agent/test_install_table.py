"""What an Install makes of a bundle, an AppSpec and a host as it is: the cases of `install/*.yml`, by the real agent.

A case says what is on the host, the deployments that come one after the other, which events have something to do (by
default DownloadBundle and Install; one that fails says why, and ends the deployment), and the disk afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from table_host import TableHost
from tests.bundle_host import Answer, BundleHost

FOLDER = Path(__file__).parent / "install"
CASES: list[dict[str, Any]] = [
    case | {"file": path.stem} for path in sorted(FOLDER.glob("*.yml")) for case in yaml.safe_load(path.read_text())
]


@pytest.fixture(scope="module")
def bundles() -> Iterator[BundleHost]:
    host = BundleHost(lambda _: Answer(status=404))
    yield host
    host.stop()


@pytest.fixture
def host(bundles: BundleHost, tmp_path: Path) -> Iterator[TableHost]:
    mask = os.umask(0o022)
    yield TableHost(tmp_path, bundles)
    os.umask(mask)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize("case", [pytest.param(case, id=f"{case['file']}: {case['case']}") for case in CASES])
def test_install(host: TableHost, case: dict[str, Any]) -> None:
    host.put(case.get("host", {}))
    for number, deployment in enumerate(case["deployments"], 1):
        wanted = deployment.get("events", ["DownloadBundle", "Install"])
        found = host.deploy(deployment)
        assert len(found) == len(wanted), f"deployment {number}: {found}"
        for event, said in zip(found, wanted, strict=True):
            assert event == said or (": " in said and event.startswith(said)), f"deployment {number}: {event}"
        host.put(deployment.get("then", {}))
    assert host.tree() == {name: str(said) for name, said in sorted(case["after"].items())}
    if "cleanup" in case:
        assert host.cleanup() == case["cleanup"]


def test_every_rule_has_its_cases() -> None:
    """The rules of the official agent that the table is about, and that each case names one."""
    assert len(CASES) >= 60
    assert len({(case["file"], case["case"]) for case in CASES}) == len(CASES)
    named = {rule for case in CASES for rule in case["rule"].split(", ")}
    wanted = {f"A{number}" for number in (*range(40, 47), *range(51, 58), 59, 60)} | {
        f"S5.{number}" for number in range(11, 15)
    }
    assert wanted <= named
