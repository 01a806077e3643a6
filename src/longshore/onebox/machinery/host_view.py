"""A host of one's own on this machine: private files, processes and host name; the network stays shared.

Every directory of `/` is seen through an overlay, so that what a host writes to `/opt/shop`, `/etc` or `/var` lands in
its own layer and no other host sees it; `/tmp` and `/run` start empty. A process namespace ends everything the host
ever started when the host is stopped. Hosts tell each other apart by addresses of the loopback range (127.0.x.y).

As root this needs a Linux kernel with overlayfs; as another user also unprivileged user namespaces (Linux 5.11).
`why_not` tries, and says what is missing.
"""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import selectors
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from longshore.onebox.machinery import peers

#: What `start` and `command` call; all of util-linux but the shell.
_TOOLS = ("sh", "unshare", "nsenter", "mount", "umount", "pivot_root", "flock")
#: Where those are that a user who is not root may not have in the path.
_MORE_PATH = "/usr/sbin:/sbin"
#: These are the kernel's and are mounted, not overlaid.
_KERNEL = ("proc", "sys", "dev")
#: These start empty on each host.
_PRIVATE = {"tmp": 0o1777, "run": 0o755}
#: Directories below the top ones in which programs put things. Made the host's own where its root is not the
#: machine's: otherwise they belong to somebody whom it does not know, and it cannot write there.
_WRITTEN_TO = ("usr/local/bin", "var/cache", "var/lib", "var/log", "var/spool", "var/tmp")
_START_SECONDS = 20.0
_STOP_SECONDS = 10.0

#: Runs as the first process of a host, in the host's own directory. It holds a lock while it runs, so that a host that
#: is started twice is one. It writes down who it is before anything else, as `remember` does: so it is found whatever
#: happens to whoever started it. It reaps what daemons leave behind, as every first process must: a stopped daemon
#: would otherwise stay visible to `kill -0` for ever.
_INIT = """
set -e
exec 9>lock
flock -n 9 || {{ echo taken; exit 1; }}
read -r pid rest </proc/self/stat
set -- $rest
echo "$pid ${{21}}" >process
mount --bind root root
{mounts}
mount --rbind /sys root/sys
mount --rbind /dev root/dev
mount -t proc proc root/proc
{{ hostname {name} || echo {name} >/proc/sys/kernel/hostname; }} 2>/dev/null || true
mkdir -p root/.outside
cd root
pivot_root . .outside
cd /
umount -l /.outside
rmdir /.outside
echo up
exec >/dev/null 2>&1
{boot}
trap 'exit 0' TERM
sleep 2147483647 9>&- &
while kill -0 $!; do wait $! || true; done
"""


def this_program() -> tuple[Path, ...]:
    """Where the Python that runs this is, with its packages: what a host needs to run a program of ours."""
    places = (Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[3])
    return tuple(dict.fromkeys(place.resolve() for place in places))


class HostViewError(Exception):
    """A host cannot be made or used; the message says why."""


