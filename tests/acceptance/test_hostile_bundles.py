"""Bundles that are broken or made to harm: the deployment fails and says why, the host is as before, and goes on.

One host takes them all, one after the other, each followed by a good deployment.
"""

from __future__ import annotations

import io
import itertools
import os
import stat
import subprocess
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.world import ControlPlane, Host, Revision, Shop, wait_until

#: Bytes and entries a bundle may unpack to on this host.
MOST_BYTES = 1_000_000
MOST_ENTRIES = 1_000

Snapshot = dict[str, tuple[int, bytes]]


def snapshot(folder: Path) -> Snapshot:
    """Mode and content of everything below a folder."""
    return {str(path.relative_to(folder)): (path.lstat().st_mode, _content(path)) for path in sorted(folder.rglob("*"))}


def _content(path: Path) -> bytes:
    if path.is_symlink():
        return os.fsencode(path.readlink())
    return path.read_bytes() if path.is_file() else b""


class Ground:
    """A host with a good revision on it, and things beside it that no bundle may touch."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane = plane
        settings = {"archive_max_extraction_size": MOST_BYTES, "archive_max_entries": MOST_ENTRIES}
        self.host = Host(name=f"ground-{time.time_ns()}", folder=folder / "host", plane=plane, settings=settings)
        self.shop = Shop(plane, self.host.name)
        self.shop.join(self.host)
        self.host.start()
        #: Where good revisions go.
        self.destination = folder / "opt" / "shop"
        self.canary = folder / "canary"
        self.canary.mkdir()
        (self.canary / "secret").write_text("not yours")
        (self.canary / "secret").chmod(0o600)
        (self.canary / "script").write_text(f"#!/bin/sh\necho escaped > {self.canary}/escaped\n")
        (self.canary / "script").chmod(0o755)
        self._versions = itertools.count(1)
        self.install_good()
        self._agent = self.host.agent

    def good(self, **more: Any) -> Revision:
        """A revision that installs one file, with changes."""
        usual: dict[str, Any] = {
            "files": {"site/version": f"{next(self._versions)}"},
            "install": {"site": str(self.destination)},
        }
        return Revision(**(usual | more))

    def install_good(self) -> None:
        revision = self.good()
        _, ended = self.shop.run(revision)
        assert ended["status"] == "Succeeded", ended
        assert (self.destination / "version").read_text() == revision.files["site/version"]

    def world(self) -> tuple[Snapshot, Snapshot]:
        """All that a failed deployment leaves alone."""
        return snapshot(self.canary), snapshot(self.destination.parent)

    def refuses(
        self, revision: Revision | bytes | dict[str, Any], *words: str, bundle_type: str = "zip", **options: Any
    ) -> dict[str, Any]:
        """Deploy what must fail without a trace, and say why in these words; returns the diagnostics."""
        before = self.world()
        location = revision if isinstance(revision, dict) else self.shop.push(revision, bundle_type=bundle_type)
        deployment_id, ended = self.shop.run(location, **options)
        assert ended["status"] == "Failed"
        failure = self.shop.failure(deployment_id, self.host.name)
        assert all(word in failure["message"] for word in words), failure
        assert self.world() == before
        return failure

    def goes_on(self) -> None:
        """The same agent is there and installs a good revision."""
        assert self.host.agent == self._agent
        self.install_good()

    def remove(self) -> None:
        self.host.remove()


@pytest.fixture(scope="module")
def one_host(shared_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    made = Ground(shared_plane, tmp_path_factory.mktemp("ground"))
    yield made
    made.remove()


@pytest.fixture
def ground(one_host: Ground) -> Iterator[Ground]:
    yield one_host
    one_host.goes_on()


# Archives.


class Archive:
    """A good bundle, entry by entry, and then something else."""

    def __init__(self, ground: Ground) -> None:
        self.canary = ground.canary
        self._good = list(ground.good().entries())

    def zip(self, *entries: tuple[str, bytes, int]) -> bytes:
        """Further entries by name, content and whole mode, kind included."""
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle:
            for name, content, mode in [*self._good, *entries]:
                entry = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
                entry.filename = name  # the constructor would tidy it up
                entry.external_attr = (mode if stat.S_IFMT(mode) else stat.S_IFREG | mode) << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                bundle.writestr(entry, content)
        return out.getvalue()

    def tar(self, *entries: tuple[str, dict[str, Any]], mode: str = "w", content: bytes = b"") -> bytes:
        """Further entries by name and members of TarInfo."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode=mode) as bundle:  # type: ignore[call-overload]
            for name, good, bits in self._good:
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(good), bits
                bundle.addfile(entry, io.BytesIO(good))
            for name, members in entries:
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                for member, value in members.items():
                    setattr(entry, member, value)
                bundle.addfile(entry, io.BytesIO(content) if content else None)
        return out.getvalue()


