"""Makes the next release beside its place: everything that can fail, or take long, while the last release still stands.

What goes into a directory of the host is staged there, under a name of ours; a new directory as a whole tree, and so is
a directory that both releases have: its tree holds what is new in it, and shows the attributes it must get. So nothing
of the last release's attributes is handed down, and the switch is renames alone (`switch.py`). The cleanup file names
what is staged, for whoever finds it after a kill: our next Install, or the official agent's.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from longshore.agent import copying, selinux
from longshore.agent.errors import InstallError
from longshore.agent.install_plan import Copy, Mkdir, Plan
from longshore.agent.layout import write_atomically
from longshore.agent.permissions import Change, Semanage, apply
from longshore.agent.removing import remove_tree
from longshore.agent.switch import Switch

#: Ends the name that something is staged under.
SUFFIX = ".longshore-new"
_ESCAPED = re.compile(rb"\\([0-7]{3})")


@dataclass(kw_only=True)
class _Layout:
    """Where each thing is staged, and what is left for the switch."""

    #: Path in the release → path it is staged under, in the order they are made.
    places: dict[str, str] = field(default_factory=dict)
    #: Staged path → place: what the switch has to rename.
    renames: list[tuple[str, str]] = field(default_factory=list)
    #: Directories of the last release that this one has too → where their new content is staged.
    kept: dict[str, str] = field(default_factory=dict)
    #: Files that are renamed onto what is there.
    files: set[str] = field(default_factory=set)
    #: Nothing can be renamed into these from outside.
    mounts: frozenset[str] = frozenset()

    def put(self, path: str) -> None:
        """Choose where to stage what will be at the path."""
        place = self._beside(path)
        if self.stands(path):
            self.renames.append((place, path))
        self.places[path] = place

    def keep(self, path: str) -> None:
        """Let the directory stand: what is foreign in it stays."""
        place = self.kept[path] = self._beside(path)
        if os.path.realpath(path) not in self.mounts:
            self.places[path] = place

    def stands(self, path: str) -> bool:
        """Whether the path is in a directory that is there before the switch."""
        directory = path.rpartition("/")[0]
        return directory not in self.places or directory in self.kept

    def _beside(self, path: str) -> str:
        directory, _, name = path.rpartition("/")
        inside = self.places.get(directory)
        return f"{inside}/{name}" if inside is not None else _temporary(directory, name)

    def staged(self) -> list[str]:
        """The topmost of what is staged."""
        return [*(place for place, _ in self.renames), *self.kept.values()]


def stage(plan: Plan, cleanup: Path, earlier: list[str], deployment: Path) -> Switch:
    """Make everything new that the plan asks for; what is left to do.

    Raises:
        InstallError: something could not be made; nothing staged is left, and nothing else was touched.
    """
    layout = _lay_out(plan)
    contexts = [(step.path, step.context) for step in plan.instructions if isinstance(step, Semanage)]
    rules = [selinux.MARK + selinux.rule(path) for path, _ in contexts]
    write_cleanup(cleanup, [*earlier, *dict.fromkeys((*layout.places.values(), *layout.kept.values())), *rules])
    # Modes are given when files are made; that is one call less for each.
    mask = os.umask(0)
    try:
        for step in plan.instructions:
            _make(step, layout, mask)
        selinux.register(contexts)
    except (InstallError, OSError):
        take_away(cleanup, earlier, layout.staged(), rules)
        raise
    finally:
        os.umask(mask)
    onto = {path for path in plan.removals if path in layout.files and path not in plan.removed_directories}
    return Switch(
        deployment=os.fspath(deployment),
        removals=tuple(path for path in plan.removals if path not in onto and path not in layout.kept),
        kept=tuple((place, path) for path, place in layout.kept.items()),
        renames=tuple(layout.renames),
        unruled=tuple(line for line in earlier if line.startswith(selinux.MARK) and line not in set(rules)),
        cleanup=(*(path for step in plan.instructions if (path := _made_by(step)) is not None), *rules),
    )


def take_away(cleanup: Path, earlier: list[str], staged: list[str], rules: list[str]) -> None:
    """Remove what is staged; the host is as it was."""
    for place in staged:
        remove_tree(Path(place))
    selinux.forget(line for line in rules if line not in earlier)
    write_cleanup(cleanup, earlier)


def left_behind(lines: list[str]) -> list[str]:
    """Paths of a cleanup file that a killed Install had staged."""
    return [line for line in lines if f"{SUFFIX}/" in f"{line}/"]


def write_cleanup(cleanup: Path, lines: list[str]) -> None:
    """Replace the cleanup file (agent.md 2.4.5)."""
    write_atomically(cleanup, os.fsencode("".join(f"{line}\n" for line in lines)))


def _lay_out(plan: Plan) -> _Layout:
    layout = _Layout(mounts=_mounts())
    for step in plan.instructions:
        match step:
            case Mkdir(path):
                if layout.stands(path) and _is_directory(path):
                    layout.keep(path)
                else:
                    layout.put(path)
            case Copy(_, destination):
                layout.put(destination)
                layout.files.add(destination)
    return layout


def _make(step: Copy | Mkdir | Change, layout: _Layout, mask: int) -> None:
    match step:
        case Copy(source, destination):
            _try(copying.copy, source, layout.places[destination], what=f"cannot copy to {destination}")
        case Mkdir(path):
            place = layout.kept.get(path) or layout.places[path]
            _try(_mkdir, mask, place, what=f"cannot make the directory {path}")
        case _:
            apply(step, layout.kept.get(step.path) or layout.places[step.path])


def _mkdir(mask: int, place: str) -> None:
    # The kernel passes the mask over where the parent's access control list says what new directories get.
    os.umask(mask)
    try:
        os.mkdir(place)  # noqa: PTH102
    finally:
        os.umask(0)


def _try(make: object, argument: object, place: str, *, what: str) -> None:
    assert callable(make)
    try:
        try:
            make(argument, place)
        except FileExistsError:
            # Left by a killed Install whose cleanup file was lost; the name is ours alone.
            remove_tree(Path(place))
            make(argument, place)
    except OSError as error:
        raise InstallError(f"{what}: {error.strerror}") from None


def _made_by(step: Copy | Mkdir | Change) -> str | None:
    match step:
        case Copy(_, destination):
            return destination
        case Mkdir(path):
            return path
        case _:
            return None


def _mounts() -> frozenset[str]:
    """Where file systems are mounted on this host."""
    try:
        listed = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return frozenset()
    return frozenset(_unescaped(line.split(b" ")[4]) for line in listed)


def _unescaped(path: bytes) -> str:
    # The kernel writes what would end the field as three octal digits.
    return os.fsdecode(_ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), path))


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _temporary(directory: str, name: str) -> str:
    # Long names are cut to what a directory entry may hold; the start tells people what it is.
    kept = os.fsdecode(os.fsencode(name)[: 255 - len(SUFFIX) - 1])
    return f"{directory}/.{kept}{SUFFIX}"
