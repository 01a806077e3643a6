"""Install: what is planned for a host as it is, and what comes of carrying it out (agent.md 4)."""

# ruff: noqa: E501 - a case is read as one line of its table
from __future__ import annotations

import ctypes
import errno
import json
import os
import stat
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longshore.agent import install_plan, installer, switch
from longshore.agent.errors import InstallError
from longshore.agent.layout import DeploymentPaths
from longshore.appspec import ServerAppSpec, parse_server

#: A tree as text: path → content; "-> x" is a link, None a directory.
Tree = dict[str, str | None]


def grow(root: Path, tree: Tree) -> None:
    for name, content in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir(exist_ok=True)
        elif content.startswith("-> "):
            path.symlink_to(content[3:])
        else:
            path.write_text(content)


def seen(root: Path) -> Tree:
    found: Tree = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        found[name] = f"-> {path.readlink()}" if path.is_symlink() else None if path.is_dir() else path.read_text()
    return found


class Host:
    """A host with a group's deployments, under a temporary directory."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        self.disk = directory / "disk"
        self.disk.mkdir()
        self.number = 0

    def appspec(self, files: list[tuple[str, str]], **rest: Any) -> ServerAppSpec:
        listed = [{"source": source, "destination": f"{self.disk}/{destination}"} for source, destination in files]
        for entry in rest.get("permissions", ()):
            entry["object"] = f"{self.disk}/{entry['object']}"
        text = json.dumps({"os": "linux", "files": listed} | rest).replace("{", '{"version": 0.0, ', 1)
        return parse_server(text.encode())

    def paths(self, group: str = "g") -> DeploymentPaths:
        return DeploymentPaths(root=self.root, group=group, deployment=f"d-{self.number}")

    def install(
        self, bundle: Tree, files: list[tuple[str, str]], *, group: str = "g", behavior: str = "DISALLOW", **rest: Any
    ) -> None:
        self.number += 1
        paths = self.paths(group)
        paths.archive.mkdir(parents=True)
        grow(paths.archive, bundle)
        installer.install(self.appspec(files, **rest), paths, behavior)

    def cleanup(self) -> list[str]:
        lines = (self.root / "deployment-instructions/g-cleanup").read_text().splitlines()
        return [str(Path(line).relative_to(self.disk)) for line in lines]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


ALL = [("/", "t")]
#: name: bundle, files, on the host before → the host after.
INSTALLS: list[tuple[str, Tree, list[tuple[str, str]], Tree, Tree]] = [
    ("the whole bundle, hidden files too", {"a": "1", ".h": "2", "d/x": "3"}, ALL, {}, {"t": None, "t/a": "1", "t/.h": "2", "t/d": None, "t/d/x": "3"}),
    ("./ is the whole bundle", {"a": "1"}, [("./", "t")], {}, {"t": None, "t/a": "1"}),
    ("a leading slash is harmless", {"app/a": "1"}, [("/app", "t")], {}, {"t": None, "t/a": "1"}),
    ("a trailing slash is harmless", {"app/a": "1"}, [("app/", "t/")], {}, {"t": None, "t/a": "1"}),
    ("a file goes into its destination", {"x.txt": "1"}, [("x.txt", "t/new.txt")], {}, {"t": None, "t/new.txt": None, "t/new.txt/x.txt": "1"}),
    ("missing ancestors are made", {"a": "1"}, [("a", "p/q/r")], {}, {"p": None, "p/q": None, "p/q/r": None, "p/q/r/a": "1"}),
    ("existing directories are no conflict", {"d/a": "1"}, ALL, {"t/d/other": "o"}, {"t": None, "t/d": None, "t/d/other": "o", "t/d/a": "1"}),
    ("a link to a file stays one", {"f": "1", "l": "-> f"}, ALL, {}, {"t": None, "t/f": "1", "t/l": "-> f"}),
    ("a link to a directory stays one", {"d/f": "1", "l": "-> d"}, ALL, {}, {"t": None, "t/d": None, "t/d/f": "1", "t/l": "-> d"}),
    ("an empty directory is made", {"e": None}, ALL, {}, {"t": None, "t/e": None}),
    ("two mappings into one directory", {"a/x": "1", "b/y": "2"}, [("a", "t"), ("b", "t")], {}, {"t": None, "t/x": "1", "t/y": "2"}),
    ("a directory behind a link on the host", {"a": "1"}, ALL, {"real": None, "t": "-> real"}, {"real": None, "real/a": "1", "t": "-> real"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("bundle", "files", "before", "after"), [pytest.param(*case[1:], id=case[0]) for case in INSTALLS]
)
def test_install(host: Host, bundle: Tree, files: list[tuple[str, str]], before: Tree, after: Tree) -> None:
    grow(host.disk, before)
    host.install(bundle, files)
    assert seen(host.disk) == dict(sorted(after.items()))


#: name: bundle, files, before, behavior → what the message says.
REFUSALS: list[tuple[str, Tree, list[tuple[str, str]], Tree, str, str]] = [
    ("a foreign file", {"a": "1"}, ALL, {"t/a": "x"}, "DISALLOW", "t/a already exists"),
    ("a foreign link that leads nowhere", {"a": "1"}, ALL, {"t/a": "-> gone"}, "DISALLOW", "t/a already exists"),
    ("an unknown behavior", {"a": "1"}, ALL, {"t/a": "x"}, "REPLACE", "'REPLACE' is not one of"),
    ("a directory in a file's place", {"a": "1"}, ALL, {"t/a/b": "x"}, "OVERWRITE", "t/a is a directory"),
    ("a file in a directory's place", {"a/b": "1"}, ALL, {"t/a": "x"}, "OVERWRITE", "must be a directory, but a file"),
    ("a dead link in a directory's place", {"a": "1"}, ALL, {"t": "-> gone"}, "OVERWRITE", "symbolic link that leads nowhere"),
    ("a missing source", {"a": "1"}, [("b", "t")], {}, "DISALLOW", "source 'b' is not in the revision"),
    ("a source outside", {"a": "1"}, [("../x", "t")], {}, "DISALLOW", "leads outside the revision"),
    ("one destination twice", {"a/x": "1", "b/x": "2"}, [("a", "t"), ("b", "t")], {}, "DISALLOW", "copies two files to"),
    ("file and directory at once", {"a/x": "1", "b/x/y": "2"}, [("a", "t"), ("b", "t")], {}, "DISALLOW", "both a file and a directory"),
    ("a newline in a name", {"a\nb": "1"}, ALL, {}, "DISALLOW", "newline"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("bundle", "files", "before", "behavior", "said"), [pytest.param(*case[1:], id=case[0]) for case in REFUSALS]
)
def test_a_refusal_leaves_the_last_release_untouched(
    host: Host, bundle: Tree, files: list[tuple[str, str]], before: Tree, behavior: str, said: str
) -> None:
    host.install({"old": "release"}, [("/", "live")])
    grow(host.disk, before)
    untouched = seen(host.disk)
    with pytest.raises(InstallError) as refused:
        host.install(bundle, files, behavior=behavior)
    assert said in str(refused.value)
    assert seen(host.disk) == untouched
    assert host.cleanup() == ["live", "live/old"]


def test_the_last_release_is_replaced_but_foreign_files_stay(host: Host) -> None:
    host.install({"a": "1", "gone": "1", "d/x": "1", "e/y": "1"}, ALL)
    grow(host.disk, {"t/d/foreign": "f"})
    host.install({"a": "2", "new": "2"}, ALL)
    assert seen(host.disk) == {"t": None, "t/a": "2", "t/d": None, "t/d/foreign": "f", "t/new": "2"}
    assert host.cleanup() == ["t/a", "t/new"], "a directory that foreign files keep is no longer ours"


def test_kinds_may_change_between_releases(host: Host) -> None:
    host.install({"a": "file", "d/x": "1", "l": "-> d"}, ALL)
    host.install({"a/x": "dir", "d": "file", "l/x": "2"}, ALL)
    assert seen(host.disk) == {"t": None, "t/a": None, "t/a/x": "dir", "t/d": "file", "t/l": None, "t/l/x": "2"}


def test_another_groups_files_are_a_conflict(host: Host) -> None:
    host.install({"a": "1"}, ALL)
    with pytest.raises(InstallError, match="already exists"):
        host.install({"a": "2"}, ALL, group="other")


def test_overwrite_replaces_the_link_and_not_what_it_leads_to(host: Host) -> None:
    grow(host.disk, {"precious": "keep", "t/a": f"-> {host.disk}/precious", "t/b": f"-> {host.disk}/absent"})
    host.install({"a": "new", "b": "new"}, ALL, behavior="OVERWRITE")
    assert seen(host.disk) == {"precious": "keep", "t": None, "t/a": "new", "t/b": "new"}


def test_the_appspecs_own_behavior_wins(host: Host) -> None:
    grow(host.disk, {"t/a": "x"})
    host.install({"a": "1"}, ALL, behavior="DISALLOW", file_exists_behavior="OVERWRITE")
    assert (host.disk / "t/a").read_text() == "1"


def test_a_retained_file_keeps_content_and_mode_and_stays_foreign(host: Host) -> None:
    grow(host.disk, {"t/a": "mine"})
    (host.disk / "t/a").chmod(0o640)
    host.install({"a": "1", "b": "2"}, ALL, behavior="RETAIN", permissions=[{"object": "t", "mode": "600"}])
    assert (host.disk / "t/a").read_text() == "mine"
    assert mode(host.disk / "t/a") == 0o640
    assert mode(host.disk / "t/b") == 0o600
    assert host.cleanup() == ["t/b"]


def test_modes_and_times_come_along_directory_modes_do_not(host: Host) -> None:
    host.number += 1
    archive = host.paths().archive
    grow(archive, {"d/run": "x"})
    (archive / "d/run").chmod(0o4711)
    (archive / "d").chmod(0o700)
    os.utime(archive / "d/run", (1_000_000, 1_000_000))
    installer.install(host.appspec(ALL), host.paths(), "DISALLOW")
    assert mode(host.disk / "t/d/run") == 0o4711
    assert (host.disk / "t/d/run").stat().st_mtime == 1_000_000
    assert mode(host.disk / "t/d") != 0o700


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


TREE: Tree = {"a.txt": "", "b.txt": "", ".txt": "", "s/c.txt": ""}
#: name: entry → the paths that get mode 700 (files are 644, directories 755 before).
PERMISSIONS: list[tuple[str, dict[str, Any], set[str]]] = [
    ("everything below", {"object": "t"}, {"a.txt", "b.txt", ".txt", "s", "s/c.txt"}),
    ("a glob matches children only", {"object": "t", "pattern": "*.txt", "except": ["b*"]}, {"a.txt", ".txt"}),
    ("except does too", {"object": "t", "except": ["s", "b.txt", "s/c.txt"]}, {"a.txt", ".txt", "s/c.txt"}),
    ("only files", {"object": "t", "type": ["file"]}, {"a.txt", "b.txt", ".txt", "s/c.txt"}),
    ("only directories", {"object": "t", "type": "directory"}, {"s"}),
    ("an object below", {"object": "t/s"}, {"s/c.txt"}),
    ("one file", {"object": "t/a.txt"}, {"a.txt"}),
    ("one file, but directories wanted", {"object": "t/a.txt", "type": ["directory"]}, set()),
    ("nothing of ours", {"object": "elsewhere"}, set()),
    ("a redundant path", {"object": "t/./s/../s/"}, {"s/c.txt"}),
]


@pytest.mark.parametrize(("entry", "changed"), [pytest.param(*case[1:], id=case[0]) for case in PERMISSIONS])
def test_permissions_apply_to(host: Host, entry: dict[str, Any], changed: set[str]) -> None:
    host.install(TREE, ALL, permissions=[entry | {"mode": "700"}])
    found = {str(path.relative_to(host.disk / "t")) for path in (host.disk / "t").rglob("*") if mode(path) == 0o700}
    assert found == changed


def test_permissions_never_touch_what_was_there_before(host: Host) -> None:
    grow(host.disk, {"t/old": "x", "t/dir": None})
    before = mode(host.disk / "t/old"), mode(host.disk / "t/dir"), mode(host.disk / "t")
    host.install({"new": "1", "dir/f": "1"}, ALL, permissions=[{"object": "t", "mode": 700}])
    assert (mode(host.disk / "t/old"), mode(host.disk / "t/dir"), mode(host.disk / "t")) == before
    assert mode(host.disk / "t/new") == 0o700


@pytest.mark.parametrize(
    ("permissions", "said"),
    [
        ([{"object": "t/a.txt", "pattern": "*.txt"}], "is a file, so pattern must be"),
        ([{"object": "t", "mode": 644}, {"object": "t/s", "mode": 600}], "both apply to"),
        ([{"object": "t", "owner": "no-such-user"}], "no user 'no-such-user'"),
        ([{"object": "t", "group": "no-such-group"}], "no group 'no-such-group'"),
        ([{"object": "t", "acls": ["u:no-such-user:r"]}], "acls name 'no-such-user', and there is no such user"),
        ([{"object": "t", "acls": ["g:no-such-group:r"]}], "there is no such group"),
        ([{"object": "t", "acls": ["u:root:r", "u:0:w"]}], "acls say twice what user:0:-w- is about"),
        ([{"object": "t", "acls": ["d:u:root:r"]}], "says what will be made in a directory"),
        ([{"object": "t", "context": {"type": "t"}}], "SELinux is not enabled on this host"),
    ],
)
def test_permissions_that_cannot_be_are_refused_before_anything_is_changed(
    host: Host, permissions: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(InstallError) as refused:
        host.install(TREE, ALL, permissions=permissions)
    assert said in str(refused.value)
    assert seen(host.disk) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_an_owner_does_not_take_the_setuid_bit_away(host: Host) -> None:
    host.install({"a": "1"}, ALL, permissions=[{"object": "t/a", "mode": "4755", "owner": "nobody", "group": "root"}])
    found = (host.disk / "t/a").stat()
    assert (found.st_uid != 0, found.st_gid, stat.S_IMODE(found.st_mode)) == (True, 0, 0o4755)


def test_a_link_gets_no_mode_of_its_target(host: Host) -> None:
    grow(host.disk, {"precious": "x"})
    (host.disk / "precious").chmod(0o600)
    host.install({"l": "-> ../precious"}, ALL, permissions=[{"object": "t", "mode": "777"}])
    assert mode(host.disk / "precious") == 0o600


class Killed(BaseException):
    """Stands for kill -9: no handler of the code under test may catch it."""


CALLS = ["open", "write", "mkdir", "rename", "unlink", "rmdir", "chmod", "sendfile", "symlink", "replace", "link"]


def count_calls(monkeypatch: pytest.MonkeyPatch, at: int, make: Callable[[], BaseException]) -> Callable[[], int]:
    """Let the installer's system calls raise at the given one; returns how many were made."""
    made = 0

    def wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal made
            made += 1
            if made == at:
                raise make()
            return original(*args, **kwargs)

        return call

    for name in CALLS:
        monkeypatch.setattr(os, name, wrapped(getattr(os, name)))
    return lambda: made


