"""What is wrong between a host's AppSpec and the files beside it: all that can be known without the host."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from longshore.agent import install_plan
from longshore.agent.errors import InstallError
from longshore.agent.permissions import matches
from longshore.appspec.problems import Problem
from longshore.appspec.server import DEFAULT_TIMEOUT, Permission, Script, ServerAppSpec

#: Events in which a host's scripts run (lambda_ecs_appspec.md A73).
_SCRIPTED = (
    *("BeforeBlockTraffic", "AfterBlockTraffic", "ApplicationStop", "BeforeInstall", "AfterInstall"),
    *("ApplicationStart", "ValidateService", "BeforeAllowTraffic", "AfterAllowTraffic"),
)
#: Events that belong to the agent or the load balancer.
_UNSCRIPTED = ("Start", "DownloadBundle", "Install", "BlockTraffic", "AllowTraffic", "End")
#: Seconds all scripts of one event may take together (A71).
_EVENT_SECONDS = 3600


def about_name(name: str, root: Path) -> Iterator[Problem]:
    """What is to be said of the AppSpec's own name (A32, A33)."""
    if name == "appspec.yml" and (root / "appspec.yaml").is_file():
        yield Problem(
            what="stands beside appspec.yaml, which counts nowhere here; the official agent may install by that one, "
            "and run the scripts of this",
            remedy="Remove one of them.",
            is_warning=True,
        )
    if name != "appspec.yml":
        yield Problem(
            what=f"the AppSpec is named {name}: `aws deploy push` takes appspec.yml only, and the official agent finds "
            "another name in Install, not in hooks",
            remedy="Rename it to appspec.yml, unless this server and agent deploy it.",
            is_warning=True,
        )


def problems(spec: ServerAppSpec, root: Path) -> Iterator[Problem]:
    """Everything, in no order."""
    rehearsal = install_plan.rehearse(spec, root)
    for place, why in rehearsal.refused:
        yield Problem(
            what=f"cannot be installed: {why}", remedy="", key=f"files[{place}]", line=spec.files[place].line or None
        )
    yield from without_files(spec)
    for event, scripts in spec.hooks.items():
        for place, script in enumerate(scripts):
            yield from _script(script, root, f"hooks.{event}[{place}]", is_linux=spec.os == "linux")
    # A mapping that could not be planned leaves its files out; then "applies to nothing" could be untrue.
    yield from _permissions(spec, rehearsal, tells_unused=not rehearsal.refused)
    yield from _odd_files(root)
    if (root / "__MACOSX").exists():
        yield Problem(
            what="holds __MACOSX, which the Finder adds and which has failed deployments",
            remedy="Make the archive with zip(1) or tar(1).",
            is_warning=True,
        )


def without_files(spec: ServerAppSpec) -> Iterator[Problem]:
    """What is surely not meant, whatever the files of the revision are."""
    for place, mapping in enumerate(spec.files):
        if spec.os == "linux" and not mapping.destination.startswith("/"):
            yield Problem(
                what=f"is {mapping.destination!r}, which is not absolute: it depends on where the agent was started",
                remedy="Begin it with a slash.",
                key=f"files[{place}].destination",
                line=mapping.line or None,
                is_warning=True,
            )
    for event, scripts in spec.hooks.items():
        if not scripts:
            continue
        line = scripts[0].line or None
        if event not in _SCRIPTED:
            known = ", ".join(_SCRIPTED)
            what = "is an event in which no script runs" if event in _UNSCRIPTED else "is no lifecycle event of a host"
            yield Problem(
                what=f"{what}; its scripts are ignored",
                remedy=f"Use one of: {known}.",
                key=f"hooks.{event}",
                line=line,
                is_warning=True,
            )
        # Hardly anybody who leaves the default means it: two scripts without a timeout are no reason to warn.
        total = sum(script.timeout for script in scripts if script.timeout != DEFAULT_TIMEOUT)
        if total > _EVENT_SECONDS:
            yield Problem(
                what=f"gives scripts {total} seconds together, and the event ends after {_EVENT_SECONDS}",
                remedy="Give each a timeout, so that they add up to less.",
                key=f"hooks.{event}",
                line=line,
                is_warning=True,
            )
        for place, script in enumerate(scripts):
            if script.runas and spec.os != "linux":
                yield Problem(
                    what=f"is {script.runas!r}; Windows has no runas",
                    remedy="Remove it.",
                    key=f"hooks.{event}[{place}].runas",
                    line=script.line or None,
                )


