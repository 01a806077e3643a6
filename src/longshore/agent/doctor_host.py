"""Looks at this host: the agent's files, its room, the tools it may need, and who else is at its work."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from longshore.agent import config as configuration
from longshore.agent import config_file, selinux
from longshore.agent.config import Config
from longshore.agent.errors import AgentError
from longshore.agent.finding import Finding, failed, fine, warning
from longshore.agent.presence import FAILING, Seen

#: Less room than this is told, bytes: a revision stands there packed, unpacked, and beside the last one.
_LITTLE_ROOM = 1024**3
_OFFICIAL = "codedeploy-agent"


def configured(file: Path) -> tuple[Config | None, Finding]:
    """The configuration, if it can be used."""
    try:
        config = configuration.load(file, os.environ)
    except AgentError as error:
        return None, failed("configuration", f"{error}.", f"Put it right in {file}, then ask again.")
    if config.unknown_keys:
        keys = ", ".join(config.unknown_keys)
        step = "If one is mistyped, put it right and restart the agent; docs/agent.md has every key."
        return config, warning("configuration", f"{file} has keys that mean nothing: {keys}.", step)
    return config, fine("configuration", f"{file} can be used; it is of {config.identity.host_identifier}.")


def kept_secret(file: Path) -> Finding:
    """Whether only its owner can read a configuration that holds a key."""
    mode = stat.S_IMODE(file.stat().st_mode)
    settings = config_file.read(file)
    has_login = any(key.endswith("proxy_uri") and "@" in str(value) for key, value in settings.items())
    if mode & 0o077 and (has_login or settings.get("aws_secret_access_key")):
        said = f"{file} holds this host's key, and others may read it (mode {mode:04o})."
        return failed("secrets", said, f"chmod 600 {file}; if others are on this host, enroll it anew for a new key.")
    return fine("secrets", f"Nobody but its owner can read {file}, or it holds no key.")


def room(root: Path) -> Finding:
    """Whether there is a place for revisions, writable and with room."""
    trial = root / f".longshore-doctor-{os.getpid()}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with trial.open("xb") as file:
            file.write(b"\0" * 65536)
    except OSError as error:
        step = "Make room, or make the directory writable for the agent's user; another place is named by root_dir."
        return failed("root_dir", f"{root} cannot be written: {error.strerror}.", step)
    finally:
        with suppress(OSError):
            trial.unlink(missing_ok=True)
    system = os.statvfs(root)
    free = system.f_bavail * system.f_frsize
    if free < _LITTLE_ROOM or system.f_favail == 0 < system.f_files:
        step = "Make room, or keep fewer revisions: max_revisions, max_revisions_size."
        return warning("root_dir", f"{root} has {free // 1024**2} MiB left.", step)
    return fine("root_dir", f"{root} can be written, {free // 1024**3} GiB are left.")


def tools(path: str | None = None) -> Iterator[Finding]:
    """Programs of the host that some revisions need; looked for in `path`, as PATH has it."""
    if shutil.which("git", path=path) is None:
        said = "git is not installed: revisions from git hosts other than GitHub cannot be fetched."
        yield warning("git", said, "Install git if this host is to be deployed to from there.")
    else:
        yield fine("git", "git is installed.")
    if selinux.is_enabled() and shutil.which("semanage", path=path) is None:
        said = "SELinux is on and semanage is not installed: an AppSpec that sets contexts will fail."
        yield warning("selinux", said, "Install policycoreutils-python-utils.")


def alone(host_identifier: str, official: Path, commands: Iterable[tuple[int, str]]) -> Finding:
    """Whether no official agent takes this host's commands away; `official` is its on-premises file."""
    found = [process_id for process_id, words in commands if _is_official(words)]
    if not found:
        return fine("other agents", "No other agent is at work on this host.")
    identity = config_file.read(official).get("iam_user_arn") if official.exists() else None
    step = "Stop it for good: systemctl disable --now codedeploy-agent"
    if identity in (None, host_identifier):
        said = (
            f"The official agent runs too (process {found[0]}), as the same host: each takes commands from the other."
        )
        return failed("other agents", said, step)
    return warning("other agents", f"The official agent runs too (process {found[0]}), as {identity}.", step)


def _is_official(words: str) -> bool:
    """By the title that the Ruby agent gives itself, or by the program."""
    program = words.split(" ")[0].rsplit("/", 1)[-1]
    return program.removesuffix(":") == _OFFICIAL


def running_commands() -> Iterator[tuple[int, str]]:
    """Every process that can be seen, and its command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            yield int(entry.name), words


def at_work(agent: Seen | None) -> Finding:
    """Whether our own agent runs, and hears."""
    if agent is None or not agent.is_alive:
        step = "Start it: systemctl start longshore-agent, and see journalctl -u longshore-agent if it ends again."
        return failed("agent", "The agent does not run.", step)
    if agent.state == FAILING:
        return failed("agent", f"The agent runs, and its polls fail: {agent.reason}.", "What is wrong stands above.")
    return fine("agent", f"The agent runs (process {agent.process.pid}).")