FIRST: Tree = {"keep": "1", "gone": "1", "d/x": "1", "kind": "1"}
SECOND: Tree = {"keep": "2", "new/deep/f": "2", "kind/f": "2", "l": "-> keep"}
AFTER_FIRST: Tree = {"t": None, "t/d": None, "t/d/x": "1", "t/gone": "1", "t/keep": "1", "t/kind": "1"}
AFTER_SECOND: Tree = {"t": None, "t/keep": "2", "t/kind": None, "t/kind/f": "2", "t/l": "-> keep", "t/new": None,
                      "t/new/deep": None, "t/new/deep/f": "2"}  # fmt: skip


def _second(host: Host) -> None:
    installer.install(host.appspec(ALL, permissions=[{"object": "t/keep", "mode": 600}]), host.paths(), "DISALLOW")


def full_disk() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def broken_disk() -> OSError:
    return OSError(errno.EIO, os.strerror(errno.EIO))


def forbidden() -> OSError:
    return PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def second_failing(
    directory: Path, monkeypatch: pytest.MonkeyPatch, at: int, failure: type[Exception] | Any
) -> tuple[Host, bool]:
    """A host whose second Install fails at a system call; whether it came that far."""
    directory.mkdir()
    host = Host(directory)
    host.install(FIRST, ALL)
    host.number += 1
    grow(host.paths().archive, SECOND)
    with monkeypatch.context() as patch:
        made = count_calls(patch, at, failure)
        with suppress(Killed, InstallError, OSError):
            _second(host)
        return host, made() >= at


