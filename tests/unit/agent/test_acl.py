"""Access control lists on real files, and what SELinux is asked to do (agent.md 4.4.11, 4.4.13)."""

# ruff: noqa: E501 - a case is read as one line of its table
from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.contract.agent.acl_text import acl_of
from tests.unit.agent.test_installer import ALL, Host, grow, mode, seen

from longshore.agent import acl, installer, selinux, switch
from longshore.agent.errors import InstallError
from longshore.appspec import AclEntry, parse_server


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def entries(*said: str) -> tuple[AclEntry, ...]:
    listed = ", ".join(f"'{each}'" for each in said)
    text = f"version: 0.0\nos: linux\npermissions: [{{object: /x, acls: [{listed}]}}]\n"
    found = parse_server(text.encode()).permissions[0].acls
    assert found is not None
    return found


#: Mode before, entries → the list as getfacl tells it, and the default list.
LISTS: list[tuple[int, list[str], str, str]] = [
    (0o644, [], "u::rw- g::r-- o::r--", ""),
    (0o640, ["u:1:rwx"], "u::rw- u:1:rwx g::r-- m::r-- o::---", ""),
    (0o640, ["1:7"], "u::rw- u:1:rwx g::r-- m::r-- o::---", ""),
    (0o600, ["g:1:rw", "m::rwx"], "u::rw- g::--- g:1:rw- m::rwx o::---", ""),
    (0o644, ["m::r"], "u::rw- g::r-- m::r-- o::r--", ""),
    (0o755, ["u:9:5", "u:1:4", "g:3:1", "g:2:7"], "u::rwx u:1:r-- u:9:r-x g::r-x g:2:rwx g:3:--x m::r-x o::r-x", ""),
    (0o750, ["d:u:1:rwx"], "u::rwx g::r-x o::---", "u::rwx u:1:rwx g::r-x m::r-x o::---"),
    (0o750, ["default:group::7", "d:g:1:4"], "u::rwx g::r-x o::---", "u::rwx g::rwx g:1:r-- m::rwx o::---"),
    (0o750, ["d:u::6", "d:o::4", "d:m::1"], "u::rwx g::r-x o::---", "u::rw- g::r-x m::--x o::r--"),
    (0o750, ["u:1:7", "d:u:2:7"], "u::rwx u:1:rwx g::r-x m::r-x o::---", "u::rwx u:2:rwx g::r-x m::r-x o::---"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "said", "access", "default"), LISTS)
def test_a_list_is_what_setfacl_would_make_of_it(
    tmp_path: Path, before: int, said: list[str], access: str, default: str
) -> None:
    place = tmp_path / "place"
    place.mkdir() if default else place.touch()
    place.chmod(before)
    acl.replace(str(place), entries(*said))
    assert acl_of(place) == (access, default)
    assert stat.S_IMODE(place.stat().st_mode) & 0o707 == before & 0o707
    if shutil.which("setfacl"):
        # The tool itself, with the entries that the official agent adds for it.
        other = tmp_path / "other"
        other.mkdir() if default else other.touch()
        wanted = [*access.split(), *(f"d:{each}" for each in default.split())]
        subprocess.run(["setfacl", "--set", ",".join(wanted), other], check=True, timeout=30)
        assert acl_of(other) == acl_of(place)


def test_the_list_replaces_the_one_that_was_inherited(tmp_path: Path) -> None:
    acl.replace(str(tmp_path), entries("d:u:1:rwx"))
    (tmp_path / "d").mkdir()
    assert acl_of(tmp_path / "d")[1] == "u::rwx u:1:rwx g::--- m::--- o::---"
    acl.replace(str(tmp_path / "d"), entries("u:2:7"))
    assert acl_of(tmp_path / "d")[1] == ""


