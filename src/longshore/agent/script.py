"""One script of a hook: started, listened to, ended (agent.md 5.3, 5.5)."""

from __future__ import annotations

import errno
import math
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from longshore.agent.errors import Code, ScriptError
from longshore.agent.event_log import EventLog
from longshore.appspec import Script

#: A line is cut into entries of this many bytes, so that a script without newlines cannot fill the memory.
MAX_LINE_BYTES = 64 * 1024
#: What a script that has ended left in its pipes, and what it left running may still say when it failed; seconds.
LAST_WORDS_SECONDS = 0.5
#: For agents that are not root.
SUDO = ("sudo", "-n")
SUDO_SECONDS = 5.0
NOT_ROOT = (
    "this agent is not root, and su then asks for a password: give the hook sudo: true, and this agent's user the right"
)
#: Where scripts start. The official agent leaves it to chance: its own working directory (agent.md 5.4).
WORKING_DIRECTORY = "/"


@dataclass(frozen=True, kw_only=True)
class Observer:
    """Whom to tell that a script's process group exists, and what scripts say."""

    started: Callable[[int], None]
    ended: Callable[[], None]
    #: Given lines as scripts.log has them; must return at once.
    said: Callable[[list[str]], None] = lambda _lines: None


class ScriptRun:
    """One script from its start to the end of its process and its output, or to its deadline."""

    def __init__(self, script: Script, path: Path, environment: Mapping[str, str], log: EventLog, grace: float) -> None:
        self._script = script
        self._path = path
        self._environment = environment
        self._log = log
        self._grace = grace
        self._uses_su = False
        self._is_by_sudo = script.sudo and os.geteuid() != 0
        self._unfinished: dict[str, bytes] = {"stdout": b"", "stderr": b""}

    def run(self, observer: Observer) -> None:
        deadline = time.monotonic() + self._script.timeout
        process = self._start()
        observer.started(process.pid)
        try:
            with selectors.DefaultSelector() as selector:
                self._follow(process, selector, deadline)
        finally:
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
            observer.ended()
        if process.returncode:
            raise self._failure(self._how_it_ended(process.returncode))

    def _start(self) -> subprocess.Popen[bytes]:
        command = [os.fspath(self._path)]
        environment = dict(self._environment)
        user = self._script.runas
        options: dict[str, object] = {}
        if os.geteuid() == 0:
            if user:
                options = self._identity(user, environment)
        elif user and user != _own_name():
            # The official command line is `[sudo] su <user> -c <path>`; sudo -u needs no login shell.
            self._uses_su = not self._is_by_sudo
            command = ["su", user, "-c", shlex.quote(command[0])] if self._uses_su else [*self._sudo(), *command]
        elif self._is_by_sudo:
            command = [*self._sudo(), *command]
        try:
            return self._spawn(command, environment, options)
        except OSError as error:
            if error.errno == errno.ENOEXEC:
                # No #! line: the shell runs it, as execvp(3) would.
                with suppress(OSError):
                    return self._spawn(["/bin/sh", *command], environment, options)
            raise self._failure(f"cannot be started: {error.strerror}{_hint(error, self._path)}") from None

    def _spawn(
        self, command: list[str], environment: dict[str, str], options: dict[str, object]
    ) -> subprocess.Popen[bytes]:
        # Every descriptor of ours is close-on-exec, so none needs closing; without a user this is one vfork.
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]  # noqa: S603 - options vary by user
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=WORKING_DIRECTORY,
            env=environment,
            close_fds=False,
            start_new_session=True,
            **options,
        )

    def _identity(self, user: str, environment: dict[str, str]) -> dict[str, object]:
        import pwd

        try:
            account = pwd.getpwnam(user)
        except KeyError:
            raise self._failure(f"cannot run as user {user}: there is no such user on this host") from None
        environment |= {"HOME": account.pw_dir, "SHELL": account.pw_shell or "/bin/sh", "USER": user, "LOGNAME": user}
        if account.pw_uid == 0:
            return {}
        groups = os.getgrouplist(user, account.pw_gid)
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}

    def _follow(self, process: subprocess.Popen[bytes], selector: selectors.DefaultSelector, deadline: float) -> None:
        assert process.stdout
        assert process.stderr
        exit_notice = os.pidfd_open(process.pid)
        try:
            selector.register(exit_notice, selectors.EVENT_READ, "exit")
            for stream, name in ((process.stdout, "stdout"), (process.stderr, "stderr")):
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ, name)
            if not self._read_until(process, selector, deadline):
                self._overdue(process, selector)
        finally:
            os.close(exit_notice)
            self._flush()

    def _read_until(
        self, process: subprocess.Popen[bytes], selector: selectors.DefaultSelector, deadline: float
    ) -> bool:
        """Log output until the process and both its streams have ended; False when the deadline came first."""
        remark_at = math.inf
        while selector.get_map():
            now = time.monotonic()
            if now >= deadline:
                return False
            if now >= remark_at:
                remark_at = math.inf
                self._log.add([f"Script - {self._script.location} has ended; {_open_streams(selector)}".encode()])
            for key, _ in selector.select(min(deadline, remark_at, now + 3600) - now):
                if key.data == "exit":
                    process.wait(timeout=60)
                    selector.unregister(key.fileobj)
                    remark_at = time.monotonic() + max(self._grace, LAST_WORDS_SECONDS)
                    if process.returncode:
                        # It has failed, whatever it left running has still to say.
                        deadline = min(deadline, remark_at)
                elif not self._read(key.fd, key.data):
                    selector.unregister(key.fileobj)
        return True

    def _read(self, descriptor: int, name: str) -> bool:
        try:
            chunk = os.read(descriptor, 65536)
        except BlockingIOError:
            return True
        if not chunk:
            return False
        *lines, rest = (self._unfinished[name] + chunk).split(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            lines.append(rest)
            rest = b""
        self._unfinished[name] = rest
        if lines:
            prefix = f"[{name}]".encode()
            self._log.add([prefix + line.removesuffix(b"\r") for line in lines])
        return True

    def _flush(self) -> None:
        for name, rest in self._unfinished.items():
            if rest:
                self._log.add([f"[{name}]".encode() + rest])
                self._unfinished[name] = b""

    def _overdue(self, process: subprocess.Popen[bytes], selector: selectors.DefaultSelector) -> None:
        """The deadline passed (agent.md 5.5): end the script, or say what holds its output open."""
        if process.returncode is not None:
            still_open = _open_streams(selector)
            self._flush()
            if process.returncode:
                raise self._failure(f"{self._how_it_ended(process.returncode)} ({still_open})")
            raise self._failure(
                f"ended, but after {self._script.timeout} seconds {still_open}. "
                "Start background processes with their output redirected (for example > /dev/null 2>&1).",
                Code.OUTPUT_LEFT_OPEN,
            )
        for sign, wait in ((signal.SIGTERM, self._grace), (signal.SIGKILL, 2.0)):
            if not self._signal(process.pid, sign):
                break
            until = time.monotonic() + wait
            # Not the script alone: what it started gets the same time to end well.
            while time.monotonic() < until and (process.poll() is None or _reaches(process.pid, 0)):
                self._read_until(process, selector, min(until, time.monotonic() + 0.1))
                if not selector.get_map():
                    time.sleep(0.02)
        self._flush()
        is_left = self._is_by_sudo and _reaches(process.pid, 0)
        left = "; it still runs, since this agent's user may not end it" if is_left else ""
        raise self._failure(
            f"did not end within its timeout of {self._script.timeout} seconds{left}", Code.SCRIPT_TIMED_OUT
        )

    def _signal(self, leader: int, sign: signal.Signals) -> bool:
        """Whether there is still somebody in the script's process group, who then has got the signal if it may be."""
        if self._is_by_sudo:
            # sudo passes a signal on to the script alone, and SIGKILL to nobody.
            with suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(  # noqa: S603 - the system's own command
                    [*self._sudo(), "kill", f"-{sign:d}", "--", f"-{leader}"],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    timeout=SUDO_SECONDS,
                    check=False,
                )
        return _reaches(leader, sign)

    def _sudo(self) -> list[str]:
        return [*SUDO, *(["-u", self._script.runas] if self._script.runas else []), "--"]

    def _how_it_ended(self, status: int) -> str:
        if status > 0:
            hint = f"; {NOT_ROOT}" if self._uses_su else ""
            return f"failed with exit code {status}{hint}"
        with suppress(ValueError):
            return f"was ended by signal {-status} ({signal.Signals(-status).name})"
        return f"was ended by signal {-status}"

    def _failure(self, what: str, code: Code = Code.SCRIPT_FAILED) -> ScriptError:
        who = f" run as user {self._script.runas}" if self._script.runas else ""
        return ScriptError(
            f"the script {self._script.location}{who} {what}",
            code=code,
            script=self._script.location,
            log=self._log.tail(),
        )


def _reaches(leader: int, sign: int) -> bool:
    """Whether there is still somebody in the process group, who then has got the signal if it may be."""
    try:
        os.killpg(leader, sign)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # all of them run as somebody else, whom we may not signal
    return True


def _open_streams(selector: selectors.DefaultSelector) -> str:
    streams = [key for key in selector.get_map().values() if key.data != "exit"]
    names = " and ".join(str(key.data).upper() for key in streams)
    holders = _holders([key.fd for key in streams])
    return f"its {names} {'is' if len(streams) == 1 else 'are'} still open, held by {holders}"


def _own_name() -> str:
    import pwd

    with suppress(KeyError):
        return pwd.getpwuid(os.geteuid()).pw_name
    return str(os.geteuid())


def _hint(error: OSError, path: Path) -> str:
    if error.errno != errno.ENOENT:
        return ""
    with suppress(OSError), path.open("rb") as file:
        first = file.readline(256)
        if first.startswith(b"#!"):
            return f" (its first line asks for {first[2:].strip().decode('utf-8', 'replace')!r}" + (
                ", with a Windows line ending)" if first.endswith(b"\r\n") else ")"
            )
    return ""


def _holders(descriptors: list[int]) -> str:
    """The processes that have the other end of our pipes open, by pid and name."""
    pipes = {f"pipe:[{os.fstat(descriptor).st_ino}]" for descriptor in descriptors}
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal() or int(process.name) == os.getpid():
            continue
        with suppress(OSError):
            if any(os.readlink(entry.path) in pipes for entry in os.scandir(process / "fd")):  # noqa: PTH115
                name = (process / "comm").read_text().strip()
                found.append(f"process {process.name} ({name})")
    return ", ".join(found) or "a process this agent may not see"
