"""An agent that is not root deploys what needs no root, and says what does."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from longshore.onebox.machinery.host_view import HostView, this_program, why_not
from tests.acceptance.world import BIN, ControlPlane, Host, Revision, Shop

NOBODY = 65534


@pytest.fixture
def host(tmp_path: Path, shared_plane: ControlPlane) -> Iterator[Host]:
    """A host whose agent runs as nobody, who owns its directories and /srv/shop."""
    reason = why_not(tmp_path) or ("only root can start an agent as somebody else" if os.geteuid() != 0 else None)
    if reason:
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    setpriv = shutil.which("setpriv")
    assert setpriv, "setpriv is part of util-linux"
    view = HostView(directory=tmp_path / "view", name="nobodys")
    for place in ("/opt/agent", "/srv/shop"):
        view.written(place).mkdir(parents=True)
        os.chown(view.written(place), NOBODY, NOBODY)
    # Python and its packages may live in root's home, which on this host alone everybody may pass through.
    ways = {str(parent) for place in this_program() for parent in place.parents}
    opened = ("sh", "-euc", f'chmod a+x {shlex.join(sorted(ways))}; exec "$@"', "sh")
    program = (*opened, setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs")
    made = Host(
        name="nobodys",
        folder=tmp_path / "host",
        plane=shared_plane,
        view=view,
        program=(*program, str(BIN / "longshore"), "agent"),
    )
    made.start()
    yield made
    made.remove()


def test_what_needs_no_root_is_deployed(host: Host, shared_plane: ControlPlane, shop_of: Callable[..., Shop]) -> None:
    shop = shop_of(shared_plane, [host])
    hooks = {"BeforeInstall": "id -un", "ApplicationStart": "cat /srv/shop/page", "ValidateService": "id -un"}
    revision = Revision(hooks=hooks, files={"page": "hello\n"}, install={"page": "/srv/shop"})
    for _ in range(2):
        assert shop.ended(shop.start(revision))["status"] == "Succeeded", host.log
    assert host.view is not None
    page = host.view.written("/srv/shop/page")
    assert (page.read_text(), page.stat().st_uid) == ("hello\n", NOBODY)
    assert {process.uids().effective for process in host.processes} == {NOBODY}
    # And not another Python that was found instead.
    assert Path(host.agent.exe()).resolve() == Path(sys.executable).resolve()
    newest = max((host.root).glob("*/d-*/logs/scripts.log"), key=lambda path: path.stat().st_mtime)
    assert newest.read_text().count("[stdout]nobody") == 2


def test_what_needs_root_says_so(host: Host, shared_plane: ControlPlane, shop_of: Callable[..., Shop]) -> None:
    shop = shop_of(shared_plane, [host])
    as_another = Revision(hooks={"BeforeInstall": "id -un"}, hook_options={"runas": "daemon"})
    deployment_id = shop.start(as_another)
    shop.ended(deployment_id)
    failure = shop.failure(deployment_id, host.name)
    assert failure["errorCode"] == "ScriptFailed"
    assert "run as user daemon failed" in failure["message"]
    assert "this agent is not root" in failure["message"]

    elsewhere = Revision(files={"page": "x"}, install={"page": "/etc/shop"})
    deployment_id = shop.start(elsewhere)
    shop.ended(deployment_id)
    failure = shop.failure(deployment_id, host.name)
    assert failure["event"] == "Install"
    assert "Permission denied" in failure["message"]
    assert "/etc/shop" in failure["message"]
