"""One deployment's process: takes its commands one by one, carries each out, and reports it, here and nowhere else.

A worker lives from its deployment's first command until the poller closes the channel. If it dies in a command, the
poller starts another one to report that; so whatever happens in here is an outcome, never an outage of the agent.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from longshore.agent import backoff, envelope, group_lock, specification
from longshore.agent.config import Config
from longshore.agent.errors import Code, CommandError, SpecificationError, WireError
from longshore.agent.executor import HOOK_EVENTS, Executor
from longshore.agent.journal import CommandJournal, Entry, Journal, Outcome, process
from longshore.agent.layout import Layout
from longshore.agent.live_log import LiveLog
from longshore.agent.log import Log, without_secrets
from longshore.agent.script import Observer
from longshore.agent.wire import CommandClient, HookLogClient, HostCommand

#: How long a completion is offered to a control plane that is away.
REPORT_SECONDS = 30 * 60.0
#: How often a completion that is refused is offered.
REPORT_REFUSALS = 4
#: How long the specification and the acknowledgement are tried: the server then offers the command again.
ANSWER_SECONDS = 5 * 60.0
#: How long nothing is said to a worker until it removes what its deployment has made superfluous.
TIDY_SECONDS = 2.0
#: A message longer than this is cut: it is for people.
MESSAGE_CHARACTERS = 2000
#: Largest message on the channel between poller and worker.
CHANNEL_BYTES = 64 * 1024

#: Events of which something is told while they run.
_TALKATIVE = HOOK_EVENTS | {"DownloadBundle"}

_T = TypeVar("_T")


class _Abandoned(Exception):  # noqa: N818 - not an error: the command was never begun
    """The command was not begun here; the server will offer it again."""


class Worker:
    """Carries out the commands that come over the channel."""

    def __init__(self, channel: socket.socket, client: CommandClient, config: Config, layout: Layout, log: Log) -> None:
        self._channel = channel
        self._client = client
        self._config = config
        self._layout = layout
        self._log = log
        self._journal = Journal(layout)
        self._process = process(os.getpid())
        self._pin = envelope.SignerPin(config.specification_signer, layout.signer)
        self._executor: Executor | None = None
        self._log_client: HookLogClient | None = None
        self._tells_live = True
        self._has_downloaded = False

    def run(self) -> None:
        """Serve until the poller closes the channel."""
        while message := self._next_message():
            asked = json.loads(message)
            command = HostCommand(*asked["command"])
            begun = True
            if asked["outcome"] is not None:
                self._report(command, Outcome(**asked["outcome"]))
            else:
                begun = self._serve(command, asked["tries"])
            # A poller that was killed meanwhile hears nothing; then this was our last command.
            with suppress(OSError):
                self._channel.send(json.dumps({"ended": command.identifier, "begun": begun}).encode())

    def _next_message(self) -> bytes:
        """What the poller says next; when it says nothing for a while, the deployment is over, and it is tidied up."""
        if self._has_downloaded:
            self._channel.settimeout(max(0.01, min(TIDY_SECONDS, self._config.worker_idle_seconds / 2)))
            try:
                return self._channel.recv(CHANNEL_BYTES)
            except TimeoutError:
                self._tidy()
            finally:
                self._channel.settimeout(None)
        return self._channel.recv(CHANNEL_BYTES)

    def _tidy(self) -> None:
        self._has_downloaded = False
        if self._executor is None:
            return
        try:
            with group_lock.if_free(self._executor.paths.group_directory) as is_free:
                # Whoever holds it will tidy up.
                if is_free:
                    self._executor.tidy()
        except OSError as error:
            self._log.warn(f"deployment.untidy old revisions cannot be removed: {error.strerror} ({error.filename})")

    def _serve(self, command: HostCommand, tries: int) -> bool:
        """One command from its specification to its report; False: not begun, it may be offered again."""
        try:
            outcome = self._outcome(command, tries)
        except _Abandoned as reason:
            self._log.warn(f"command.abandoned {command.name}: {reason}")
            return False
        if outcome is None:
            self._log.info(f"command.skipped {command.name}")
            return True
        self._report(command, outcome)
        return True

    def _outcome(self, command: HostCommand, tries: int) -> Outcome | None:
        """What the command came to; None: the control plane wants no report."""
        entry = Entry(
            deployment_id=command.deployment_id,
            identifier=command.identifier,
            execution_id=command.execution_id,
            name=command.name,
            worker=self._process,
            tries=tries,
        )
        journal = CommandJournal(self._journal, entry)
        try:
            executor = self._executor_for(command)
            is_noop = executor.is_noop(command.name)
            # A no-op changes nothing here; only its unsent report could be lost, and that is noted below.
            if not is_noop:
                journal.announce()
            answer = self._patiently(lambda: self._client.acknowledge(command, is_noop=is_noop))
        except CommandError as error:
            # The official agent, too, reports what fails before the acknowledgement (agent.md 1.4.8).
            return self._failed(command, error)
        except OSError as error:
            # Nothing has begun: better not to, than to be killed in it and not to know.
            where = error.filename or f"the journal in {self._journal.directory}"
            return self._failed(command, CommandError(f"{command.name} cannot begin: {where}: {error.strerror}"))
        if answer in ("Succeeded", "Failed"):
            self._journal.forget(command.deployment_id)
        if answer == "Succeeded":
            return None
        if answer == "Failed":
            done = Outcome(status="Succeeded", message="Succeeded: CompletedNoopCommand")
            return done if is_noop else None
        outcome = self._execute(executor, command, journal, is_noop=is_noop)
        try:
            journal.finished(outcome)
        except OSError as error:
            # The report matters more. Only if we are killed before it is sent, it will be a failure.
            self._log.error(f"journal.unwritten {command.name}: {error.strerror}")
        return outcome

    def _execute(self, executor: Executor, command: HostCommand, journal: CommandJournal, *, is_noop: bool) -> Outcome:
        self._log.info(f"command.started {command.name}")
        self._has_downloaded = self._has_downloaded or command.name == "DownloadBundle"
        try:
            if not is_noop:
                journal.begin()
            with (
                group_lock.held(executor.paths.group_directory, self._log.info),
                self._live(command, is_noop=is_noop) as said,
            ):
                observer = Observer(started=journal.script_started, ended=journal.script_ended, said=said)
                tail = executor.execute(command.name, observer, os.environ)
        except CommandError as error:
            return self._failed(command, error)
        except OSError as error:
            where = error.filename or self._layout.root
            return self._failed(command, CommandError(f"{command.name} failed: {where}: {error.strerror}"))
        except Exception as error:
            # A bug of ours: the deployment must still end, and the log must tell where.
            import traceback  # a bug is rare, and this is not small

            self._log.error(f"command.crashed {command.name}\n{traceback.format_exc()}")
            return self._failed(command, CommandError(f"the agent failed in {command.name}: {error!r}"))
        return Outcome(status="Succeeded", log=tail)

    @contextmanager
    def _live(self, command: HostCommand, *, is_noop: bool) -> Iterator[Callable[[list[str]], None]]:
        """Whom to give what the command's scripts say, or its download: it is told the control plane as it comes."""
        if is_noop or command.name not in _TALKATIVE or not self._tells_live:
            yield lambda _lines: None
            return
        client = self._log_client or self._client.for_hook_logs()
        live = LiveLog(lambda *told: client.put_hook_log(command.identifier, *told))
        try:
            yield live.add
        finally:
            if lost := live.close():
                self._log.info(f"command.log_lost {command.name}: {lost} lines were not told the control plane")
            # One that still sends keeps its connection to itself.
            self._log_client = client if live.is_done else None
            self._tells_live = not live.is_refused

    def _executor_for(self, command: HostCommand) -> Executor:
        if self._executor is None:
            answer = self._patiently(lambda: self._client.specification(command))
            values = envelope.open_envelope(answer, self._pin)
            read = specification.read(values, expected_id=command.deployment_id, layout=self._layout)
            self._executor = Executor(
                self._config, self._layout, read, lambda how_far: self._log.info(f"download.progress {how_far}")
            )
        return self._executor

    def _patiently(self, call: Callable[[], _T]) -> _T:
        """The call's answer, however often it takes within five minutes; a refusal is the command's failure."""
        give_up_at = time.monotonic() + ANSWER_SECONDS
        failures = 0
        while True:
            try:
                return call()
            except WireError as error:
                if not error.is_transient:
                    raise SpecificationError(str(error)) from None
                failures += 1
                wait = backoff.delay(failures, error)
                if time.monotonic() + wait > give_up_at:
                    raise _Abandoned(str(error)) from None
                time.sleep(wait)

    def _report(self, command: HostCommand, outcome: Outcome) -> None:
        """Tell the control plane, once; every completion of this agent is sent from here."""
        give_up_at = time.monotonic() + REPORT_SECONDS
        failures = refusals = 0
        while True:
            try:
                self._client.complete(command.identifier, status=outcome.status, diagnostics=outcome.diagnostics())
                break
            except WireError as error:
                failures += 1
                refusals += not error.is_transient
                self._log.warn(f"command.report_failed {command.name} try={failures}: {error}")
                if refusals >= REPORT_REFUSALS:
                    self._log.error(f"command.report_refused {command.name}: dropped")
                    break
                wait = backoff.delay(failures, error if error.is_transient else None)
                if time.monotonic() + wait > give_up_at:
                    # It stays in the journal: the agent's next start offers it again.
                    self._log.error(f"command.report_given_up {command.name}: {error}")
                    return
                time.sleep(wait)
        self._journal.forget(command.deployment_id)
        self._log.info(f"command.ended {command.name} status={outcome.status} code={outcome.error_code}")

    def _failed(self, command: HostCommand, error: CommandError) -> Outcome:
        message = without_secrets(str(error))
        self._log.error(f"command.failed {command.name} code={int(error.code)}: {message}")
        return failure(message, code=error.code, script=error.script, log=error.log)


def failure(message: str, *, code: Code, script: str = "", log: str = "") -> Outcome:
    """The outcome of a command that failed."""
    cut = message if len(message) <= MESSAGE_CHARACTERS else message[: MESSAGE_CHARACTERS - 1] + "…"
    return Outcome(status="Failed", error_code=int(code), script_name=script, message=cut, log=log)


def message_to_worker(command: HostCommand, outcome: Outcome | None, tries: int) -> bytes:
    """A command to carry out, begun `tries` times before, or, with its outcome, only to report."""
    body: dict[str, Any] = {"command": list(command), "outcome": None, "tries": tries}
    if outcome is not None:
        body["outcome"] = {"status": outcome.status, **outcome.diagnostics()}
    return json.dumps(body).encode()
