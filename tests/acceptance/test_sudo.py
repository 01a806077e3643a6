"""Hooks of an agent that is not root, as root and as another user: by the real sudo, with the rights it is given."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from longshore.onebox.machinery.host_view import HostView, why_not
from tests.acceptance.world import BIN, ControlPlane, Host, Revision, Shop, missing_tool, wait_until

NOBODY = 65534
_numbers = itertools.count(1)
#: What docs/agent.md says, and the same without the right to end what runs too long.
WITH_KILL = """\
Defaults:nobody env_keep += "LIFECYCLE_EVENT DEPLOYMENT_ID"
nobody ALL=(ALL) NOPASSWD: /opt/agent/root/*/*/deployment-archive/scripts/*, /usr/bin/kill
"""
SCRIPTS_ALONE = WITH_KILL.replace(", /usr/bin/kill", "")

Shops = Callable[..., Shop]


@pytest.fixture
def host_of(tmp_path: Path, shared_plane: ControlPlane) -> Iterator[Callable[[str], Host]]:
    """Makes the host, whose agent runs as nobody, with this in its sudoers file."""
    if os.geteuid() != 0:
        reason: str | None = "only root can start an agent as somebody else"
    else:
        reason = why_not(tmp_path) or missing_tool("sudo")
    if reason:
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    setpriv = shutil.which("setpriv")
    assert setpriv, "setpriv is part of util-linux"
    made: list[Host] = []

    def make(sudoers: str) -> Host:
        name = f"sudoer-{next(_numbers)}"
        view = HostView(directory=tmp_path / "view", name=name)
        view.written("/opt/agent").mkdir(parents=True)
        os.chown(view.written("/opt/agent"), NOBODY, NOBODY)
        view.written("/root").mkdir(mode=0o755)
        rules = view.written("/etc/sudoers.d/agent")
        rules.parent.mkdir(parents=True)
        rules.write_text(sudoers)
        rules.chmod(0o440)
        program = (setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", str(BIN / "longshore"), "agent")
        settings = {"hook_grace_seconds": 1}
        host = Host(
            name=name, folder=tmp_path / "host", plane=shared_plane, view=view, program=program, settings=settings
        )
        made.append(host)
        return host.start()

    yield make
    for host in made:
        host.remove()


def test_a_hook_runs_as_root_or_as_whom_it_names(
    host_of: Callable[[str], Host], shared_plane: ControlPlane, shop_of: Shops
) -> None:
    host = host_of(SCRIPTS_ALONE)
    shop = shop_of(shared_plane, [host])
    says = 'echo "I am $(id -un) at $LIFECYCLE_EVENT of $DEPLOYMENT_ID"'
    for options, user in (({"sudo": True}, "root"), ({"sudo": True, "runas": "daemon"}, "daemon")):
        deployment_id = shop.start(Revision(hooks={"AfterInstall": says}, hook_options=options))
        assert shop.ended(deployment_id)["status"] == "Succeeded", shop.failure(deployment_id, host.name)
        [said] = (path.read_text() for path in host.root.glob(f"*/{deployment_id}/logs/scripts.log"))
        assert f"[stdout]I am {user} at AfterInstall of {deployment_id}\n" in said
    assert {process.uids().effective for process in host.processes} == {NOBODY}

    deployment_id = shop.start(Revision(hooks={"AfterInstall": "exit 7"}, hook_options={"sudo": True}))
    assert shop.ended(deployment_id)["status"] == "Failed"
    assert "failed with exit code 7" in shop.failure(deployment_id, host.name)["message"]


@pytest.mark.parametrize("options", [{"sudo": True}, {"sudo": True, "runas": "daemon"}])
def test_one_that_runs_too_long_is_ended_with_all_that_it_started(
    host_of: Callable[[str], Host], shared_plane: ControlPlane, shop_of: Shops, options: dict[str, object]
) -> None:
    host = host_of(WITH_KILL)
    shop = shop_of(shared_plane, [host])
    # A shell that does not go at once, with a child of its own.
    hooks = {"AfterInstall": "trap 'echo asked' TERM; sleep 4321 & while :; do sleep 0.1; done"}
    deployment_id = shop.start(Revision(hooks=hooks, hook_options={**options, "timeout": 1}))
    assert shop.ended(deployment_id)["status"] == "Failed"
    failure = shop.failure(deployment_id, host.name)
    assert failure["errorCode"] == "ScriptTimedOut"
    assert failure["message"].endswith("did not end within its timeout of 1 seconds")
    assert "asked" in failure["logTail"]
    wait_until("nothing of it runs", lambda: not running(host, "AfterInstall.sh", "4321"))


def test_one_that_may_not_be_ended_is_told_so(
    host_of: Callable[[str], Host], shared_plane: ControlPlane, shop_of: Shops, tmp_path: Path
) -> None:
    host = host_of(SCRIPTS_ALONE)
    shop = shop_of(shared_plane, [host])
    revision = Revision(hooks={"AfterInstall": "sleep 4321"}, hook_options={"sudo": True, "timeout": 1})
    deployment_id = shop.start(revision)
    assert shop.ended(deployment_id)["status"] == "Failed"
    assert "it still runs, since this agent's user may not end it" in shop.failure(deployment_id, host.name)["message"]


def test_without_the_right_sudo_says_what_is_missing(
    host_of: Callable[[str], Host], shared_plane: ControlPlane, shop_of: Shops
) -> None:
    host = host_of("")
    shop = shop_of(shared_plane, [host])
    deployment_id = shop.start(Revision(hooks={"AfterInstall": "true"}, hook_options={"sudo": True}))
    assert shop.ended(deployment_id)["status"] == "Failed"
    failure = shop.failure(deployment_id, host.name)
    assert "failed with exit code 1" in failure["message"]
    assert "sudo: a password is required" in failure["logTail"]


def running(host: Host, *words: str) -> list[str]:
    """Command lines of the host that hold one of the words."""
    assert host.view is not None
    first = host.view.process_id()
    assert first is not None
    found = []
    for one in psutil.Process(first).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(" ".join(one.cmdline()))
    return [line for line in found if any(word in line for word in words)]
