"""Ten thousand spoilt bundles, from the archive to the Install: each is refused with a sentence, or installed.

They are carried out by a child process whose root directory is an empty one, for a spoilt AppSpec may name any
destination. What it may leave there is what the bundle's AppSpec names, below the canaries that stand around it.
"""

from __future__ import annotations

import codecs
import ctypes  # noqa: F401 - loaded now, for the child has no library to load it from
import grp
import gzip
import importlib
import io
import json
import os
import pwd
import random
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.appspec.mutation import mutations

from longshore.agent import archive, installer
from longshore.agent.archive import Limits
from longshore.agent.errors import CommandError
from longshore.agent.layout import DeploymentPaths
from longshore.agent.permissions import normal
from longshore.agent.removing import remove_tree
from longshore.appspec import AppSpecError, ServerAppSpec, parse_server

HERE = Path(__file__).parents[3]
COUNT = 10_000
SEED = 20261126
#: Seconds that one bundle may take, on a machine that does something else besides.
PATIENCE = 20
LIMITS = Limits(size=4 * 1024**2, entries=200)
APPSPEC = b"""version: 0.0
os: linux
files:
  - source: app
    destination: /srv/app
  - source: page.html
    destination: /srv/www
file_exists_behavior: OVERWRITE
permissions:
  - object: /srv/app
    pattern: "*"
    except: [b]
    mode: 640
    owner: root
    acls: ["u:daemon:rx", "m::rwx"]
  - object: /srv/www
    type: [file]
    mode: "0604"
hooks:
  AfterInstall:
    - location: run.sh
      timeout: 30
      runas: daemon
"""
NAMES = (
    *("app/a", "app/b", "app/d/c", "page.html", "run.sh", "top/app/a", "./x", "a//b", "app/", "app", ".", "", " ", "é"),
    *(
        "../x",
        "/srv/canary",
        "app/../../x",
        "..",
        "a\\..\\..\\x",
        "C:\\x",
        "x" * 300,
        "d/" * 60 + "x",
        "a\0b",
        "\udcff",
    ),
    *("appspec.yml", "appspec.yaml", "app/.a.longshore-new", "app/new\nline"),
)
TARGETS = ("a", "../app/a", "..", "../..", "/srv/canary", "/", ".", "", "app", "l", "d/../../..", "x" * 5000)
KINDS = (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, b"9")


def bundles() -> Iterator[tuple[str, bytes]]:
    """Kind and content of each."""
    chance = random.Random(SEED)
    appspecs = mutations([APPSPEC], count=COUNT, seed=SEED)
    for appspec in appspecs:
        # A third are spoilt in the AppSpec, a third in the entries, a third in the bytes.
        where = chance.randrange(3)
        members: list[tuple[str, dict[str, Any]]] = [
            ("appspec.yml", {"content": appspec if where == 0 else APPSPEC}),
            ("app/a", {"content": b"a" * 500}),
            ("app/b", {"content": b"b", "mode": 0o755}),
            ("app/l", {"kind": tarfile.SYMTYPE, "target": "a"}),
            ("page.html", {"content": b"hello"}),
            ("run.sh", {"content": b"#!/bin/sh\n", "mode": 0o755}),
        ]
        if where == 1:
            for _ in range(chance.randint(1, 4)):
                odd = {
                    "kind": chance.choice(KINDS),
                    "target": chance.choice(TARGETS),
                    "mode": chance.choice((0, 0o644, 0o777, 0o4755, 0o1777, 0o7777)),
                    "content": bytes(chance.randrange(40)),
                }
                members.insert(chance.randrange(len(members) + 1), (chance.choice(NAMES), odd))
        kind = chance.choice(("zip", "tar", "tgz"))
        content = _zip(members) if kind == "zip" else _tar(members)
        if where == 2:
            content = _spoilt(content, chance)
        yield kind, content if kind != "tgz" else _gzip(content, chance if where == 2 else None)