def assert_one_release_or_the_other(host: Host, when: str) -> None:
    found = seen(host.disk)
    assert found in (AFTER_FIRST, AFTER_SECOND), when
    assert sorted(host.cleanup()) == list(found), when
    pointed = (host.root / "deployment-instructions/g_last_successful_install").read_text()
    assert Path(pointed).name == ("d-1" if found == AFTER_FIRST else "d-2"), when


@pytest.mark.parametrize(
    "failure", [Killed, full_disk, broken_disk, forbidden], ids=["killed", "disk full", "disk broken", "forbidden"]
)
def test_after_a_failure_at_any_step_the_host_has_one_release_or_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Any
) -> None:
    ends = set()
    at, more = 0, True
    while more:
        at += 1
        host, more = second_failing(tmp_path / f"{at}", monkeypatch, at, failure)
        for name, content in seen(host.disk).items():
            is_whole = content is None or content.startswith("-> ") or content in ("1", "2")
            assert is_whole or ".longshore-new" in name, f"half-written after call {at}: {name}"
        installer.settle(host.paths())
        assert_one_release_or_the_other(host, f"after a failure at call {at}")
        ends.add(len(host.cleanup()))
        # The next deployment is another one, as it would be.
        host.number += 1
        grow(host.paths().archive, SECOND)
        _second(host)
        assert seen(host.disk) == AFTER_SECOND, f"after a failure at call {at}"
    assert at > 40
    assert len(ends) == 2, "some failures restore, some complete"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.integers(1, 80), second=st.integers(1, 40))
