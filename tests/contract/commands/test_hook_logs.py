"""What hosts tell of their hooks: only their own, only while it runs, and no more than is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.world import ControlPlane, Host, Revision, Shop, wait_until
from tests.contract.commands.test_commands import Agent


@pytest.fixture
def host(tmp_path: Path, shared_plane: ControlPlane) -> Host:
    return Host(name=f"talks-{time.time_ns()}", folder=tmp_path, plane=shared_plane)


@pytest.fixture
def shop(shared_plane: ControlPlane, host: Host, shop_of: Callable[..., Shop]) -> Iterator[Shop]:
    made = shop_of(shared_plane, [host])
    yield made
    made.deploy.delete_application(applicationName=made.name)


@pytest.fixture
def running(shop: Shop, shared_plane: ControlPlane, host: Host) -> Running:
    return Running(shop, shared_plane, host)


class Running:
    """A deployment whose first event runs, as the test's own agent said."""

    def __init__(self, shop: Shop, plane: ControlPlane, host: Host) -> None:
        self.plane = plane
        self.deployment_id = shop.start(Revision())
        self.agent = Agent(plane, host)
        self.command = self.agent.poll()
        self.identifier = self.command["HostCommandIdentifier"]
        self.service = plane.client("longshore", keys=host.keys)

    def tell(self, sequence: int, text: str, dropped: int = 0, *, service: Any = None) -> bool:
        answer = (service or self.service).put_hook_log(
            hostCommandIdentifier=self.identifier, sequence=sequence, text=text, droppedLines=dropped
        )
        return bool(answer["isWanted"])

    def entries(self) -> list[dict[str, Any]]:
        reader, found, more = self.plane.client("longshore"), [], {}
        while True:
            answer = reader.get_hook_log(deploymentId=self.deployment_id, **more)
            if not answer["entries"]:
                return found
            found += answer["entries"]
            more = {"nextToken": answer["nextForwardToken"]}


def test_it_is_there_within_a_moment_and_whole_when_the_event_has_ended(running: Running, host: Host) -> None:
    running.agent.acknowledge(running.command)
    assert running.tell(0, "first\n")
    wait_until("it is written", running.entries)
    assert running.tell(1, "second\n", 3)
    running.agent.complete(running.command)
    first, second = running.entries()
    assert (first["targetId"], first["lifecycleEventName"], first["text"]) == (host.name, "ApplicationStop", "first\n")
    assert (second["text"], second["droppedLines"]) == ("second\n", 3)


def test_the_end_that_is_reported_is_kept_where_nothing_was_told(running: Running) -> None:
    """So the log of an agent that tells nothing is as whole as its reports are."""
    running.agent.acknowledge(running.command)
    running.agent.complete(running.command, "Failed", error_code=4, message="no", log="[stdout]the end")
    running.agent.complete(running.command, "Failed", error_code=4, message="no", log="[stdout]another")
    assert [entry["text"] for entry in running.entries()] == ["[stdout]the end\n"]


def test_the_end_that_is_reported_adds_nothing_to_what_was_told(running: Running) -> None:
    running.agent.acknowledge(running.command)
    running.tell(0, "[stdout]all of it\n")
    running.agent.complete(running.command, log="[stdout]all of it\n")
    assert [entry["text"] for entry in running.entries()] == ["[stdout]all of it\n"]


def test_what_is_sent_again_is_kept_once(running: Running) -> None:
    running.agent.acknowledge(running.command)
    for sequence in (0, 0, 1, 0):
        assert running.tell(sequence, f"{sequence}\n")
    running.agent.complete(running.command)
    assert [entry["text"] for entry in running.entries()] == ["0\n", "1\n"]


def test_nothing_is_taken_before_the_command_runs_or_after(running: Running) -> None:
    assert not running.tell(0, "too early\n")
    running.agent.acknowledge(running.command)
    running.agent.complete(running.command)
    assert not running.tell(1, "too late\n")
    # What waits is written together: with this, the others would be.
    following = running.agent.poll()
    running.agent.acknowledge(following)
    running.identifier = following["HostCommandIdentifier"]
    assert running.tell(0, "in time\n")
    wait_until("it is written", running.entries)
    assert [(entry["lifecycleEventName"], entry["text"]) for entry in running.entries()] == [
        ("DownloadBundle", "in time\n")
    ]


def test_a_host_speaks_for_itself_alone(running: Running, shared_plane: ControlPlane) -> None:
    running.agent.acknowledge(running.command)
    made = shared_plane.client("longshore").create_access_key(userName=f"other-{time.time_ns()}")["accessKey"]
    other = shared_plane.client("longshore", keys=(made["accessKeyId"], made["secretAccessKey"]))
    with pytest.raises(ClientError, match="names no command for"):
        running.tell(0, "forged\n", service=other)
    with pytest.raises(ClientError, match="names no command for"):
        running.service.put_hook_log(hostCommandIdentifier="nonsense", sequence=0, text="")
    with pytest.raises(ClientError, match="AccessDenied"):
        running.tell(0, "forged\n", service=shared_plane.client("longshore"))
    running.agent.complete(running.command)
    assert running.entries() == []


def test_of_one_event_a_megabyte_is_kept_and_the_rest_counted(running: Running) -> None:
    running.agent.acknowledge(running.command)
    text = ("x" * 1023 + "\n") * 63
    told = 0
    while running.tell(told, text):
        told += 1
        assert told < 20
    assert not running.tell(told + 1, "more\n")
    assert not running.tell(told + 2, "", 77)
    assert not running.tell(told + 3, "", 78)
    running.agent.complete(running.command)
    entries = running.entries()
    assert 900_000 < sum(len(entry["text"]) for entry in entries) <= 1024 * 1024
    assert [entry["droppedLines"] for entry in entries if "droppedLines" in entry] == [63, 77]


def test_a_server_that_was_started_again_knows_how_far_it_was(
    own_plane: ControlPlane, tmp_path: Path, shop_of: Callable[..., Shop]
) -> None:
    host = Host(name="talks", folder=tmp_path / "host", plane=own_plane)
    running = Running(shop_of(own_plane, [host]), own_plane, host)
    running.agent.acknowledge(running.command)
    running.tell(0, "before\n")
    wait_until("it is written", running.entries)
    own_plane.kill()
    own_plane.start()
    assert running.tell(0, "before\n")
    assert running.tell(1, "after\n")
    running.agent.complete(running.command)
    assert [entry["text"] for entry in running.entries()] == ["before\n", "after\n"]


def test_a_server_that_is_asked_to_stop_writes_what_it_has_taken(
    own_plane: ControlPlane, tmp_path: Path, shop_of: Callable[..., Shop]
) -> None:
    """Taken and not written yet: the agent believes that it is kept, and would not tell it again."""
    host = Host(name="talks", folder=tmp_path / "host", plane=own_plane)
    running = Running(shop_of(own_plane, [host]), own_plane, host)
    running.agent.acknowledge(running.command)
    for sequence in range(3):
        running.tell(sequence, f"line {sequence}\n")
    assert own_plane.stop() == 0
    own_plane.start()
    assert "".join(entry["text"] for entry in running.entries()) == "line 0\nline 1\nline 2\n"