def _tar(members: list[tuple[str, dict[str, Any]]]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as writer:
        for name, given in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = given.get("kind", tarfile.REGTYPE), given.get("target", "")
            entry.mode = given.get("mode", 0o644)
            content = given.get("content", b"") if entry.type == tarfile.REGTYPE else b""
            entry.size = len(content)
            writer.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def _zip(members: list[tuple[str, dict[str, Any]]]) -> bytes:
    made = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as writer:
        for name, given in members:
            entry = zipfile.ZipInfo("x")
            entry.filename = name.encode("utf-8", "replace").decode()
            kind = {tarfile.SYMTYPE: stat.S_IFLNK, tarfile.DIRTYPE: stat.S_IFDIR, tarfile.CHRTYPE: stat.S_IFCHR}.get(
                given.get("kind", b""), stat.S_IFREG
            )
            entry.external_attr = (kind | given.get("mode", 0o644)) << 16
            writer.writestr(entry, given["target"] if kind == stat.S_IFLNK else given.get("content", b""))
    return made.getvalue()


def _gzip(content: bytes, chance: random.Random | None) -> bytes:
    packed = gzip.compress(content, compresslevel=1, mtime=0)
    return _spoilt(packed, chance) if chance is not None and chance.random() < 0.5 else packed


def _spoilt(content: bytes, chance: random.Random) -> bytes:
    spoilt = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(spoilt) or 1)
        match chance.randrange(5):
            case 0:
                del spoilt[place:]
            case 1:
                spoilt[place:place] = spoilt[: chance.randrange(600)]
            case 2:
                # A header's number, or a record's.
                spoilt[place : place + 4] = chance.choice((b"7777", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\x80\0\0\xff"))
            case _:
                spoilt[place : place + 1] = bytes([chance.randrange(256)])
        if not spoilt:
            return b""
    return bytes(spoilt)


class Sandbox:
    """The child's side: one bundle after the other, with `/` an empty directory."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._canaries = {f"{place}/canary": f"of {place}" for place in ("", "/srv", "/etc")}
        # Says how much memory this process has, to whoever wants to bound it.
        self._canaries["/proc/self/statm"] = "0 0 0 0 0 0 0"

    def run(self) -> None:
        for number, (kind, content) in enumerate(bundles()):
            self._clean()
            signal.alarm(PATIENCE)
            outcome, appspec = self._carry_out(f"d-{number}", kind, content)
            signal.alarm(0)
            self.counts[outcome] += 1
            self._check(appspec, outcome)

    def _carry_out(self, deployment: str, kind: str, content: bytes) -> tuple[str, ServerAppSpec | None]:
        paths = DeploymentPaths(root=Path("/agent"), group="g", deployment=deployment)
        paths.directory.mkdir(parents=True)
        paths.bundle.write_bytes(content)
        appspec = None
        try:
            archive.unpack(paths.bundle, kind, paths.archive_temp, LIMITS)
            archive.strip_wrapper(paths.archive_temp).rename(paths.archive)
            appspec = parse_server(installer.find_appspec(paths.archive, None).read_bytes())
            installer.install(appspec, paths, "DISALLOW")
        except (CommandError, AppSpecError) as refused:
            said = str(refused)
            assert len(said) > 20, said
            assert "Traceback" not in said
            return type(refused).__name__, appspec
        return "installed", appspec

    def _clean(self) -> None:
        for path in Path("/").iterdir():
            remove_tree(path)
        for canary, text in self._canaries.items():
            Path(canary).parent.mkdir(parents=True, exist_ok=True)
            Path(canary).write_text(text)

    def _check(self, appspec: ServerAppSpec | None, outcome: str) -> None:
        for canary, text in self._canaries.items():
            assert Path(canary).read_text() == text, canary
        named = [normal(mapping.destination) for mapping in appspec.files] if appspec is not None else []
        allowed = (*self._canaries, "/agent", "/srv", "/etc", "/proc", "/proc/self")
        for folder, directories, files in os.walk("/"):
            if folder.startswith("/agent"):
                continue
            for name in (*directories, *files):
                path = normal(f"{folder}/{name}")
                is_asked = any(
                    f"{path}/".startswith(f"{place.rstrip('/')}/") or f"{place}/".startswith(f"{path}/")
                    for place in named
                )
                assert path in allowed or (is_asked and outcome == "installed"), f"{path} after {outcome}"
                assert ".longshore-new" not in path or "app/.a.longshore-new" in path or name == ".a.longshore-new", (
                    path
                )


def _child(root: Path) -> dict[str, Any]:
    # Looked up while there is a host to look at.
    users, groups = {name: pwd.getpwnam(name) for name in ("root", "daemon")}, {"daemon": grp.getgrnam("daemon")}
    pwd.getpwnam, grp.getgrnam = users.__getitem__, groups.__getitem__  # type: ignore[assignment]
    parse_server(APPSPEC)
    for reader in ("from_tar", "any_tar", "from_zip"):
        importlib.import_module(f"longshore.agent.archive.{reader}")
    for encoding in ("ascii", "latin-1", "cp437", "utf-8"):
        codecs.lookup(encoding)
    with Path("/proc/self/status").open() as status:

        def peak() -> int:
            status.seek(0)
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

        os.chroot(root)
        os.chdir("/")
        assert list(Path("/").iterdir()) == [], "from here on everything below / is removed"
        before = peak()
        sandbox = Sandbox()
        sandbox.run()
        return {**sandbox.counts, "memory": peak() - before}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change its root directory")
def test_ten_thousand_spoilt_bundles_are_refused_or_installed_and_touch_nothing_else() -> None:
    room = "/dev/shm" if Path("/dev/shm").is_dir() else None
    root = Path(tempfile.mkdtemp(prefix="longshore-fuzz-", dir=room))
    try:
        command = [sys.executable, "-m", "tests.unit.agent.test_fuzz_bundles", str(root)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=HERE, timeout=250, check=False)
    finally:
        shutil.rmtree(root)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr}"
    said = json.loads(done.stdout)
    # KiB beside what the process had before: no bundle is held whole, nor its entries.
    assert said.pop("memory") < 48 * 1024
    assert sum(said.values()) == COUNT
    # Else the spoiling would only ever reach the first check.
    assert all(said.get(outcome, 0) > COUNT // 50 for outcome in ("installed", "ArchiveError", "AppSpecError")), said
    assert said["InstallError"] > 50, said


if __name__ == "__main__":
    json.dump(_child(Path(sys.argv[1])), sys.stdout)