def test_a_kill_while_the_last_kill_is_settled_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, first: int, second: int
) -> None:
    host, _ = second_failing(tmp_path_factory.mktemp("host") / "h", monkeypatch, first, Killed)
    with monkeypatch.context() as patch:
        count_calls(patch, second, Killed)
        with suppress(Killed):
            installer.settle(host.paths())
    installer.settle(host.paths())
    assert_one_release_or_the_other(host, f"killed at call {first}, and settling it at call {second}")


def test_before_the_switch_a_failure_leaves_the_last_release_as_it_was(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.install({"a": "1"}, ALL)

    def full(*_: Any) -> int:
        raise full_disk()

    monkeypatch.setattr(os, "sendfile", full)
    with pytest.raises(InstallError, match=r"cannot copy to .*/t/b: No space left on device"):
        host.install({"b": "2"}, ALL)
    assert seen(host.disk) == {"t": None, "t/a": "1"}
    assert host.cleanup() == ["t", "t/a"], "the official agent could clean up after us"


def test_a_switch_of_long_ago_is_not_finished_over_what_another_agent_installed(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.install(FIRST, ALL)
    host.number += 1
    grow(host.paths().archive, SECOND)
    with monkeypatch.context() as patch:
        patch.setattr(switch, "carry_out", lambda *_, **__: None)
        _second(host)
    for path in reversed(host.cleanup()):
        gone = host.disk / path
        # As the official agent does it: what is missing or not empty is passed over.
        with suppress(OSError):
            gone.rmdir() if gone.is_dir() else gone.unlink()
    grow(host.disk, {"t/theirs": "official"})
    host.paths().cleanup.write_text(f"{host.disk}/t\n{host.disk}/t/theirs\n")
    installer.settle(host.paths())
    assert seen(host.disk) == {"t": None, "t/theirs": "official"}


def test_a_directory_that_both_releases_have_is_as_if_made_anew(host: Host) -> None:
    host.install({"d/a": "1"}, ALL, permissions=[{"object": "t", "type": ["directory"], "mode": "700"}])
    assert mode(host.disk / "t/d") == 0o700
    host.install({"d/a": "2"}, ALL)
    fresh = host.disk / "fresh"
    fresh.mkdir()
    assert mode(host.disk / "t/d") == mode(fresh)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_directory_that_became_a_mount_point_stays_one(host: Host, tmp_path: Path) -> None:
    """What goes into it cannot be renamed from outside, so it is staged inside."""
    host.install({"d/a": "1"}, ALL)
    volume = tmp_path / "volume"
    grow(volume, {"data": "kept"})
    child = os.fork()
    if child == 0:
        status = 1
        with suppress(BaseException):
            assert ctypes.CDLL(None).unshare(0x20000) == 0
            subprocess.run(["mount", "--make-rprivate", "/"], check=True)
            subprocess.run(["mount", "--bind", volume, host.disk / "t/d"], check=True)
            host.install({"d/a": "2", "d/e/b": "2"}, ALL)
            status = 0
        os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert seen(volume) == {"a": "2", "data": "kept", "e": None, "e/b": "2"}


def test_a_cleanup_file_of_the_official_agent_is_understood(host: Host) -> None:
    grow(host.disk, {"t/a": "1", "t/d/b": "1", "t/half": "foreign"})
    instructions = host.root / "deployment-instructions"
    instructions.mkdir(parents=True)
    lines = [
        f"{host.disk}/t/d",
        f"{host.disk}/t/a",
        f"{host.disk}/t/d/b",
        f"{host.disk}/t/missing",
        f"semanage\0{host.disk}/t/a",
    ]
    (instructions / "g-cleanup").write_text("\n".join(lines) + f"\n{host.disk}/t/ha")
    host.install({"a": "2"}, ALL)
    assert seen(host.disk) == {"t": None, "t/a": "2", "t/half": "foreign"}


def test_planning_writes_nothing(host: Host) -> None:
    host.install({"a": "1"}, ALL)
    host.number += 1
    grow(host.paths().archive, {"a": "2", "d/b": "2"})
    before = seen(host.disk)
    made = install_plan.plan(
        host.appspec(ALL), host.paths().archive, installer.read_cleanup(host.paths().cleanup), "DISALLOW"
    )
    assert seen(host.disk) == before
    assert [Path(path).name for path in made.removals] == ["a", "t"]
    assert [type(step).__name__ for step in made.instructions] == ["Mkdir", "Copy", "Mkdir", "Copy"]
