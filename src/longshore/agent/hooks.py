"""Runs the scripts of a lifecycle event (agent.md 5)."""

from __future__ import annotations

import errno
import os
import re
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from longshore.agent.errors import Code, ScriptError
from longshore.agent.specification import Specification
from longshore.appspec import Script

#: Characters the log tail stays under, newlines included (agent.md 5.6.3).
TAIL_CHARACTERS = 2048
#: A line is cut into entries of this many bytes, so that a script without newlines cannot fill the memory.
MAX_LINE_BYTES = 64 * 1024
#: Deployments log: bytes a file may have, files kept (agent.md 5.6.5).
LOG_BYTES = 64 * 1024 * 1024
LOG_FILES = 8
#: Where scripts start. The official agent leaves it to chance: its own working directory (agent.md 5.4).
WORKING_DIRECTORY = "/"

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
#: The agent's own keys, and what would load code into scripts (agent.md 10.19).
_SECRET = re.compile(
    r"AWS_(ACCESS_KEY(_ID)?|SECRET_(ACCESS_)?KEY|SESSION_TOKEN|SECURITY_TOKEN|CREDENTIAL_FILE|SHARED_CREDENTIALS_FILE"
    r"|CONTAINER_.*|WEB_IDENTITY_TOKEN_FILE)|LD_.*|PYTHON(HOME|PATH|STARTUP)"
)


@dataclass(frozen=True, kw_only=True)
class Observer:
    """Whom to tell that a script's process group exists, and what scripts say."""

    started: Callable[[int], None]
    ended: Callable[[], None]
    #: Given lines as scripts.log has them; must return at once.
    said: Callable[[list[str]], None] = lambda _lines: None


class EventLog:
    """Everything the scripts of one event say: scripts.log, the deployments log, and the tail that is reported."""

    def __init__(
        self, directory: Path, deployments_log: Path | None, deployment_id: str, said: Callable[[list[str]], None]
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._stack = ExitStack()
        self._file: IO[bytes] = self._stack.enter_context((directory / "scripts.log").open("ab", buffering=0))
        self._shared = self._stack.enter_context(_shared_log(deployments_log)) if deployments_log else None
        self._deployment_id = deployment_id
        self._said = said
        self._tail: deque[str] = deque()
        self._tail_characters = 0

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, entries: list[bytes]) -> None:
        """Append entries, each without its newline."""
        now = time.time()
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
        prefix = moment.encode() + b" "
        # A full disk must not fail a deployment whose scripts do well; the tail is kept in memory.
        with suppress(OSError):
            self._file.write(b"".join(prefix + entry + b"\n" for entry in entries))
        if self._shared is not None:
            shared = f"[{moment}.{int(now % 1 * 1000):03}] [{self._deployment_id}]".encode()
            with suppress(OSError):
                self._shared.write(b"".join(shared + entry + b"\n" for entry in entries))
        lines = [_ANSI.sub("", entry.decode("utf-8", "replace")) for entry in entries]
        for line in lines:
            self._keep(line + "\n")
        self._said(lines)

    def tail(self) -> str:
        """The last entries, under 2,048 characters together."""
        return "".join(self._tail)

    def _keep(self, entry: str) -> None:
        # One line too long to keep would leave an empty tail in the official agent; its end is what tells.
        entry = entry[-(TAIL_CHARACTERS - 1) :]
        self._tail.append(entry)
        self._tail_characters += len(entry)
        while self._tail_characters >= TAIL_CHARACTERS:
            self._tail_characters -= len(self._tail.popleft())


def run_event(
    event: str,
    scripts: tuple[Script, ...],
    archive: Path,
    environment: Mapping[str, str],
    log: EventLog,
    observer: Observer,
    *,
    grace: float,
) -> None:
    """Run the scripts in order; the first failure raises `ScriptError` with the log's tail."""
    log.add([f"LifecycleEvent - {event}".encode()])
    for script in scripts:
        log.add([f"Script - {script.location}".encode()])
        _Run(script, _script_path(script, archive, log), environment, log, grace).run(observer)


