"""Install: plan, stage, switch (agent.md 4).

The last release stands until the next one lies whole beside it; then they change places. A kill or a full disk before
that moment leaves the host as it was; after it, the switch is finished by whoever comes next.
"""

from __future__ import annotations

import os
from pathlib import Path

from longshore.agent import group_lock, selinux, staging, switch
from longshore.agent.errors import InstallError
from longshore.agent.install_plan import plan
from longshore.agent.layout import SWITCH, DeploymentPaths, Layout, write_atomically
from longshore.appspec import ServerAppSpec


def install(appspec: ServerAppSpec, paths: DeploymentPaths, default_behavior: str) -> None:
    """Replace the group's last release by this deployment's archive."""
    paths.cleanup.parent.mkdir(parents=True, exist_ok=True)
    settle(paths)
    earlier = read_cleanup(paths.cleanup)
    made = plan(appspec, paths.archive, [line for line in earlier if line.startswith("/")], default_behavior)
    write_atomically(paths.plan, made.document())
    change = staging.stage(made, paths.cleanup, earlier, paths.directory)
    try:
        switch.write_down(change, paths)
    except OSError:
        paths.switch.unlink(missing_ok=True)
        rules = [line for line in change.cleanup if line.startswith(selinux.MARK)]
        staging.take_away(paths.cleanup, earlier, [staged for staged, _ in (*change.renames, *change.kept)], rules)
        raise
    switch.carry_out(change, paths, is_begun=False)


def settle(paths: DeploymentPaths) -> None:
    """Finish the switch that a killed Install of the group was in, or take away what it had staged."""
    if paths.switch.exists():
        change = switch.written_down(paths)
        if change is not None:
            try:
                return switch.carry_out(change, paths)
            except InstallError:
                # It cannot be finished on this host: the cleanup file names both releases, and the next Install
                # replaces them.
                pass
        paths.switch.unlink()
    lines = read_cleanup(paths.cleanup)
    if staged := staging.left_behind(lines):
        staging.take_away(paths.cleanup, [line for line in lines if line not in set(staged)], staged, [])
    return None


def settle_all(layout: Layout) -> None:
    """Finish every switch that a killed agent was in; where somebody is at work, it is theirs."""
    for path in layout.instructions.glob(f"*{SWITCH}"):
        paths = layout.deployment(path.name.removesuffix(SWITCH), "")
        with group_lock.if_free(paths.group_directory) as is_free:
            if is_free:
                settle(paths)


def read_cleanup(path: Path) -> list[str]:
    """The lines of a cleanup file, in creation order: absolute paths, and marked SELinux rules (agent.md 2.4.5).

    An unterminated last line is dropped (agent.md 4.1.2).
    """
    try:
        text = os.fsdecode(path.read_bytes())
    except FileNotFoundError:
        return []
    lines = text.split("\n")[:-1]
    # Relative paths would depend on who reads them; neither agent writes any.
    return [line for line in lines if line.startswith(("/", f"{selinux.MARK}/"))]


def find_appspec(archive: Path, named: str | None) -> Path:
    """The AppSpec file of an archive: the named one, else appspec.yml or appspec.yaml."""
    candidates = [archive / named] if named else [archive / "appspec.yml", archive / "appspec.yaml"]
    for path in candidates:
        if path.is_file():
            # What lies right in the archive, and is no link, need not be followed; it is asked for at every event.
            may_lead_out = path.is_symlink() or path.parent != archive
            if may_lead_out and not os.path.realpath(path).startswith(os.path.realpath(archive) + "/"):
                raise InstallError(f"the AppSpec file {path} is a symbolic link that leads outside the revision")
            return path
    wanted = named or "appspec.yml or appspec.yaml"
    raise InstallError(
        f"the revision has no AppSpec file: no {wanted} in {archive}. "
        "It must be at the root of the revision; a single directory around everything is allowed."
    )
