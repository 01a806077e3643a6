"""Carries out one command on this host (agent.md 2): which archive it concerns, whether it is a no-op, doing it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from longshore.agent import bundle, hooks, installer, retention
from longshore.agent.config import HostConfig
from longshore.agent.errors import CommandError, InstallError
from longshore.agent.event_log import EventLog
from longshore.agent.layout import DeploymentPaths, Layout, pointed_to
from longshore.agent.log import without_secrets
from longshore.agent.script import Observer
from longshore.agent.specification import Specification
from longshore.appspec import MAX_BYTES, AppSpecError, Script, ServerAppSpec, parse_server

#: Events of which each runs the hook of the same name (agent.md 2.1.1).
HOOK_EVENTS = frozenset(
    {"BeforeBlockTraffic", "AfterBlockTraffic", "ApplicationStop", "BeforeInstall", "AfterInstall", "ApplicationStart"}
    | {"BeforeAllowTraffic", "AfterAllowTraffic", "ValidateService"}
)
#: What a restart leaves out on a host that has the revision (docs/compatibility.md).
_INSTALLING = frozenset({"DownloadBundle", "BeforeInstall", "Install", "AfterInstall"})
_LAST_SUCCESSFUL = frozenset({"BeforeBlockTraffic", "AfterBlockTraffic", "ApplicationStop"})
#: The mapping when a blue/green deployment is rolled back (agent.md 2.3.3).
_ROLLBACK_MOST_RECENT = frozenset({"BeforeBlockTraffic", "AfterBlockTraffic"})
_ROLLBACK_LAST_SUCCESSFUL = frozenset({"ApplicationStop", "BeforeAllowTraffic", "AfterAllowTraffic"})


class Executor:
    """Carries out the commands of one deployment, one after the other."""

    def __init__(
        self, config: HostConfig, layout: Layout, specification: Specification, progress: Callable[[str], None]
    ) -> None:
        """`progress` is told in a sentence, now and then, how far a long download is."""
        self._config = config
        self._layout = layout
        self._progress = progress
        self._specification = specification
        self.paths = layout.deployment(specification.group_id, specification.deployment_id)
        #: `longshore local` may add events of its own.
        self._hook_events = HOOK_EVENTS | set(specification.possible_events or ()) - {"DownloadBundle", "Install"}
        self._parsed: tuple[bytes, ServerAppSpec] | None = None
        self._restartable: Path | None = None

    def is_noop(self, command: str) -> bool:
        """Whether the command would do nothing here (agent.md 2.2); reads the AppSpec, so it may raise."""
        if command in _INSTALLING and self._installed() is not None:
            return True
        if command in ("DownloadBundle", "Install"):
            return False
        return not self._scripts(command)

    def execute(self, command: str, observer: Observer, environ: Mapping[str, str]) -> str:
        """Do it; returns the tail of the scripts' log, raises `CommandError`.

        `observer` hears what scripts say, and how far a download is.
        """
        try:
            self.paths.directory.mkdir(parents=True, exist_ok=True)
            if command in _INSTALLING and self._installed() is not None:
                return ""
            if command == "DownloadBundle":
                self._download(observer)
            elif command == "Install":
                self._install()
            elif command in self._hook_events:
                return self._run_hook(command, observer, environ)
            else:
                raise CommandError(f"the command {command} is not supported by this agent")
        except OSError as error:
            raise CommandError(
                f"{command} failed: {error.strerror or error} ({error.filename or 'no path'})"
            ) from error
        return ""

    def tidy(self) -> None:
        """When nothing more is to be done for the deployment: remove the revisions that do not stay."""
        retention.tidy(self.paths, self._config.max_revisions, self._config.max_revisions_size)

    def _download(self, observer: Observer) -> None:
        def progress(how_far: str) -> None:
            self._progress(how_far)
            observer.said([f"Download - {without_secrets(how_far)}"])

        bundle.download(self._specification, self.paths, self._config, progress)

    def _install(self) -> None:
        appspec = self._appspec(self.paths.archive)
        if appspec.os != "linux":
            raise InstallError(f"the AppSpec file is for {appspec.os}; this host runs Linux. Write 'os: linux'.")
        self._check_events(appspec)
        installer.install(appspec, self.paths, self._specification.file_exists_behavior)

    def _check_events(self, appspec: ServerAppSpec) -> None:
        """Hook names against the deployment's events, when it lists them (agent.md 1.6.6)."""
        possible = self._specification.possible_events
        if possible is None:
            return
        if unknown := sorted(set(appspec.hooks) - set(possible)):
            raise InstallError(
                f"the AppSpec file has hooks for events this deployment does not have: {', '.join(unknown)}. "
                "Correct or remove them; longshore local runs events of your own that --events lists"
            )
        if missing := sorted(set(possible) - HOOK_EVENTS - {"DownloadBundle", "Install"} - set(appspec.hooks)):
            raise InstallError(f"the deployment lists events the AppSpec file has no hooks for: {', '.join(missing)}")

    def _run_hook(self, event: str, observer: Observer, environ: Mapping[str, str]) -> str:
        scripts = self._scripts(event)
        chosen = self._archive_for(event)
        if not scripts or chosen is None:
            return ""
        config = self._config
        shared = self._layout.deployment_logs / f"{config.program_name}-deployments.log"
        # Scripts of an earlier revision log here too: it is this deployment that runs them (agent.md 2.3.5).
        with EventLog(
            self.paths.logs,
            shared if config.enable_deployments_log else None,
            self._specification.deployment_id,
            observer.said,
        ) as log:
            variables = hooks.environment_of(self._specification, event, environ)
            hooks.run_event(event, scripts, chosen, variables, log, observer, grace=config.hook_grace_seconds)
            return log.tail()

    def _scripts(self, event: str) -> tuple[Script, ...]:
        if event not in self._hook_events:
            return ()
        chosen = self._archive_for(event)
        return self._appspec(chosen).hooks.get(event, ()) if chosen is not None else ()

    def _archive_for(self, event: str) -> Path | None:
        """The archive whose hooks an event runs; None: there is none yet (agent.md 2.3)."""
        if self.paths.archive.is_dir():
            return self.paths.archive
        if (installed := self._installed()) is not None:
            return installed
        pointer = self._pointer(event, self.paths)
        if pointer is None:
            return self.paths.archive
        return self._pointed_archive(pointer)

    def _pointed_archive(self, pointer: Path) -> Path | None:
        """The archive of the deployment that a file of ours names; None: there was none yet."""
        named = pointed_to(pointer)
        if named is None:
            return None
        # The file is ours, but it decides what runs as root: it may only name a deployment of this group.
        group = self.paths.group_directory
        if named.parent != group and os.path.realpath(named.parent) != os.path.realpath(group):
            raise CommandError(f"{pointer} names {named}, which is no deployment of this group; delete the file")
        return named / "deployment-archive"

    def _installed(self) -> Path | None:
        """In a restart, the archive of what is installed here; None: it has to be installed, as in any deployment.

        Installed is what the last successful Install brought, if it came in the very bundle that is to be restarted.
        """
        wanted = self._specification.bundle_sha256
        if self._specification.restarts is None or wanted is None or self.paths.archive.is_dir():
            return None
        if self._restartable is None:
            last = self._pointed_archive(self.paths.last_successful)
            if last is not None and last.is_dir() and bundle.has_sha256(last.with_name(self.paths.bundle.name), wanted):
                self._restartable = last
        return self._restartable

    def _pointer(self, event: str, paths: DeploymentPaths) -> Path | None:
        wanted = self._specification
        if wanted.creator == "codeDeployRollback" and wanted.deployment_type == "BLUE_GREEN":
            if event in _ROLLBACK_MOST_RECENT:
                return paths.most_recent
            return paths.last_successful if event in _ROLLBACK_LAST_SUCCESSFUL else None
        return paths.last_successful if event in _LAST_SUCCESSFUL else None

    def _appspec(self, chosen: Path) -> ServerAppSpec:
        path = installer.find_appspec(chosen, self._specification.appspec_filename)
        try:
            with path.open("rb") as file:
                text = file.read(MAX_BYTES + 1)
            # Most releases say what the last one said, and it is asked for at every event.
            if self._parsed is None or self._parsed[0] != text:
                self._parsed = (text, parse_server(text))
        except AppSpecError as error:
            raise InstallError(f"{error} ({path.name} of the revision in {chosen})") from None
        except OSError as error:
            raise InstallError(f"cannot read {path}: {error.strerror}") from None
        return self._parsed[1]
