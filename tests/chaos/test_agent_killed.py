"""The agent dies: what it was doing is told (S4.11), nothing of it runs on, and the host takes the next deployment."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from longshore.commands.waiting import HOLD
from tests.acceptance.world import ControlPlane, Host, Revision, Shop, wait_until
from tests.chaos.notes import SCRIPTED, Notes, each_once

Hosts = Callable[..., list[Host]]
Shops = Callable[..., Shop]

FILES = 2000
#: Long enough that a half-written file would be seen.
LINES = 200


class EndlessHook:
    """A script that never ends by itself, nor does the process it started beside it."""

    def __init__(self, folder: Path) -> None:
        self._pids = folder / "pids"
        self.script = f"sleep 600 & printf '%s\\n' $$ $! > {self._pids}.new; mv {self._pids}.new {self._pids}; wait"

    def processes(self) -> list[psutil.Process]:
        wait_until("the hook runs", self._pids.exists)
        return [psutil.Process(int(pid)) for pid in self._pids.read_text().split()]


@pytest.fixture
def endless(tmp_path: Path) -> EndlessHook:
    return EndlessHook(tmp_path)


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path / "notes")


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def test_killed_in_a_hook_it_says_so_when_it_starts_again(
    own_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops, endless: EndlessHook, notes: Notes
) -> None:
    """S4.11, and what the hook left running is ended."""
    (host,) = hosts_of(own_plane)
    shop = shop_of(own_plane, [host])
    deployment_id = shop.start(Revision(hooks={"BeforeInstall": endless.script, "AfterInstall": notes.line}))
    left_over = endless.processes()
    host.kill()
    assert not gone(left_over)
    assert shop.info(deployment_id)["status"] == "InProgress"

    host.start()
    assert shop.ended(deployment_id)["status"] == "Failed"
    failure = shop.failure(deployment_id, host.name)
    assert (failure["event"], failure["errorCode"]) == ("BeforeInstall", "UnknownError")
    assert "agent was restarted while BeforeInstall ran" in failure["message"]
    assert shop.statuses(deployment_id, host.name)[-4:] == ["Skipped"] * 4
    wait_until("the hook's processes are gone", lambda: gone(left_over), seconds=30)

    following, ended = shop.run(Revision(hooks=dict.fromkeys(SCRIPTED, notes.line)))
    assert ended["status"] == "Succeeded"
    # The failed deployment installed nothing, so no revision is there to be stopped.
    assert notes.of(following) == each_once([host], SCRIPTED[1:])
    assert not notes.of(deployment_id)


def test_killed_while_the_server_is_away_too(
    own_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops, endless: EndlessHook
) -> None:
    """A power cut of the whole site: both come back, and agree on what happened."""
    (host,) = hosts_of(own_plane)
    shop = shop_of(own_plane, [host])
    deployment_id = shop.start(Revision(hooks={"BeforeInstall": endless.script}))
    left_over = endless.processes()
    own_plane.kill()
    host.kill()
    host.start()
    wait_until("the agent finds nobody to tell", lambda: "command.report_failed" in host.log)
    own_plane.start()
    assert shop.ended(deployment_id)["status"] == "Failed"
    assert "agent was restarted" in shop.failure(deployment_id, host.name)["message"]
    wait_until("the hook's processes are gone", lambda: gone(left_over), seconds=30)


def test_a_killed_worker_is_reported_within_seconds(
    own_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops, endless: EndlessHook
) -> None:
    """What goes wrong in one deployment's process is an outcome and no outage of the agent, whose poll is held on."""
    (host,) = hosts_of(own_plane)
    shop = shop_of(own_plane, [host])
    deployment_id = shop.start(Revision(hooks={"AfterInstall": endless.script}))
    left_over = endless.processes()
    poller = host.agent
    (worker,) = host.workers
    worker.kill()
    assert shop.ended(deployment_id, seconds=HOLD - 5)["status"] == "Failed"
    failure = shop.failure(deployment_id, host.name)
    assert (failure["event"], failure["errorCode"]) == ("AfterInstall", "UnknownError")
    assert "killed by signal 9 while AfterInstall ran" in failure["message"]
    wait_until("the hook's processes are gone", lambda: gone(left_over), seconds=30)
    assert host.agent == poller
    _, ended = shop.run(Revision())
    assert ended["status"] == "Succeeded"


