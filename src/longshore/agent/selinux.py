"""SELinux contexts on files: what `context` in the AppSpec comes to (agent.md 4.4.13).

Two things are done. A rule in the host's policy (`semanage fcontext`), so that a relabelling of the host keeps the
label; and the label itself, which a staged file already carries when it is renamed into place. The official agent
relabels afterwards. Rules are registered in one `semanage import`: each call by itself takes a second or more.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from longshore.agent.errors import InstallError
from longshore.appspec import Context

ATTRIBUTE = "security.selinux"
#: Begins a line of a cleanup file that names a rule (agent.md 2.4.5).
MARK = "semanage\0"
#: There only where the kernel has SELinux on.
_STATUS = Path("/sys/fs/selinux/enforce")
_SECONDS = 600.0


def is_enabled() -> bool:
    """Whether this host's kernel labels files."""
    return _STATUS.exists()


def label(place: str, context: Context) -> None:
    """Label a file or directory of ours, with what the context leaves out as it was; raises `OSError`."""
    try:
        said = os.fsdecode(os.getxattr(place, ATTRIBUTE, follow_symlinks=False)).rstrip("\0")
    except OSError:
        said = ""
    user, role, _, range_ = (said.split(":", 3) + [""] * 4)[:4]
    parts = (context.user or user or "system_u", role or "object_r", context.type, context.range or range_ or "s0")
    os.setxattr(place, ATTRIBUTE, os.fsencode(":".join(parts)) + b"\0", follow_symlinks=False)


def rule(path: str) -> str:
    """How the policy, which has regular expressions, names the path; what a cleanup file's line says."""
    return re.sub(r"([\[\](){}^$*+?|\\])", r"\\\1", os.path.realpath(path))


def register(contexts: Iterable[tuple[str, Context]]) -> None:
    """Have the host's policy label these paths so; raises `InstallError`."""
    wanted = [(rule(path), context) for path, context in contexts]
    if not wanted:
        return
    there = _registered()
    _semanage("import", [_line("-m" if path in there else "-a", path, context) for path, context in wanted])


def forget(lines: Iterable[str]) -> None:
    """Take away the rules that lines of a cleanup file name. As with the official agent, a failure is none."""
    rules = [line.removeprefix(MARK) for line in lines]
    if not rules:
        return
    with suppress(InstallError):
        there = _registered()
        # One import carries them all out, or none: at a rule that is not there it would stop.
        _semanage("import", [f"fcontext -d {shlex.quote(each)}" for each in rules if each in there])


def _registered() -> frozenset[str]:
    """The rules that were added to the policy of this host."""
    words = [shlex.split(line) for line in _semanage("export").splitlines() if line.startswith("fcontext ")]
    return frozenset(each[-1] for each in words if each)


def _line(action: str, path: str, context: Context) -> str:
    words = ["fcontext", action, "-t", context.type]
    words += ["-s", context.user] if context.user else []
    words += ["-r", context.range] if context.range else []
    return shlex.join([*words, path])


def _semanage(what: str, lines: Sequence[str] = ()) -> str:
    """What semanage says; raises `InstallError` when it fails."""
    problem = ""
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and words of ours
            ["semanage", what],  # noqa: S607 - where it is differs between distributions
            input="".join(f"{line}\n" for line in lines),
            text=True,
            errors="surrogateescape",
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode:
            problem = f"it ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}"
    except FileNotFoundError:
        problem = "there is none on this host; install policycoreutils-python-utils"
    except subprocess.TimeoutExpired:
        problem = f"it took more than {_SECONDS:.0f} seconds"
    if problem:
        raise InstallError(f"cannot register SELinux contexts with semanage: {problem}")
    return done.stdout