def test_acls_are_set_after_owner_and_mode(host: Host) -> None:
    host.install(
        {"a": "1", "d/b": "2"},
        ALL,
        permissions=[
            {"object": "t", "type": ["file"], "mode": "4750", "acls": ["u:daemon:rx", "g:daemon:w"]},
            {"object": "t", "type": ["directory"], "mode": "700", "owner": "root", "acls": ["u:daemon:rx", "d:u:daemon:rx", "m::rx"]},
        ],
    )  # fmt: skip
    assert acl_of(host.disk / "t/a") == ("u::rwx u:1:r-x g::r-x g:1:-w- m::r-x o::---", "")
    assert acl_of(host.disk / "t/d/b") == acl_of(host.disk / "t/a")
    assert acl_of(host.disk / "t/d") == ("u::rwx u:1:r-x g::--- m::r-x o::---", "u::rwx u:1:r-x g::--- m::--- o::---")
    assert mode(host.disk / "t/a") == 0o4750
    written = (host.root / "deployment-instructions/g-install.json").read_text()
    assert '{"type": "setfacl", "acl": ["user:daemon:r-x", "group:daemon:-w-"]' in written


def test_a_list_goes_with_its_release(host: Host) -> None:
    entry = {"object": "t", "type": ["directory"], "acls": ["d:u:daemon:rwx", "u:daemon:rwx"]}
    host.install({"d/a": "1"}, ALL, permissions=[entry])
    host.install({"d/a": "2"}, ALL)
    assert acl_of(host.disk / "t/d") == ("u::rwx g::r-x o::r-x", "")
    host.install({"d/a": "3"}, ALL, permissions=[dict(entry, object="t")])
    assert acl_of(host.disk / "t/d")[1] == "u::rwx u:1:rwx g::r-x m::r-x o::r-x"


def test_what_a_directory_of_the_host_hands_down_is_kept_in_every_release(host: Host) -> None:
    """The kernel gives it to what is made there; a directory that stands through a switch has it, too."""
    grow(host.disk, {"t": None})
    acl.replace(str(host.disk / "t"), entries("d:u:1:rwx", "d:m::rwx"))
    for release in "12":
        host.install({"d/a": release}, ALL)
        assert acl_of(host.disk / "t/d") == (
            "u::rwx u:1:rwx g::r-x m::rwx o::r-x",
            "u::rwx u:1:rwx g::r-x m::rwx o::r-x",
        )
        assert acl_of(host.disk / "t/d/a")[0] == "u::rw- u:1:rwx g::r-x m::r-- o::r--"
        assert (host.disk / "t/d/a").read_text() == release


def test_a_link_gets_no_list_of_its_target(host: Host) -> None:
    grow(host.disk, {"precious": "x"})
    before = acl_of(host.disk / "precious")
    host.install({"l": "-> ../precious"}, ALL, permissions=[{"object": "t", "acls": ["u:daemon:rwx"]}])
    assert acl_of(host.disk / "precious") == before


def test_a_file_system_without_lists_is_named_before_anything_changes(host: Host) -> None:
    host.install({"a": "1"}, ALL)
    # devpts has no lists, and it is there wherever a terminal is.
    with pytest.raises(OSError, match="not supported"):
        acl.replace("/dev/pts", entries("u:1:7"))


