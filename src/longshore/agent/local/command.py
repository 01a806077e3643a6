"""`longshore local`: reads the options, carries out each event, says how it went (agent.md 9.2, 9.3)."""

from __future__ import annotations

import os
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType

from longshore.agent import config as configuration
from longshore.agent import group_lock
from longshore.agent.config import HostConfig
from longshore.agent.errors import AgentError, CommandError
from longshore.agent.executor import Executor
from longshore.agent.layout import Layout
from longshore.agent.local import events
from longshore.agent.local.arguments import UsageError, parse
from longshore.agent.local.location import LocationError, revision_at
from longshore.agent.log import Log, without_secrets
from longshore.agent.script import Observer
from longshore.agent.specification import Specification, checked_appspec_filename

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class _Interrupted(BaseException):
    """Somebody wants us to stop."""


def run(argv: Sequence[str]) -> int:
    """The command line; the exit code is 0 when every event succeeded, else 1."""
    try:
        asked = parse(argv)
        config = _config(asked.agent_configuration_file)
        layout = Layout(root=config.root_dir, tracking=config.ongoing_deployment_tracking)
        order = events.in_order(asked.events)
        told = _specification(asked, config, layout)
        log = Log(_log_directory(config, layout), "codedeploy-local", verbose=config.verbose)
        with _stoppable():
            return _deploy(order, told, config, layout, log.bind(deployment=told.deployment_id))
    except SystemExit as ended:
        return int(ended.code or 0)
    except (UsageError, LocationError, events.EventsError, AgentError) as error:
        return _refused(str(error))
    except PermissionError as error:
        return _refused(
            f"{error.filename}: {error.strerror}. Run this as root, or name a configuration (-c) with your own root_dir"
        )
    except OSError as error:
        return _refused(f"{error.filename or 'the deployment'}: {error.strerror or error}")
    except _Interrupted as stopped:
        return _refused(f"stopped by {stopped}; what still ran was ended")


def _config(file: Path | None) -> HostConfig:
    if file is None:
        file = next((path for path in configuration.DEFAULT_FILES if path.exists()), None)
    config = configuration.load_host(file, os.environ)
    # Nobody presigns anything here.
    return replace(config, s3_own_credentials=True)


def _log_directory(config: HostConfig, layout: Layout) -> Path:
    directory = config.log_dir or layout.deployment_logs
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _specification(asked: Namespace, config: HostConfig, layout: Layout) -> Specification:
    if asked.deployment_group in layout.reserved_names():
        raise UsageError(f"--deployment-group cannot be {asked.deployment_group}: the agent keeps other things there")
    appspec = checked_appspec_filename(asked.appspec_filename)
    return Specification(
        deployment_id=f"d-{''.join(_ALPHABET[byte % len(_ALPHABET)] for byte in os.urandom(9))}-local",
        group_id=asked.deployment_group,
        group_name=asked.deployment_group_name,
        application=asked.application_name,
        revision=revision_at(
            asked.bundle_location,
            asked.type,
            appspec=appspec,
            github_api_url=config.github_api_url,
            token=os.environ.get("GITHUB_TOKEN") or None,
        ),
        appspec_filename=appspec,
        file_exists_behavior=asked.file_exists_behavior,
        possible_events=events.possible(asked.events),
    )


def _deploy(order: Sequence[str], told: Specification, config: HostConfig, layout: Layout, log: Log) -> int:
    def progress(how_far: str) -> None:
        log.info(f"download.progress {how_far}")
        _tell(how_far)

    executor = Executor(config, layout, told, progress)
    directory = executor.paths.directory
    directory.mkdir(parents=True, exist_ok=True)
    _say(f"Deployment {told.deployment_id} begins in {directory}")
    scripts = _Scripts(config.hook_grace_seconds)
    try:
        for event in order:
            _run(event, executor, scripts, log)
    except CommandError as error:
        message = without_secrets(str(error))
        log.error(f"command.failed code={int(error.code)}: {message}")
        if error.script:
            _say(f"The deployment failed in the script {error.script}")
        _refused(message)
        if error.log:
            sys.stderr.write(error.log)
        return 1
    except BaseException:
        scripts.end()
        raise
    finally:
        _say(f"What the scripts said is in {executor.paths.logs / 'scripts.log'}")
        with suppress(OSError), group_lock.if_free(executor.paths.group_directory) as is_free:
            if is_free:
                executor.tidy()
    _say(f"Deployment {told.deployment_id} succeeded")
    return 0


def _run(event: str, executor: Executor, scripts: _Scripts, log: Log) -> None:
    began = time.monotonic()

    def waits(why: str) -> None:
        log.info(why)
        _tell(why.partition(" ")[2])

    with group_lock.held(executor.paths.group_directory, waits):
        if executor.is_noop(event):
            return
        log.info(f"command.started {event}")
        executor.execute(event, scripts.observer, os.environ)
    log.info(f"command.ended {event}")
    _tell(f"{event:18} {time.monotonic() - began:.1f} s")


class _Scripts:
    """The process group of the script that runs, so that it does not outlive us."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._group = 0
        self.observer = Observer(started=self._started, ended=self._ended)

    def end(self) -> None:
        if self._group == 0:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._group, signal.SIGTERM)
            deadline = time.monotonic() + self._grace
            while time.monotonic() < deadline:
                with suppress(ChildProcessError):
                    os.waitpid(self._group, os.WNOHANG)
                os.killpg(self._group, 0)
                time.sleep(0.02)
            os.killpg(self._group, signal.SIGKILL)

    def _started(self, pid: int) -> None:
        self._group = pid

    def _ended(self) -> None:
        # An interruption passes here too, and the script still runs then.
        if not isinstance(sys.exception(), _Interrupted):
            self._group = 0


@contextmanager
def _stoppable() -> Iterator[None]:
    """Scripts have sessions of their own, so a Ctrl-C does not reach them: we are told, and end them."""

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise _Interrupted(signal.Signals(number).name)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, stop) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _tell(progress: str) -> None:
    # For people; standard output says what codedeploy-local says.
    sys.stderr.write(f"  {without_secrets(progress)}\n")


def _refused(message: str) -> int:
    # On standard output, where codedeploy-local says it.
    _say(f"ERROR: {message}")
    return 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