@dataclass(frozen=True, kw_only=True)
class HostView:
    """One host. What it wrote stays in `directory` when it stops, and is there when it starts again."""

    #: Kept on a real file system: overlayfs takes no overlay as its upper layer.
    directory: Path
    #: The host name that its processes see.
    name: str
    #: Directories seen as they are outside, wherever they are, also under `/tmp`; for reading.
    shared: tuple[Path, ...] = field(default_factory=this_program)
    #: Directories that the host finds empty.
    hidden: tuple[Path, ...] = ()
    #: The command that the host itself runs as it comes up, with nothing of our environment; none, when empty.
    boot: tuple[str, ...] = ()

    def start(self) -> None:
        """Start the host, with nothing running in it yet; raises `HostViewError`."""
        if self.process_id() is not None:
            return
        self._lay_out()
        boot = f"env -i {shlex.join(self.boot)} </dev/null 9>&- &" if self.boot else ""
        script = _INIT.format(mounts="\n".join(self._mounts()), name=shlex.quote(self.name), boot=boot)
        # Beside it, then in its place: another shell may be reading it.
        fresh = self.directory / f"start.{secrets.token_hex(8)}"
        fresh.write_text(script)
        fresh.rename(self.directory / "start.sh")
        with (self.directory / "start.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - util-linux and our own script
                # The shell ends at once: a host is nobody's child here, so nobody has to wait for its end.
                ["sh", "-c", '"$@" &', "sh", *self._unshare()],  # noqa: S607
                cwd=self.directory,
                # What the server was started with is none of a host's business.
                env={"PATH": _path()},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        with process:
            said = _first_line(process, _START_SECONDS)
            if said == "taken":
                # Somebody, such as a server that was killed, started it a moment before.
                self._wait_for_other()
            elif said != "up":
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                reason = (self.directory / "start.log").read_text(errors="replace").strip()
                raise HostViewError(f"the host {self.name} does not start: {reason or 'it did not say why'}")

    def _wait_for_other(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while self.process_id() is None:
            if time.monotonic() > deadline:
                raise HostViewError(f"the host {self.name} is being started by somebody else, and does not start")
            time.sleep(0.02)

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` inside; the host must be running.

        It waits for `argv` beside it and exits as it did; a signal meant for `argv` must go to the process group.
        """
        process_id = self.process_id()
        if process_id is None:
            raise HostViewError(f"the host {self.name} is not running")
        own_user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return [
            *("nsenter", "--target", str(process_id), *own_user, "--mount", "--uts", "--pid", "--root", "--wd", "--"),
            *argv,
        ]

    def written(self, path: str) -> Path:
        """Where a file that the host wrote at this absolute path is, seen from outside.

        Before the host starts, what is put there is what the host will see. Read only while it runs.
        """
        first, _, rest = path.lstrip("/").partition("/")
        layer = self.directory / "root" if first in _PRIVATE else self.directory / "upper"
        return layer / first / rest

    def process_id(self) -> int | None:
        """The host's first process, as this machine counts; None when the host is not running."""
        return still_running(self.directory / "process")

    def shut_down(self, seconds: float) -> None:
        """Ask the host's processes to end, as a machine does that is switched off; after so long, `stop`."""
        first = self.process_id()
        if first is not None:
            asked = [process for process in peers.inside(first) if not self._is_own(process, first)]
            for process in asked:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(int(process.name), signal.SIGTERM)
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline and any(process.exists() for process in asked):
                time.sleep(0.02)
        self.stop()

    @staticmethod
    def _is_own(process: Path, first: int) -> bool:
        """Whether it is one of those that keep the host up."""
        return int(process.name) == first or _said(process / "cmdline") == b"sleep\x002147483647\x00"

    def stop(self) -> None:
        """End every process of the host, whatever it does; its files stay."""
        end(self.directory / "process")

    def remove(self) -> None:
        """Stop the host and forget what it wrote."""
        self.stop()
        _remove_tree(self.directory)

    def _lay_out(self) -> None:
        root = self.directory / "root"
        for directory in (root, self.directory / "upper", self.directory / "work"):
            directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        for entry in Path("/").iterdir():
            inside = root / entry.name
            if entry.is_symlink():
                # It may be there: from an earlier start, or from somebody's who starts the host too.
                with contextlib.suppress(FileExistsError):
                    inside.symlink_to(entry.readlink())
            elif entry.is_dir():
                inside.mkdir(exist_ok=True)
                if entry.name in _PRIVATE:
                    inside.chmod(_PRIVATE[entry.name])
                elif entry.name not in _KERNEL:
                    self._make_layer(entry)
        if os.geteuid() != 0:
            for name in _WRITTEN_TO:
                if Path("/", name).is_dir():
                    (self.directory / "upper" / name).mkdir(parents=True, exist_ok=True)
        for path in self.shared:
            if self._must_be_bound(path):
                self.written(str(path)).mkdir(parents=True, exist_ok=True)

    def _make_layer(self, lower: Path) -> None:
        (self.directory / "work" / lower.name).mkdir(exist_ok=True)
        upper = self.directory / "upper" / lower.name
        upper.mkdir(exist_ok=True)
        # The layer's own mode and owner are what the host sees of the directory.
        seen = lower.stat()
        upper.chmod(stat.S_IMODE(seen.st_mode))
        if os.geteuid() == 0:
            os.chown(upper, seen.st_uid, seen.st_gid)

    def _unshare(self) -> list[str]:
        own_user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        return [
            *("unshare", *own_user, "--mount", "--uts", "--pid", "--fork", "--kill-child", "--propagation", "private"),
            *("--", "sh", "start.sh"),
        ]

    def _mounts(self) -> list[str]:
        lines = []
        # Only root's overlays may keep their marks in trusted.*; others keep them in user.* (Linux 5.11).
        marks = "" if os.geteuid() == 0 else "userxattr,"
        for layer in sorted((self.directory / "upper").iterdir()):
            name = layer.name
            over = f"lowerdir=/{name},upperdir=upper/{name},workdir=work/{name}"
            inside = shlex.quote(f"root/{name}")
            # A user who is not root cannot overlay a directory with mounts below it: it is shown, for reading only.
            fallback = _show(Path("/", name))
            if any(letter in name for letter in ',:\\"'):
                lines.append(fallback)
            else:
                lines.append(f"mount -t overlay overlay -o {shlex.quote(marks + over)} {inside} || {fallback}")
        lines += [_show(path) for path in self.shared if self._must_be_bound(path)]
        return lines + [_hide(path) for path in self.hidden]

    def _must_be_bound(self, path: Path) -> bool:
        """Whether the layers do not show it: they show no mounts below their directory, and no `/tmp`."""
        if path.parts[1] in _KERNEL:
            return False
        return path.parts[1] in _PRIVATE or path.stat().st_dev != Path("/", path.parts[1]).stat().st_dev


def why_not(directory: Path) -> str | None:
    """Why no host can be kept in `directory`; None when one can. It tries: kernels differ too much to guess."""
    if platform.system() != "Linux":
        return f"hosts of their own need Linux (namespaces and overlayfs); this is {platform.system()}"
    if absent := [tool for tool in _TOOLS if shutil.which(tool, path=_path()) is None]:
        return f"the commands {', '.join(absent)} are missing (Debian has them in util-linux)"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        trial = HostView(directory=Path(tempfile.mkdtemp(prefix="trial-", dir=directory)), name="trial")
    except OSError as error:
        return f"{directory} cannot be written: {error.strerror}"
    try:
        trial.start()
        seen = subprocess.run(  # noqa: S603 - util-linux and the shell
            trial.command(["sh", "-c", "echo written >/opt/trial && cat /opt/trial"]),
            capture_output=True,
            text=True,
            timeout=_START_SECONDS,
            check=False,
        )
        if seen.stdout != "written\n":
            return f"a trial host in {directory} cannot write files: {seen.stderr.strip()}"
        if Path("/opt/trial").exists():
            return f"a trial host in {directory} has no file system view of its own"
    except (HostViewError, subprocess.TimeoutExpired) as error:
        who = (
            "root may not here, as in a container without --privileged"
            if os.geteuid() == 0
            else ("you are not root; as root it may work")
        )
        return f"{error} ({who})"
    finally:
        trial.remove()
    return None


def _path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:{_MORE_PATH}"


def _show(path: Path) -> str:
    """A shell command that lets the host see a directory as it is outside, for reading."""
    outside, inside = shlex.quote(str(path)), shlex.quote(f"root{path}")
    return f"{{ mount --rbind {outside} {inside} && mount -o remount,bind,ro {inside}; }}"


def _hide(path: Path) -> str:
    """A shell command that puts nothing in the place of a directory, where the host would see it."""
    inside = shlex.quote(f"root{path}")
    return f"if [ -d {inside} ]; then mount -t tmpfs -o ro,size=4k,mode=0755 hidden {inside}; fi"


def end(record: Path) -> None:
    """Kill the process that a record names, if it still runs, and wait until it is gone."""
    process_id = still_running(record)
    if process_id is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)
        deadline = time.monotonic() + _STOP_SECONDS
        while still_running(record) is not None:
            if time.monotonic() > deadline:
                raise HostViewError(f"process {process_id} does not end, though it was killed")
            time.sleep(0.005)
    record.unlink(missing_ok=True)


def remember(record: Path, process_id: int) -> None:
    """Write down a process so that a later run finds it, and no other that got its number."""
    record.write_text(f"{process_id} {_started_at(process_id)}\n")


def still_running(record: Path) -> int | None:
    """The process that a record names; None when it has ended."""
    try:
        process_id, started_at = record.read_text().split()
    except (OSError, ValueError):
        return None
    return int(process_id) if _started_at(int(process_id)) == started_at else None


def _started_at(process_id: int) -> str:
    """When a process began, in ticks since the machine did; empty when it has ended."""
    try:
        fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _said(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _first_line(process: subprocess.Popen[bytes], seconds: float) -> str:
    assert process.stdout
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(seconds):
            return ""
    return process.stdout.readline().decode(errors="replace").strip()


def _remove_tree(directory: Path) -> None:
    """Remove everything; overlayfs leaves directories behind that even their owner may not list."""
    for parent, names, _ in os.walk(directory):
        for name in names:
            path = Path(parent, name)
            if not path.is_symlink() and not os.access(path, os.R_OK | os.W_OK | os.X_OK):
                path.chmod(0o700)
    if directory.exists():
        shutil.rmtree(directory)