def _script(script: Script, root: Path, key: str, *, is_linux: bool) -> Iterator[Problem]:
    def problem(what: str, remedy: str, *, is_warning: bool = False) -> Problem:
        return Problem(what=what, remedy=remedy, key=f"{key}.location", line=script.line or None, is_warning=is_warning)

    path = root / script.location.replace("\\", "/" if not is_linux else "\\").lstrip("/")
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        yield problem(f"is {script.location!r}, outside the revision", "Put the script into the bundle.")
    elif not path.exists():
        yield problem(
            f"is {script.location!r}, which is not in the revision",
            "Paths are relative to the directory of the AppSpec file, and upper and lower case count.",
        )
    elif not path.is_file():
        yield problem(f"is {script.location!r}, which is no file", "Name the script itself.")
    elif is_linux:
        if not path.stat().st_mode & 0o111:
            yield problem(
                f"is {script.location!r}, which is not executable; the agent makes it so",
                f"Run chmod +x on it (in git: git update-index --chmod=+x {script.location}).",
                is_warning=True,
            )
        with path.open("rb") as file:
            first = file.readline(256)
        if first.startswith(b"#!") and first.endswith(b"\r\n"):
            yield problem(
                f"is {script.location!r}, whose first line has a Windows line ending: no host finds that interpreter",
                "Save the script with Unix line endings.",
            )


def _permissions(spec: ServerAppSpec, made: install_plan.Rehearsal, *, tells_unused: bool) -> Iterator[Problem]:
    claimed: dict[str, Permission] = {}
    for place, entry in enumerate(spec.permissions):
        key, line = f"permissions[{place}]", entry.line or None
        try:
            found = list(matches(entry, made.files, made.directories, lambda _: True))
        except InstallError as error:
            yield Problem(what=f"cannot be carried out: {error}", remedy="", key=key, line=line)
            continue
        if not found and tells_unused:
            yield Problem(
                what=f"applies to nothing that this revision installs (object {entry.object!r}, "
                f"pattern {entry.pattern!r}); what is on the host before is never touched",
                remedy="Correct the object or the pattern, or remove the entry.",
                key=key,
                line=line,
                is_warning=True,
            )
        others = Counter(claimed[path].line for path in found if path in claimed)
        for other, count in others.items():
            example = next(path for path in found if path in claimed and claimed[path].line == other)
            more = f" and {count - 1} more" if count > 1 else ""
            yield Problem(
                what=f"applies to {example}{more}, and so does the entry at line {other}: the Install fails",
                remedy="Exclude the path from one of them.",
                key=key,
                line=line,
            )
        claimed |= dict.fromkeys(found, entry)
        files = [path for path in found if path in made.files and not made.files[path]]
        if files and any(each.is_default for each in entry.acls or ()):
            yield Problem(
                what=f"has default entries, which are for directories, and applies to the file {files[0]}",
                remedy="Add 'type: [directory]', and give files an entry of their own.",
                key=f"{key}.acls",
                line=line,
            )


def _odd_files(root: Path) -> Iterator[Problem]:
    """What an agent refuses in an archive. What links lead to `aws deploy push` puts in their place."""
    real = os.path.realpath(root)
    for folder, directories, files in os.walk(root):
        for name in (*directories, *files):
            path = Path(folder, name)
            if path.is_symlink() and (
                path.readlink().is_absolute() or not Path(os.path.realpath(path)).is_relative_to(real)
            ):
                yield Problem(
                    what=f"holds {path.relative_to(root)}, a symbolic link that leads outside ({path.readlink()}); "
                    "agents refuse it in an archive",
                    remedy="Make such a link in a hook.",
                    is_warning=True,
                )
            elif not stat.S_ISREG(mode := path.lstat().st_mode) and not stat.S_ISDIR(mode) and not stat.S_ISLNK(mode):
                yield Problem(
                    what=f"holds {path.relative_to(root)}, a device, pipe or socket; agents refuse it in an archive",
                    remedy="Make it in a hook.",
                    is_warning=True,
                )