def environment_of(specification: Specification, event: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """The variables a script sees (agent.md 5.4), without the agent's own secrets, with the deployment's parameters."""
    variables = {name: value for name, value in inherited.items() if not _SECRET.fullmatch(name)}
    variables |= specification.parameters
    variables.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    variables |= {
        "LIFECYCLE_EVENT": event,
        "DEPLOYMENT_ID": specification.deployment_id,
        "APPLICATION_NAME": specification.application,
        "DEPLOYMENT_GROUP_NAME": specification.group_name,
        "DEPLOYMENT_GROUP_ID": specification.group_id,
    }
    revision = specification.revision
    if revision.kind == "S3":
        bundle = {
            "BUNDLE_BUCKET": revision.bucket,
            "BUNDLE_KEY": revision.key,
            "BUNDLE_VERSION": revision.version,
            "BUNDLE_ETAG": revision.etag,
        }
        variables |= {name: value for name, value in bundle.items() if value is not None}
    elif revision.commit:
        variables["BUNDLE_COMMIT"] = revision.commit
    return {name: value for name, value in variables.items() if "\0" not in value}


def _script_path(script: Script, archive: Path, log: EventLog) -> Path:
    """The script in the archive, executable (agent.md 5.1, 5.2)."""
    path = archive / script.location.lstrip("/")
    real, root = os.path.realpath(path), os.path.realpath(archive)
    if not real.startswith(root + "/"):
        raise ScriptError(
            f"the script {script.location} lies outside the revision; put it into the bundle",
            code=Code.SCRIPT_MISSING, script=script.location, log=log.tail(),
        )  # fmt: skip
    if not path.is_file():
        raise ScriptError(
            f"the script {script.location} is not in the revision (looked for {path})",
            code=Code.SCRIPT_MISSING, script=script.location, log=log.tail(),
        )  # fmt: skip
    mode = path.stat().st_mode
    if not mode & 0o111:
        try:
            path.chmod(mode & 0o777 | 0o111)
        except OSError as error:
            raise ScriptError(
                f"the script {path} is not executable and cannot be made so: {error.strerror}",
                code=Code.SCRIPT_NOT_EXECUTABLE, script=script.location, log=log.tail(),
            ) from None  # fmt: skip
    return path


class _Run:
    """One script from its start to the end of its process and its output, or to its deadline."""

    def __init__(self, script: Script, path: Path, environment: Mapping[str, str], log: EventLog, grace: float) -> None:
        self._script = script
        self._path = path
        self._environment = environment
        self._log = log
        self._grace = grace
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
            command = (
                ["sudo", "-n", "-u", user, "--", *command] if self._script.sudo else ["su", user, "-c", command[0]]
            )
        elif self._script.sudo:
            command = ["sudo", "-n", "--", *command]
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
        environment |= {"HOME": account.pw_dir, "USER": user, "LOGNAME": user}
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
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            for key, _ in selector.select(min(left, 3600)):
                if key.data == "exit":
                    process.wait(timeout=60)
                    selector.unregister(key.fileobj)
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
            held = [str(key.data).upper() for key in selector.get_map().values()]
            holders = _holders([key.fd for key in selector.get_map().values()])
            self._flush()
            raise self._failure(
                f"ended, but after {self._script.timeout} seconds its {' and '.join(held)} was still open, "
                f"held by {holders}. Start background processes with their output redirected "
                "(for example > /dev/null 2>&1).",
                Code.OUTPUT_LEFT_OPEN,
            )
        for sign, wait in ((signal.SIGTERM, self._grace), (signal.SIGKILL, 2.0)):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, sign)
            until = time.monotonic() + wait
            while process.poll() is None and time.monotonic() < until:
                if self._read_until(process, selector, min(until, time.monotonic() + 0.25)):
                    break
        # What the group left behind of itself after its leader obeyed SIGTERM goes too.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        self._flush()
        raise self._failure(f"did not end within its timeout of {self._script.timeout} seconds", Code.SCRIPT_TIMED_OUT)

    def _how_it_ended(self, status: int) -> str:
        if status > 0:
            return f"failed with exit code {status}"
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


def _shared_log(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        if path.stat().st_size >= LOG_BYTES:
            for number in range(LOG_FILES - 2, -1, -1):
                older = path.with_name(f"{path.name}.{number}")
                with suppress(FileNotFoundError):
                    older.rename(path.with_name(f"{path.name}.{number + 1}"))
            path.rename(path.with_name(f"{path.name}.0"))
    return path.open("ab", buffering=0)
