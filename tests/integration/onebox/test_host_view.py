"""Hosts with files, processes and names of their own, made by the kernel."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from longshore.onebox.machinery.host_view import HostView, HostViewError, why_not
from tests.acceptance.world import wait_until


@pytest.fixture
def host(tmp_path: Path) -> Iterator[HostView]:
    if reason := why_not(tmp_path):
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    view = HostView(directory=tmp_path / "web-1", name="web-1")
    yield view
    view.remove()


def said(view: HostView, script: str) -> str:
    ended = subprocess.run(view.command(["sh", "-c", script]), capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_what_a_host_writes_no_other_sees(host: HostView, tmp_path: Path) -> None:
    other = HostView(directory=tmp_path / "web-2", name="web-2")
    host.start()
    other.start()
    try:
        said(host, "mkdir /opt/longshore-test && echo one >/opt/longshore-test/file && echo two >>/etc/hosts")
        assert said(other, "ls /opt").find("longshore-test") < 0
        assert "two" not in said(other, "cat /etc/hosts").splitlines()
        assert not Path("/opt/longshore-test").exists()
        assert host.written("/opt/longshore-test/file").read_text() == "one\n"
        assert (said(host, "uname -n"), said(other, "uname -n")) == ("web-1\n", "web-2\n")
    finally:
        other.remove()


def test_what_is_put_there_before_the_start_is_seen(host: HostView) -> None:
    path = host.written("/etc/shop.address")
    path.parent.mkdir(parents=True)
    path.write_text("127.0.9.1\n")
    host.start()
    assert said(host, "cat /etc/shop.address") == "127.0.9.1\n"
    with tempfile.NamedTemporaryFile(dir="/tmp") as outside:
        assert said(host, f"test -e {outside.name} || echo unseen") == "unseen\n"


def test_files_stay_and_processes_do_not(host: HostView) -> None:
    host.start()
    said(host, "setsid sleep 31536001 </dev/null >/dev/null 2>&1 & echo kept >/var/lib/file")
    assert "31536001" in said(host, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    host.stop()
    assert host.process_id() is None
    assert not [one for one in psutil.process_iter(["cmdline"]) if "31536001" in (one.info["cmdline"] or [])]
    host.start()
    assert said(host, "cat /var/lib/file") == "kept\n"


def test_started_twice_at_once_it_is_one(host: HostView) -> None:
    with ThreadPoolExecutor(4) as several:
        for started in [several.submit(host.start) for _ in range(4)]:
            started.result()
    assert host.process_id() is not None

    def starters() -> int:
        there = [one for one in psutil.process_iter(["name", "cwd"]) if one.info["cwd"] == str(host.directory)]
        return [one.info["name"] for one in there].count("unshare")

    # Who came too late has said so, and is gone a moment later.
    wait_until("the others are gone", lambda: starters() <= 1)
    assert starters() == 1


def test_programs_are_asked_to_end_before_they_are_killed(host: HostView) -> None:
    host.start()
    tidy = "trap 'echo tidied >/opt/file; exit 0' TERM; sleep 31536003 & wait"
    said(host, f"setsid sh -c {shlex.quote(tidy)} </dev/null >/dev/null 2>&1 & sleep 0.2")
    said(host, "setsid sh -c 'trap : TERM; while :; do sleep 0.1; done' </dev/null >/dev/null 2>&1 & sleep 0.2")
    host.shut_down(1.0)
    assert host.process_id() is None
    assert host.written("/opt/file").read_text() == "tidied\n"


def test_what_is_hidden_is_empty_and_the_host_runs_its_own_command(tmp_path: Path, host: HostView) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as secret:
        (Path(secret) / "key").write_text("secret\n")
        boot = ("sh", "-c", f"ls {secret} >/opt/seen; env >>/opt/seen; exec sleep 31536004")
        view = HostView(directory=tmp_path / "web-3", name="web-3", hidden=(Path(secret),), boot=boot)
        view.start()
        try:
            seen = view.written("/opt/seen")
            wait_until("it has looked", lambda: seen.exists() and "PWD" in seen.read_text())
            # Neither the key nor anything that we were started with.
            assert {line.partition("=")[0] for line in seen.read_text().splitlines()} <= {"PWD", "OLDPWD", "SHLVL", "_"}
        finally:
            view.remove()


def test_a_daemon_that_ended_is_not_there_any_more(host: HostView) -> None:
    host.start()
    script = "sh -c 'sleep 31536002 & echo $!' >/pid; read -r pid </pid; kill $pid"
    gone = "for try in 1 2 3 4 5 6 7 8 9; do kill -0 $pid 2>/dev/null || { echo gone; break; }; sleep 0.1; done"
    assert said(host, f"{script}; {gone}") == "gone\n"


def test_shared_directories_are_seen_for_reading_only(tmp_path: Path, host: HostView) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "file").write_text("outside\n")
    view = HostView(directory=host.directory, name="web-1", shared=(shared,))
    view.start()
    assert said(view, f"cat {shared}/file") == "outside\n"
    assert said(view, f"touch {shared}/mine 2>/dev/null || echo refused") == "refused\n"


def test_a_host_survives_whoever_started_it_and_is_found_again(host: HostView) -> None:
    host.start()
    again = HostView(directory=host.directory, name="web-1")
    assert again.process_id() == host.process_id()
    again.remove()
    assert host.process_id() is None
    assert not host.directory.exists()


def test_a_host_that_is_not_running_runs_nothing(host: HostView) -> None:
    with pytest.raises(HostViewError, match="web-1 is not running"):
        host.command(["true"])


def test_a_place_that_cannot_be_written_is_told() -> None:
    reason = why_not(Path("/proc/longshore"))
    assert reason is not None
    assert "/proc/longshore" in reason
