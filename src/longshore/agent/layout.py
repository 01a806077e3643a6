"""Where things are under root_dir: the official agent's layout, so that either agent finds the other's state.

agent.md 2.4. Ours alone are `longshore-journal/`, `longshore-agent.lock`, `specification-signer` and
`deployment-instructions/<group>-switch.json`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

INSTRUCTIONS = "deployment-instructions"
DEPLOYMENT_LOGS = "deployment-logs"
JOURNAL = "longshore-journal"
SWITCH = "-switch.json"
#: Ends the name of a file until it is whole.
UNFINISHED = ".new"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The paths that concern the whole host."""

    root: Path
    tracking: str = "ongoing-deployment"

    @property
    def instructions(self) -> Path:
        """Install plans and cleanup files of every group."""
        return self.root / INSTRUCTIONS

    @property
    def ongoing(self) -> Path:
        """One file for each running deployment, as the official agent writes them."""
        return self.root / self.tracking

    @property
    def journal(self) -> Path:
        """What we need beyond the official tracking file."""
        return self.root / JOURNAL

    @property
    def deployment_logs(self) -> Path:
        """The log of every deployment's hooks."""
        return self.root / DEPLOYMENT_LOGS

    @property
    def lock(self) -> Path:
        """Locked by the agent that runs here; says which one that is, and how it fares (`presence.py`)."""
        return self.root / "longshore-agent.lock"

    @property
    def signer(self) -> Path:
        """The specification signer trusted on first use."""
        return self.root / "specification-signer"

    def reserved_names(self) -> frozenset[str]:
        """Names under the root that no deployment group may have."""
        return frozenset({INSTRUCTIONS, DEPLOYMENT_LOGS, JOURNAL, self.tracking})

    def deployment(self, group: str, deployment: str) -> DeploymentPaths:
        """The paths of one deployment."""
        return DeploymentPaths(root=self.root, group=group, deployment=deployment)


@dataclass(frozen=True, kw_only=True)
class DeploymentPaths:
    """The paths that concern one deployment and its group. Both ids are checked before they come here."""

    root: Path
    group: str
    deployment: str

    @property
    def group_directory(self) -> Path:
        """Every deployment of the group."""
        return self.root / self.group

    @property
    def directory(self) -> Path:
        """This deployment ("dep-dir" in agent.md)."""
        return self.group_directory / self.deployment

    @property
    def archive(self) -> Path:
        """The unpacked revision."""
        return self.directory / "deployment-archive"

    @property
    def archive_temp(self) -> Path:
        """Where the revision is unpacked before it is renamed into place."""
        return self.directory / "deployment-archive-temp"

    @property
    def bundle(self) -> Path:
        """The revision as downloaded; that name for every format."""
        return self.directory / "bundle.tar"

    @property
    def logs(self) -> Path:
        """Logs of this deployment's scripts."""
        return self.directory / "logs"

    @property
    def plan(self) -> Path:
        """The install plan, for people to read (agent.md 2.4.4)."""
        return self.root / INSTRUCTIONS / f"{self.group}-install.json"

    @property
    def cleanup(self) -> Path:
        """What the last Install created (agent.md 2.4.5)."""
        return self.root / INSTRUCTIONS / f"{self.group}-cleanup"

    @property
    def switch(self) -> Path:
        """The change of releases that is going on; gone when it is over. Ours alone."""
        return self.root / INSTRUCTIONS / f"{self.group}{SWITCH}"

    @property
    def last_successful(self) -> Path:
        """Names the deployment directory of the last successful Install."""
        return self.root / INSTRUCTIONS / f"{self.group}_last_successful_install"

    @property
    def most_recent(self) -> Path:
        """Names the deployment directory of the last DownloadBundle."""
        return self.root / INSTRUCTIONS / f"{self.group}_most_recent_install"


def write_atomically(path: Path, content: bytes, mode: int = 0o644, *, durable: bool = False) -> None:
    """Replace the file as a whole: a reader, or the next start after a kill, sees the old content or the new.

    With `durable`, the next start after a power cut does, too.
    """
    beside = f"{path}.{os.getpid()}{UNFINISHED}"
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        try:
            _write_all(descriptor, content)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(beside, path)  # noqa: PTH105 - the temporary name is text
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:
            # A write names no file, and whoever reads of a full disk wants to know which.
            error.filename = os.fspath(path)
        with suppress(OSError):
            os.unlink(beside)  # noqa: PTH108
        raise


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def pointed_to(pointer: Path) -> Path | None:
    """The directory a `_last_successful_install` or `_most_recent_install` file names; None when there is none."""
    try:
        named = pointer.read_text().removesuffix("\n")
    except (OSError, UnicodeDecodeError):
        return None
    return Path(named) if named else None