LINK, FIFO, DEVICE = stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644, stat.S_IFCHR | 0o644

ZIPS: dict[str, tuple[Callable[[Archive], bytes], tuple[str, ...]]] = {
    "a name that climbs": (lambda a: a.zip(("../evil", b"!", 0o644)), ("'../evil'", "outside the bundle")),
    "a name that climbs later": (
        lambda a: a.zip(("site/x/../../../evil", b"!", 0o644)), ("site/x/../../../evil", "outside the bundle"),
    ),
    "a name that climbs to the canary": (
        lambda a: a.zip(("../" * 20 + f"{a.canary}/evil".lstrip("/"), b"!", 0o644)), ("canary/evil", "outside"),
    ),
    "an absolute name": (lambda a: a.zip((f"{a.canary}/evil", b"!", 0o644)), ("canary/evil", "absolute name")),
    "backslashes": (lambda a: a.zip(("..\\..\\evil", b"!", 0o644)), ("evil", "backslash")),
    "a link to an absolute path": (
        lambda a: a.zip(("site/out", str(a.canary).encode(), LINK)), ("'site/out'", "symbolic link", "outside"),
    ),
    "a link that climbs": (
        lambda a: a.zip(("site/out", b"../../../../..", LINK)), ("'site/out'", "symbolic link", "outside"),
    ),
    "a file through a link": (
        lambda a: a.zip(("site/out", b"../../..", LINK), ("site/out/evil", b"!", 0o644)),
        ("'site/out/evil'", "through the symbolic link"),
    ),
    "links that climb together": (
        lambda a: a.zip(("a", b"site", LINK), ("b", b"a/../..", LINK)), ("'b'", "symbolic link", "outside"),
    ),
    "a link in place of the AppSpec's directory": (
        lambda a: a.zip(("site", b"/etc", LINK)), ("'site'",),
    ),
    "a name twice": (
        # zipfile itself would warn of it.
        lambda a: a.zip(("site/versio2", b"!", 0o644)).replace(b"versio2", b"version"), ("'site/version'", "twice"),
    ),
    "a setuid entry": (lambda a: a.zip(("site/su", b"!", 0o4755)), ("'site/su'", "setuid")),
    "a setgid entry": (lambda a: a.zip(("site/sg", b"!", 0o2755)), ("'site/sg'", "setgid")),
    "a device": (lambda a: a.zip(("site/null", b"", DEVICE)), ("'site/null'", "device")),
    "a fifo": (lambda a: a.zip(("site/pipe", b"", FIFO)), ("'site/pipe'", "pipe")),
    "too much": (
        lambda a: a.zip(("site/zeros", bytes(5 * MOST_BYTES), 0o644)),
        ("'site/zeros'", str(MOST_BYTES), "archive_max_extraction_size"),
    ),
    "too many": (
        lambda a: a.zip(*[(f"site/{number}", b"", 0o644) for number in range(MOST_ENTRIES + 1)]),
        (str(MOST_ENTRIES), "archive_max_entries"),
    ),
    "a size that lies": (
        lambda a: a.zip(("site/lie", bytes(500_000), 0o644)).replace(
            (500_000).to_bytes(4, "little"), (5).to_bytes(4, "little")
        ),
        ("site/lie",),
    ),
    "half of it": (lambda a: (whole := a.zip())[: len(whole) // 2], ("damaged or not a zip archive",)),
    "no end": (lambda a: a.zip()[:-1], ("damaged or not a zip archive",)),
    "a broken middle": (
        lambda a: (whole := a.zip(("site/x", os.urandom(9_000), 0o644))).replace(whole[2_000:2_100], bytes(100)),
        ("damaged",),
    ),
    "a text": (lambda _: b"this is no archive\n" * 50, ("damaged or not a zip archive",)),
    "nothing": (lambda _: b"", ("damaged or not a zip archive",)),
}  # fmt: skip


@pytest.mark.parametrize("name", ZIPS)
def test_a_zip(ground: Ground, name: str) -> None:
    build, words = ZIPS[name]
    failure = ground.refuses(build(Archive(ground)), *words)
    assert (failure["event"], failure["errorCode"]) == ("DownloadBundle", "UnknownError")


def _tar_link(name: str, target: str, kind: bytes) -> tuple[str, dict[str, Any]]:
    return name, {"type": kind, "linkname": target}


TARS: dict[str, tuple[str, Callable[[Archive], bytes], tuple[str, ...]]] = {
    "a name that climbs": ("tar", lambda a: a.tar(("../evil", {})), ("'../evil'", "outside the bundle")),
    "an absolute name": (
        "tar", lambda a: a.tar((f"{a.canary}/evil", {})), ("canary/evil", "absolute name"),
    ),
    "a link to an absolute path": (
        "tgz", lambda a: a.tar(_tar_link("site/out", str(a.canary), tarfile.SYMTYPE), mode="w:gz"),
        ("'site/out'", "symbolic link", "outside"),
    ),
    "a file through a link": (
        "tar", lambda a: a.tar(_tar_link("site/out", "../../..", tarfile.SYMTYPE), ("site/out/evil", {})),
        ("'site/out/evil'", "through the symbolic link"),
    ),
    "a hard link to a file of the host": (
        "tar", lambda a: a.tar(_tar_link("site/secret", f"{a.canary}/secret", tarfile.LNKTYPE)),
        ("site/secret", "absolute"),
    ),
    "a hard link that climbs": (
        "tgz",
        lambda a: a.tar(
            _tar_link("site/secret", "../" * 20 + f"{a.canary}/secret".lstrip("/"), tarfile.LNKTYPE), mode="w:gz"
        ),
        ("site/secret", "outside the bundle"),
    ),
    "a hard link through a link": (
        "tar",
        lambda a: a.tar(
            _tar_link("out", str(a.canary).replace("/", "../" * 20, 1), tarfile.SYMTYPE),
            _tar_link("site/secret", "out/secret", tarfile.LNKTYPE),
        ),
        ("site/secret", "hard link"),
    ),
    "a character device": (
        "tar", lambda a: a.tar(("site/null", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3})),
        ("'site/null'", "device"),
    ),
    "a block device": (
        "tgz", lambda a: a.tar(("site/sda", {"type": tarfile.BLKTYPE, "devmajor": 8}), mode="w:gz"),
        ("'site/sda'", "device"),
    ),
    "a fifo": ("tar", lambda a: a.tar(("site/pipe", {"type": tarfile.FIFOTYPE})), ("'site/pipe'", "pipe")),
    "a setuid entry": ("tar", lambda a: a.tar(("site/su", {"mode": 0o4755})), ("'site/su'", "setuid")),
    "a setuid directory": (
        "tar", lambda a: a.tar(("site/dir", {"mode": 0o6755, "type": tarfile.DIRTYPE})), ("'site/dir'", "setuid"),
    ),
    "too much": (
        "tgz", lambda a: a.tar(("site/zeros", {}), content=bytes(5 * MOST_BYTES), mode="w:gz"),
        ("'site/zeros'", str(MOST_BYTES), "archive_max_extraction_size"),
    ),
    "half of a tgz": (
        "tgz", lambda a: (whole := a.tar(("site/x", {}), content=os.urandom(90_000), mode="w:gz"))[: len(whole) // 2],
        ("damaged",),
    ),
    "half of a tar": ("tar", lambda a: a.tar(("site/x", {}), content=bytes(90_000))[:40_000], ("site/x", "truncated")),
    "a wrong checksum": (
        "tgz", lambda a: (whole := a.tar(mode="w:gz"))[:-8] + bytes(4) + whole[-4:], ("damaged",),
    ),
    "a zip that says tgz": ("tgz", lambda a: a.zip(), ("damaged or not a tgz archive",)),
    "a text": ("tar", lambda _: b"this is no archive\n" * 100, ("not a tar archive",)),
}  # fmt: skip


@pytest.mark.parametrize("name", TARS)
def test_a_tar(ground: Ground, name: str) -> None:
    bundle_type, build, words = TARS[name]
    failure = ground.refuses(build(Archive(ground)), *words, bundle_type=bundle_type)
    assert (failure["event"], failure["errorCode"]) == ("DownloadBundle", "UnknownError")


@pytest.mark.parametrize("bundle_type", ["tar", "tgz"])
def test_a_good_tar(ground: Ground, bundle_type: str) -> None:
    """So that what was refused above was refused for what was wrong with it."""
    bundle = Archive(ground).tar(
        ("site/link", {"type": tarfile.SYMTYPE, "linkname": "version"}),
        ("site/hard", {"type": tarfile.LNKTYPE, "linkname": "site/version"}),
        mode="w:gz" if bundle_type == "tgz" else "w",
    )
    _, ended = ground.shop.run(ground.shop.push(bundle, bundle_type=bundle_type))
    assert ended["status"] == "Succeeded"
    version = (ground.destination / "version").read_text()
    assert (ground.destination / "link").readlink() == Path("version")
    assert (ground.destination / "hard").read_text() == version


# AppSpec files.

APPSPECS: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "empty": ("", ("file is empty", "version: 0.0")),
    "not UTF-8": (b"version: 0.0\nos: linux # caf\xe9\n", ("UTF-8", "appspec.yml")),
    "no YAML": ("version: 0.0\nos: {linux\n", ("AppSpec line",)),
    "a list": ("- version: 0.0\n", ("AppSpec",)),
    "another version": ("version: 9.1\nos: linux\n", ("version is", "9.1", "version: 0.0")),
    "no version": ("os: linux\n", ("version is missing",)),
    "another system": ("version: 0.0\nos: plan9\n", ("os is 'plan9'", "line 2")),
    "no system": ("version: 0.0\n", ("os is missing",)),
    "an AppSpec of Lambda": ("version: 0.0\nResources: []\n", ("Lambda or ECS",)),
    "files that are no list": ("version: 0.0\nos: linux\nfiles: site\n", ("files",)),
    "a file without a destination": (
        "version: 0.0\nos: linux\nfiles:\n  - source: site\n", ("files[0].destination", "line 4"),
    ),
    "hooks that are a list": ("version: 0.0\nos: linux\nhooks: [BeforeInstall]\n", ("hooks",)),
    "a script without a location": (
        "version: 0.0\nos: linux\nhooks:\n  BeforeInstall:\n    - timeout: 3\n", ("hooks.BeforeInstall", "location"),
    ),
    "no time at all": (
        "version: 0.0\nos: linux\nhooks:\n  BeforeInstall:\n    - location: x\n      timeout: 0\n", ("timeout",),
    ),
    "a Python object": ("!!python/object/apply:os.system ['touch CANARY/escaped']\n", ("AppSpec",)),
    "billions of laughs": (
        "version: 0.0\nos: linux\na: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in itertools.pairwise("abcdefghijkl"))
        + "files: *l\n",
        ("AppSpec",),
    ),
    "deep nesting": ("[" * 50_000, ("AppSpec",)),
    "a NUL": ('version: 0.0\nos: linux\nfiles: [{source: "a\\0b", destination: /x}]\n', ("NUL",)),
}  # fmt: skip


@pytest.mark.parametrize("name", APPSPECS)
def test_an_appspec(ground: Ground, name: str) -> None:
    """It is read when the first event of this revision is due, before anything of it is installed."""
    text, words = APPSPECS[name]
    if isinstance(text, str):
        text = text.replace("CANARY", str(ground.canary))
    failure = ground.refuses(Revision(appspec=text), *words)
    assert (failure["event"], failure["errorCode"]) == ("BeforeInstall", "UnknownError")


def test_a_bundle_without_an_appspec(ground: Ground) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as bundle:
        bundle.writestr("site/version", "?")
        bundle.writestr("__MACOSX/appspec.yml", "version: 0.0\nos: linux\n")
    ground.refuses(out.getvalue(), "has no AppSpec file", "appspec.yml", "root of the revision")


FILES: dict[str, tuple[str, tuple[str, ...]]] = {
    "Windows": ("version: 0.0\nos: windows\n", ("for windows", "runs Linux")),
    "a source that is not there": (
        "version: 0.0\nos: linux\nfiles:\n  - {source: nowhere, destination: DESTINATION}\n",
        ("source 'nowhere' is not in the revision", "line 4"),
    ),
    "a source that climbs": (
        "version: 0.0\nos: linux\nfiles:\n  - {source: ../../../../canary, destination: DESTINATION}\n",
        ("leads outside the revision", "line 4"),
    ),
    "two sources of one file": (
        "version: 0.0\nos: linux\nfiles:\n  - {source: site, destination: DESTINATION}\n"
        "  - {source: site/version, destination: DESTINATION}\n",
        ("two files to", "version"),
    ),
    "an owner nobody knows": (
        "version: 0.0\nos: linux\nfiles:\n  - {source: site, destination: DESTINATION}\n"
        "permissions:\n  - {object: DESTINATION, owner: nobody-knows}\n",
        ("no user 'nobody-knows'",),
    ),
    "a directory where a file is": (
        "version: 0.0\nos: linux\nfiles:\n  - {source: site, destination: CANARY/secret}\n",
        ("canary/secret must be a directory, but a file is there",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_an_install_that_cannot_be(ground: Ground, name: str) -> None:
    """Found while planning, so the last revision is still there."""
    text, words = FILES[name]
    text = text.replace("CANARY", str(ground.canary)).replace("DESTINATION", str(ground.destination))
    failure = ground.refuses(ground.good(appspec=text), *words)
    assert (failure["event"], failure["errorCode"]) == ("Install", "UnknownError")


# Scripts.


def _hook(location: str, **more: str) -> str:
    entry = "".join(f"      {key}: {value}\n" for key, value in more.items())
    return f"version: 0.0\nos: linux\nhooks:\n  BeforeInstall:\n    - location: {location}\n{entry}"


@pytest.mark.parametrize(
    ("appspec", "files", "code", "words"),
    [
        (_hook("scripts/x.sh"), {}, "ScriptMissing", ("scripts/x.sh is not in the revision",)),
        (_hook("scripts"), {"scripts/x": ""}, "ScriptMissing", ("the script scripts is not in the revision",)),
        (_hook("../" * 20 + "CANARY/script"), {}, "ScriptMissing", ("canary/script lies outside the revision",)),
        (_hook("x.sh"), {"x.sh": "#!/no/such/shell\n"}, "ScriptFailed", ("cannot be started", "/no/such/shell")),
        (_hook("x.sh"), {"x.sh": "#!/bin/sh\r\n"}, "ScriptFailed", ("cannot be started", "Windows line ending")),
        (_hook("x.sh", runas="no-such-user"), {"x.sh": "#!/bin/sh\n"}, "ScriptFailed", ("no-such-user",)),
        (_hook("x.sh", timeout="1"), {"x.sh": "#!/bin/sh\nsleep 60\n"}, "ScriptTimedOut", ("timeout of 1 seconds",)),
    ],
    ids=["missing", "a directory", "outside", "no interpreter", "Windows", "no user", "endless"],
)
def test_a_script(ground: Ground, appspec: str, files: dict[str, str], code: str, words: tuple[str, ...]) -> None:
    text = appspec.replace("CANARY", str(ground.canary).lstrip("/"))
    failure = ground.refuses(Revision(appspec=text, files=files), *words)
    assert (failure["event"], failure["errorCode"]) == ("BeforeInstall", code)
    assert failure["scriptName"]


def test_a_script_that_is_not_executable_and_names_no_shell(ground: Ground, tmp_path: Path) -> None:
    """S11.2: the agent makes it executable first; the shell runs it, as it would from a prompt."""
    ran = tmp_path / "ran"
    _, ended = ground.shop.run(ground.good(appspec=_hook("x"), files={"x": f"echo $LIFECYCLE_EVENT > {ran}\n"}))
    assert ended["status"] == "Succeeded"
    assert ran.read_text() == "BeforeInstall\n"


# Files that are there already.


@pytest.fixture
def foreign(ground: Ground) -> Iterator[Path]:
    """A file where the next revision wants to put one of its own."""
    path = ground.destination / "config"
    path.write_text("made by hand")
    yield path
    path.unlink(missing_ok=True)


def test_a_foreign_file_stops_the_install(ground: Ground, foreign: Path) -> None:
    """DISALLOW, the default: the last revision stays too, and the message names the file and the remedies."""
    revision = ground.good(files={"site/version": "next", "site/config": "ours"})
    failure = ground.refuses(revision, str(foreign), "already exists", "OVERWRITE", "RETAIN")
    assert failure["event"] == "Install"
    ground.refuses(revision, str(foreign), "already exists", fileExistsBehavior="DISALLOW")
    assert foreign.read_text() == "made by hand"


def test_a_foreign_file_is_overwritten_or_kept_as_the_user_says(ground: Ground, foreign: Path) -> None:
    """By the CLI's own option. A file that was kept does not become ours: the next Install leaves it."""
    revision = ground.good(files={"site/version": "next", "site/config": "ours"})

    def deploy(behavior: str) -> None:
        s3 = ground.shop.push(revision)["s3Location"]
        words = ["--application-name", ground.shop.name, "--deployment-group-name", "prod"]
        words += ["--s3-location", ",".join(f"{key}={value}" for key, value in s3.items())]
        made = ground.plane.aws("deploy", "create-deployment", *words, "--file-exists-behavior", behavior)
        assert ground.shop.ended(made["deploymentId"])["status"] == "Succeeded"

    deploy("RETAIN")
    assert foreign.read_text() == "made by hand"
    ground.install_good()
    assert foreign.read_text() == "made by hand"
    deploy("OVERWRITE")
    assert foreign.read_text() == "ours"
    ground.install_good()
    assert not foreign.exists()


def test_a_directory_is_not_overwritten_by_a_file(ground: Ground) -> None:
    there = ground.destination / "config"
    (there / "kept").mkdir(parents=True)
    revision = ground.good(files={"site/config": "ours"})
    ground.refuses(revision, str(there), "is a directory", fileExistsBehavior="OVERWRITE")
    (there / "kept").rmdir()
    there.rmdir()


# Objects.


def test_a_bundle_that_was_deleted_after_it_was_registered(ground: Ground) -> None:
    location = ground.shop.push(ground.good())
    ground.shop.deploy.register_application_revision(applicationName=ground.shop.name, revision=location)
    key = location["s3Location"]["key"]
    ground.shop.s3.delete_object(Bucket=ground.shop.bucket, Key=key)
    ground.refuses(location, f"s3://{ground.shop.bucket}/{key}", "NoSuchKey")


def test_a_bucket_that_is_not_there(ground: Ground) -> None:
    location = ground.shop.push(ground.good())
    location["s3Location"]["bucket"] = "nowhere-to-be-found"
    ground.refuses(location, "s3://nowhere-to-be-found/", "NoSuchBucket")


def test_a_bundle_with_another_etag(ground: Ground) -> None:
    location = ground.shop.push(ground.good())
    location["s3Location"]["eTag"] = "0123456789abcdef0123456789abcdef"
    ground.refuses(location, location["s3Location"]["key"], "ETag", "0123456789abcdef0123456789abcdef", "replaced")


def test_a_bundle_replaced_between_the_start_and_the_download(ground: Ground, tmp_path: Path) -> None:
    """All hosts of a deployment run the same bytes: those that were there when it started."""
    at_work, go_on = tmp_path / "at-work", tmp_path / "go-on"
    slow = ground.good(hooks={"ApplicationStop": f"touch {at_work}; while [ ! -e {go_on} ]; do sleep 0.05; done"})
    ground.shop.run(slow)
    before = ground.world()
    location = ground.shop.push(ground.good(files={"site/version": "expected"}))
    deployment_id = ground.shop.start(location)
    wait_until("the last revision is being stopped", at_work.exists)
    key = location["s3Location"]["key"]
    ground.shop.s3.put_object(
        Bucket=ground.shop.bucket, Key=key, Body=ground.good(files={"site/version": "replaced"}).zip()
    )
    go_on.touch()
    assert ground.shop.ended(deployment_id)["status"] == "Failed"
    failure = ground.shop.failure(deployment_id, ground.host.name)
    assert failure["event"] == "DownloadBundle"
    assert key in failure["message"]
    assert "SHA-256" in failure["message"]
    assert ground.world() == before


# Full disks.


@contextmanager
def small_disk(at: Path, size: str) -> Iterator[Path]:
    """A file system of its own, a small one."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "small", at], check=True, timeout=10)
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", at], check=True, timeout=10)


def fill(disk: Path) -> Path:
    """Use up what is left."""
    path = disk / "ballast"
    with path.open("wb", buffering=0) as file:
        size = 65536
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
    return path


def test_a_full_disk_where_the_revision_goes(ground: Ground, tmp_path: Path) -> None:
    """The message names the file; the host is as it was; with room made, the next deployment succeeds."""
    with small_disk(tmp_path / "disk", "256k") as disk:
        files = {f"site/f{number}": f"{number}" * 60_000 for number in range(6)}
        revision = ground.good(files=files, install={"site": f"{disk}/shop"})
        deployment_id, ended = ground.shop.run(revision)
        assert ended["status"] == "Failed"
        failure = ground.shop.failure(deployment_id, ground.host.name)
        assert failure["event"] == "Install"
        assert f"{disk}/shop/f" in failure["message"]
        assert "No space left on device" in failure["message"]
        assert list(disk.iterdir()) == [], "as it was before"

        subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True, timeout=10)
        _, ended = ground.shop.run(revision)
        assert ended["status"] == "Succeeded"
        assert len(list((disk / "shop").iterdir())) == len(files)
        ground.install_good()
        assert list(disk.iterdir()) == []


@pytest.mark.parametrize("full", ["for the bundle", "for anything"])
def test_a_full_disk_where_the_agent_works(
    tmp_path: Path,
    shared_plane: ControlPlane,
    hosts_of: Callable[..., list[Host]],
    shop_of: Callable[..., Shop],
    full: str,
) -> None:
    """Even with no room to note what it does, the agent says so, lives on, and works once there is room."""
    with small_disk(tmp_path / "disk", "1m") as disk:
        (host,) = hosts_of(shared_plane, root_dir=str(disk / "root"))
        shop = shop_of(shared_plane, [host])
        ran = tmp_path / "ran"
        small = Revision(hooks={"AfterInstall": f"touch {ran}", "ApplicationStop": "true"})
        shop.run(small)
        agent = host.agent
        ran.unlink()
        if full == "for anything":
            ballast = fill(disk)
            deployment_id, ended = shop.run(small)
        else:
            ballast = disk / "none"
            big = Revision(files={"noise": os.urandom(700_000).hex()})
            deployment_id, ended = shop.run(big)
        assert ended["status"] == "Failed"
        failure = shop.failure(deployment_id, host.name)
        assert "No space left on device" in failure["message"]
        assert str(disk) in failure["message"]
        assert not ran.exists()
        assert host.agent == agent

        ballast.unlink(missing_ok=True)
        _, ended = shop.run(small)
        assert ended["status"] == "Succeeded"
        assert ran.exists()
        assert host.agent == agent
        host.stop()