SEMANAGE = """#!{python}
# Keeps rules as semanage does: `export` prints them, `import` carries out lines of "fcontext -a|-m|-d".
import json, pathlib, shlex, sys
folder = pathlib.Path({folder!r})
kept = folder / "rules.json"
rules = json.loads(kept.read_text()) if kept.exists() else {{}}
if sys.argv[1:] == ["export"]:
    for path, words in rules.items():
        print("fcontext -a -f a", shlex.join(words), f"'{{path}}'")
    sys.exit()
if (folder / "broken").exists():
    sys.exit("libsemanage: no memory")
for line in sys.stdin:
    _, action, *words, path = shlex.split(line)
    if (path in rules) == (action == "-a"):
        sys.exit(f"File context for {{path}} " + ("already defined" if path in rules else "is not defined"))
    rules.pop(path, None)
    if action != "-d":
        rules[path] = words
kept.write_text(json.dumps(rules))
"""


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with SELinux, as far as one without can be: a stand-in for semanage, and labels that mean nothing."""
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "semanage").write_text(SEMANAGE.format(folder=str(folder), python=sys.executable))
    (folder / "semanage").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(selinux, "is_enabled", lambda: True)
    return folder


def labels(host: Host) -> dict[str, str]:
    found = {}
    for path in sorted(host.disk.rglob("*")):
        if selinux.ATTRIBUTE in os.listxattr(path):
            found[str(path.relative_to(host.disk))] = os.getxattr(path, selinux.ATTRIBUTE).decode()
    return found


def rules(policy: Path, host: Host) -> dict[str, str]:
    """The policy's rules: path on the host's disk → words."""
    found = json.loads((policy / "rules.json").read_text())
    return {path.removeprefix(str(host.disk)): " ".join(words) for path, words in found.items()}


def web() -> dict[str, Any]:
    return {"object": "t", "pattern": "*", "context": {"type": "web_t", "user": "system_u", "range": "s0:c1"}}


def test_a_context_is_a_label_and_a_rule_of_the_policy(host: Host, policy: Path) -> None:
    host.install({"a": "1", "d(1)/b": "2"}, ALL, permissions=[web()])
    assert labels(host) == dict.fromkeys(["t/a", "t/d(1)"], "system_u:object_r:web_t:s0:c1\0")
    words = "-t web_t -s system_u -r s0:c1"
    assert rules(policy, host) == {"/t/a": words, "/t/d\\(1\\)": words}
    assert f"semanage\0{host.disk}/t/a" in host.paths().cleanup.read_text().splitlines()

    # The next release has the file without a context, and the directory with another one.
    host.install({"a": "1", "d(1)/b": "2"}, ALL, permissions=[{"object": "t", "type": ["directory"], "context": {"type": "new_t"}}])  # fmt: skip
    assert labels(host) == {"t/d(1)": "system_u:object_r:new_t:s0\0"}
    assert rules(policy, host) == {"/t/d\\(1\\)": "-t new_t"}
    host.install({}, [])
    assert rules(policy, host) == {}


def test_a_policy_that_refuses_leaves_the_host_as_it_was(host: Host, policy: Path) -> None:
    host.install({"a": "1"}, ALL)
    before = seen(host.disk)
    (policy / "broken").touch()
    with pytest.raises(InstallError, match="semanage: it ended with 1: libsemanage: no memory"):
        host.install({"a": "2"}, ALL, permissions=[web()])
    assert seen(host.disk) == before
    assert host.cleanup() == ["t", "t/a"]


def test_without_semanage_the_sentence_says_what_to_install(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(selinux, "is_enabled", lambda: True)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InstallError, match="install policycoreutils-python-utils"):
        host.install({"a": "1"}, ALL, permissions=[web()])
    assert seen(host.disk) == {}


def test_rules_of_the_official_agent_go_with_its_release(host: Host, policy: Path) -> None:
    grow(host.disk, {"t/a": "theirs"})
    instructions = host.root / "deployment-instructions"
    instructions.mkdir(parents=True)
    (instructions / "g-cleanup").write_text(f"{host.disk}/t\n{host.disk}/t/a\nsemanage\0{host.disk}/t/a\n")
    (policy / "rules.json").write_text(json.dumps({f"{host.disk}/t/a": ["-t", "old_t"], "/srv/foreign": ["-t", "x"]}))
    host.install({"b": "ours"}, ALL)
    assert seen(host.disk) == {"t": None, "t/b": "ours"}
    assert rules(policy, host) == {"/srv/foreign": "-t x"}


def test_a_kill_before_the_switch_leaves_rules_that_the_next_install_takes_over(
    host: Host, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(switch, "write_down", killed)
        with pytest.raises(KeyboardInterrupt):
            host.install({"a": "1"}, ALL, permissions=[web()])
    installer.settle(host.paths())
    assert seen(host.disk) == {}
    host.install({"b": "1"}, ALL, permissions=[web()])
    assert list(rules(policy, host)) == ["/t/b"]