@pytest.mark.parametrize("comes_back", ["after the hook", "during the hook"])
def test_a_worker_outlives_its_poller(
    tmp_path: Path, own_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops, notes: Notes, comes_back: str
) -> None:
    """Alone, it still reports the hook it is in; a new poller that finds it ends it, and says so."""
    (host,) = hosts_of(own_plane)
    shop = shop_of(own_plane, [host])
    at_work, go_on = tmp_path / "at-work", tmp_path / "go-on"
    script = f"{notes.line}; touch {at_work}; while [ ! -e {go_on} ]; do sleep 0.05; done"
    deployment_id = shop.start(Revision(hooks={"BeforeInstall": script, "AfterInstall": notes.line}))
    wait_until("the hook runs", at_work.exists)
    (worker,) = host.workers
    host.kill(workers=False)
    if comes_back == "during the hook":
        host.start()
        assert shop.ended(deployment_id)["status"] == "Failed"
        assert "agent was restarted while BeforeInstall ran" in shop.failure(deployment_id, host.name)["message"]
        assert gone([worker])
        assert notes.of(deployment_id) == each_once([host], ["BeforeInstall"])
    else:
        go_on.touch()
        wait_until(
            "the worker reports the hook",
            lambda: shop.events(deployment_id, host.name)["BeforeInstall"]["status"] == "Succeeded",
        )
        host.start()
        assert shop.ended(deployment_id)["status"] == "Succeeded"
        assert notes.of(deployment_id) == each_once([host], ["BeforeInstall", "AfterInstall"])


def test_killed_between_events_it_leaves_nothing_undone(
    tmp_path: Path, own_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops, notes: Notes
) -> None:
    """Whatever was going on at the moment of each kill, it ends, and no script runs twice in a deployment.

    Often that is the moment after an acknowledgement: the server then offers the command no more.
    """
    hosts = hosts_of(own_plane, 2)
    shop = shop_of(own_plane, hosts)
    revision = shop.push(Revision(hooks=dict.fromkeys(SCRIPTED, notes.line)))
    shop.run(revision)
    for event in SCRIPTED[::2]:
        deployment_id = shop.start(revision)
        wait_until(f"{event} ran", lambda: notes.of(deployment_id)[event, hosts[0].name])  # noqa: B023
        hosts[0].kill()
        hosts[0].start()
        shop.ended(deployment_id)
        assert set(notes.of(deployment_id).values()) == {1}
        assert shop.target(deployment_id, hosts[1].name)["status"] == "Succeeded"
    _, ended = shop.run(revision)
    assert ended["deploymentOverview"]["Succeeded"] == 2


def test_killed_in_install_it_finishes_it_when_it_starts_again(
    tmp_path: Path, own_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    """2,000 files: until the switch all are the old ones, whenever the agent dies, and after it all the new ones."""
    (host,) = hosts_of(own_plane)
    shop = shop_of(own_plane, [host])
    destination = tmp_path / "opt" / "shop"
    at_work, go_on = tmp_path / "at-work", tmp_path / "go-on"
    go_on.touch()

    def revision(version: str) -> Revision:
        return Revision(
            files={f"site/{number // 100:02}/f{number:04}": _content(version, number) for number in range(FILES)},
            install={"site": str(destination)},
            hooks={"BeforeInstall": f"touch {at_work}; while [ ! -e {go_on} ]; do sleep 0.02; done"},
        )

    _, first = shop.run(revision("old"))
    assert first["status"] == "Succeeded"
    (destination / "foreign").write_text("not ours")

    go_on.unlink()
    at_work.unlink()
    deployment_id = shop.start(revision("new"))
    wait_until("the host is about to install", at_work.exists)
    go_on.touch()
    # The first of the second hundred: there is a long way to go to the switch.
    staged = destination / ".01.longshore-new" / "f0100"
    for _ in range(2):
        _spin_until(staged.exists)
        host.kill()
        assert list(_versions(destination).values()) == ["old"] * FILES
        host.start()
    assert shop.ended(deployment_id)["status"] == "Succeeded"
    assert list(_versions(destination).values()) == ["new"] * FILES
    assert len([path for path in destination.rglob("*") if path.is_file()]) == FILES + 1

    _, last = shop.run(Revision())
    assert last["status"] == "Succeeded"
    assert [path.name for path in destination.iterdir()] == ["foreign"]
    assert (destination / "foreign").read_text() == "not ours"


def _content(version: str, number: int) -> str:
    return f"{version} {number}\n" * LINES


def _versions(destination: Path) -> dict[str, str]:
    """Which revision each file under the destination is of; "torn" when of none."""
    versions = {}
    for path in sorted(destination.glob("[0-9][0-9]/f*")):
        text = path.read_text()
        version = text.partition(" ")[0]
        versions[path.name] = version if text == _content(version, int(path.name[1:])) else "torn"
    return versions


def _spin_until(condition: Callable[[], bool]) -> None:
    """Without a pause: what is awaited lasts milliseconds."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
