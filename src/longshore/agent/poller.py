"""The agent's long-lived process: one parked poll, and the workers it hands commands to.

It never works on a deployment itself, so nothing in one can stop the polling. It waits for four things at once: the
poll's answer, a word or the end of a worker, a signal, the time of the next poll.
"""

from __future__ import annotations

import base64
import gc
import json
import os
import selectors
import signal
import socket
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import FrameType

from longshore.agent import backoff, installer
from longshore.agent.archive import from_tar  # noqa: F401 - most workers need it, and here it takes next to nothing
from longshore.agent.config import Config
from longshore.agent.errors import Code, InstallError, WireError
from longshore.agent.journal import Entry, Journal, Outcome, end_leftovers
from longshore.agent.layout import Layout
from longshore.agent.log import Log
from longshore.agent.presence import Presence
from longshore.agent.sources import s3  # noqa: F401 - as this one
from longshore.agent.wire import CommandClient, HostCommand, StaleConnectionError
from longshore.agent.worker import CHANNEL_BYTES, Worker, failure, message_to_worker

#: Deployments under way at once (agent.md 8.8).
MAX_DEPLOYMENTS = 16
#: Commands remembered after they ended, so that one delivered again is not run again.
REMEMBERED = 1000
#: Least time between two polls answered with nothing: a server that does not hold polls must not be hammered.
EMPTY_POLL_SECONDS = 1.0
#: How often a command is given to a new worker to be reported when workers keep dying.
MAX_REPORT_WORKERS = 3
#: Commands that come to the same end when they are begun again; a hook may have done half of what it does.
RESUMED = frozenset({"DownloadBundle", "Install"})
#: How often one is: what kills the agent each time must end as a failure.
MAX_RESUMED = 2
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


@dataclass(kw_only=True)
class _Task:
    """A command given to a worker."""

    command: HostCommand
    #: Known already: it is only to be reported.
    outcome: Outcome | None = None
    tries: int = 0


@dataclass(kw_only=True)
class _Child:
    """A worker, seen from here."""

    pid: int
    channel: socket.socket
    #: What it has not ended yet, the current one first.
    tasks: list[_Task] = field(default_factory=list)
    idle_since: float = 0.0


class Poller:
    """Polls, hands commands over, and sees to it that each ends."""

    def __init__(self, config: Config, layout: Layout, log: Log, *, host_lock: int) -> None:
        self._config = config
        self._layout = layout
        self._log = log
        self._host_lock = host_lock
        self._presence = Presence(host_lock)
        self._journal = Journal(layout)
        self._client = CommandClient(
            config.endpoint,
            config.identity,
            read_timeout=config.http_read_timeout,
            auth_policy=config.auth_policy,
            proxies=config.proxies,
            pin=config.pin,
        )
        self._client.stays_small = True
        self._selector = selectors.DefaultSelector()
        self._children: dict[str, _Child] = {}
        self._seen: OrderedDict[tuple[str, ...], bool] = OrderedDict()
        self._parked_since: float | None = None
        self._poll_socket: socket.socket | None = None
        self._next_poll = 0.0
        self._failures = 0
        self._stopping = False
        self._signals = 0

    def run(self) -> int:
        """Until a signal says stop; the exit code."""
        self._listen_to_signals()
        self._recover()
        self._log.info(f"agent.polls {self._config.endpoint} as {self._config.identity.host_identifier}")
        # What is loaded now is shared with every worker; not touching it keeps it shared.
        gc.collect()
        gc.freeze()
        while not self._stopping:
            now = time.monotonic()
            if self._may_poll(now):
                self._ask()
            self._wait(self._patience(time.monotonic()))
            self._check_parked_poll(time.monotonic())
            self._dismiss_idle(time.monotonic())
        return self._stop()

    # Waiting.

    def _listen_to_signals(self) -> None:
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._wake_pipe = (reading, writing)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in _STOP_SIGNALS:
            signal.signal(number, self._note_signal)
        self._selector.register(reading, selectors.EVENT_READ, None)

    def _note_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        self._stopping = True

    def _wait(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            if isinstance(key.data, str):
                self._hear(key.data)
            elif key.fileobj is self._poll_socket:
                self._take_answer()
            else:
                with suppress(BlockingIOError):
                    os.read(key.fd, 512)

    def _patience(self, now: float) -> float:
        """Seconds until something is due that no descriptor tells."""
        due = [now + 3600]
        if self._parked_since is not None:
            due.append(self._parked_since + self._config.http_read_timeout)
        elif self._busy() < MAX_DEPLOYMENTS:
            due.append(self._next_poll)
        due += [
            child.idle_since + self._config.worker_idle_seconds for child in self._children.values() if not child.tasks
        ]
        return max(0.0, min(due) - now)

    # Polling.

    def _busy(self) -> int:
        return sum(1 for child in self._children.values() if child.tasks)

    def _may_poll(self, now: float) -> bool:
        return self._parked_since is None and now >= self._next_poll and self._busy() < MAX_DEPLOYMENTS

    def _ask(self) -> None:
        try:
            self._poll_socket = self._client.ask_for_command()
        except WireError as error:
            self._poll_failed(error)
            return
        self._parked_since = time.monotonic()
        self._presence.asks()
        self._selector.register(self._poll_socket, selectors.EVENT_READ, None)

    def _unpark(self) -> float:
        """Stop waiting for the poll's answer; when the poll began."""
        assert self._poll_socket is not None
        assert self._parked_since is not None
        self._selector.unregister(self._poll_socket)
        began, self._parked_since, self._poll_socket = self._parked_since, None, None
        return began

    def _take_answer(self) -> None:
        began = self._unpark()
        try:
            command = self._client.take_command()
        except WireError as error:
            self._poll_failed(error)
            return
        if self._failures:
            self._log.info(f"poll.recovered after {self._failures} failures")
        self._failures = 0
        self._presence.heard()
        if command is None or not self._accept(command):
            self._next_poll = began + EMPTY_POLL_SECONDS

    def _check_parked_poll(self, now: float) -> None:
        if self._parked_since is not None and now >= self._parked_since + self._config.http_read_timeout:
            self._unpark()
            self._client.close()
            self._poll_failed(WireError("the control plane did not answer the poll in time"))

    def _poll_failed(self, error: WireError) -> None:
        now = time.monotonic()
        if self._client.correct_clock(error):
            self._log.warn(f"poll.clock_corrected this host's clock is off by {-self._client.clock_offset:.0f} seconds")
            self._next_poll = now
            return
        if isinstance(error, StaleConnectionError) and not self._failures:
            # A kept connection that the server had closed tells nothing yet.
            self._failures = 1
            self._next_poll = now
            return
        self._failures += 1
        wait = backoff.delay(self._failures, error)
        self._next_poll = now + wait
        self._presence.fails(str(error))
        self._log.warn(f"poll.failed try={self._failures} next in {wait:.1f}s: {error}")

    # Commands.

    def _accept(self, command: HostCommand) -> bool:
        """Hand the command to its deployment's worker, unless it was delivered before."""
        key = _key(command)
        if key in self._seen or (command.identifier,) in self._seen:
            self._log.warn(f"command.duplicate {command.name} of {command.deployment_id} ignored")
            return False
        self._log.info(f"command.received {command.name} deployment={command.deployment_id}")
        try:
            self._give(command.deployment_id, _Task(command=command))
        except OSError as error:
            # No process or descriptor to be had; not acknowledged, so the server offers it again.
            self._log.error(f"command.dropped {command.name}: cannot start a worker: {error.strerror}")
            self._forget(command)
            return False
        return True

    def _remember(self, command: HostCommand) -> None:
        self._seen[_key(command)] = True
        self._seen[(command.identifier,)] = True
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)

    def _forget(self, command: HostCommand) -> None:
        self._seen.pop(_key(command), None)
        self._seen.pop((command.identifier,), None)

    def _give(self, deployment_id: str, task: _Task) -> None:
        self._remember(task.command)
        child = self._children.get(deployment_id)
        if child is None:
            child = self._children[deployment_id] = self._fork(deployment_id)
        child.tasks.append(task)
        # A worker that just died is noticed by the end of its channel, its tasks with it.
        with suppress(OSError):
            child.channel.send(message_to_worker(task.command, task.outcome, task.tries))

    def _fork(self, deployment_id: str) -> _Child:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            # Held open here, it would hide from us that the poller closed it.
            ours.close()
            self._become_worker(theirs, deployment_id)
        theirs.close()
        self._selector.register(ours, selectors.EVENT_READ, deployment_id)
        return _Child(pid=pid, channel=ours, idle_since=time.monotonic())

    def _become_worker(self, channel: socket.socket, deployment_id: str) -> None:
        """The child's side of the fork; does not return."""
        code = 70
        try:
            signal.set_wakeup_fd(-1)
            # Handlers, not SIG_IGN: scripts would inherit that. The poller decides when a worker stops.
            for number in _STOP_SIGNALS:
                signal.signal(number, lambda *_: None)
            self._selector.close()
            # The lock would outlive a killed poller in us, and keep the next one from starting.
            for descriptor in (self._host_lock, *self._wake_pipe):
                os.close(descriptor)
            client = self._client.twin()
            self._client.close()
            for sibling in self._children.values():
                sibling.channel.close()
            name_process("longshore-work")
            log = self._log.bind(deployment=deployment_id)
            Worker(channel, client, self._config, self._layout, log).run()
            code = 0
        except BaseException:
            import traceback

            self._log.error(f"worker.crashed deployment={deployment_id}\n{traceback.format_exc()}")
        finally:
            os._exit(code)

    # Workers.

    def _hear(self, deployment_id: str) -> None:
        child = self._children[deployment_id]
        try:
            message = child.channel.recv(CHANNEL_BYTES)
        except OSError:
            message = b""
        if not message:
            self._bury(deployment_id)
            return
        said = json.loads(message)
        ended = next(task for task in child.tasks if task.command.identifier == said["ended"])
        child.tasks.remove(ended)
        if not said["begun"]:
            self._forget(ended.command)
        child.idle_since = time.monotonic()

    def _bury(self, deployment_id: str) -> None:
        """A worker is gone; if it died in a command, another worker resumes that command or reports that it failed."""
        child = self._children.pop(deployment_id)
        self._selector.unregister(child.channel)
        child.channel.close()
        _, status = os.waitpid(child.pid, 0)
        if not child.tasks:
            return
        how = os.waitstatus_to_exitcode(status)
        self._log.error(f"worker.died deployment={deployment_id} status={how}")
        current, *waiting = child.tasks
        if current.tries < MAX_RESUMED + MAX_REPORT_WORKERS:
            entry = self._journal.find(deployment_id)
            if entry is None or entry.identifier != current.command.identifier:
                entry = _entry(current.command)
            end_leftovers(entry)
            outcome = current.outcome or entry.outcome
            if outcome is None and not _is_resumed(entry, current.tries):
                outcome = _worker_died(current.command, how)
            if outcome is not None:
                self._note(entry, outcome)
            self._give(deployment_id, replace(current, outcome=outcome, tries=current.tries + 1))
        for task in waiting:
            self._give(deployment_id, task)

    def _note(self, entry: Entry, outcome: Outcome) -> None:
        """Keep an outcome until it is reported; a full disk must not end the agent, which can report it still."""
        try:
            self._journal.write(replace(entry, script=None, outcome=outcome))
        except OSError as error:
            self._log.error(f"journal.unwritten deployment={entry.deployment_id} {entry.name}: {error.strerror}")

    def _dismiss_idle(self, now: float) -> None:
        for deployment_id, child in list(self._children.items()):
            if not child.tasks and now >= child.idle_since + self._config.worker_idle_seconds:
                self._dismiss(deployment_id)

    def _dismiss(self, deployment_id: str) -> None:
        """Let an idle worker go. Only we decide that, so no command can be on its way to it."""
        child = self._children.pop(deployment_id)
        self._selector.unregister(child.channel)
        child.channel.close()
        if not _ended_within(child.pid, 5.0):
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)

    # Start and stop.

    def _recover(self) -> None:
        """End what the last run of the agent left (agent.md 8.6): report its outcome if it is known; begin what was not
        begun, and again what can be; the rest has failed."""
        try:
            installer.settle_all(self._layout)
        except (InstallError, OSError) as error:
            self._log.error(f"agent.unsettled a broken-off Install cannot be finished now: {error}")
        for entry in self._journal.left_over(time.time()):
            end_leftovers(entry)
            # The killed worker may have known more than our first look.
            found = self._journal.find(entry.deployment_id) or entry
            command = HostCommand(entry.identifier, entry.execution_id or entry.deployment_id, entry.name)
            if not found.begun or (found.outcome is None and _is_resumed(found, found.tries)):
                # Perhaps acknowledged, and then not offered again; a second acknowledgement tells whether it is ours.
                self._log.warn(f"agent.resumes deployment={entry.deployment_id} {entry.name}")
                self._give(entry.deployment_id, _Task(command=command, tries=found.tries + found.begun))
                continue
            outcome = found.outcome or failure(
                f"the agent was restarted while {entry.name or 'a command'} ran; what still ran of it was ended",
                code=Code.FAILED_AFTER_RESTART,
            )
            self._note(found, outcome)
            self._log.warn(f"agent.recovers deployment={entry.deployment_id} {entry.name} status={outcome.status}")
            self._give(entry.deployment_id, _Task(command=command, outcome=outcome))

    def _stop(self) -> int:
        """Take no more commands, wait for the running ones, leave nothing behind (agent.md 8.5).

        A second signal ends the wait.
        """
        self._log.info(f"agent.stops {self._busy()} deployments running")
        if self._parked_since is not None:
            self._unpark()
        self._client.close()
        deadline = time.monotonic() + self._config.kill_agent_max_wait_time_seconds
        while self._busy() and self._signals < 2 and (left := deadline - time.monotonic()) > 0:
            self._wait(min(left, 60))
        for deployment_id, child in list(self._children.items()):
            if child.tasks:
                self._end(deployment_id, child)
            else:
                self._dismiss(deployment_id)
        self._log.info("agent.stopped")
        return 0

    def _end(self, deployment_id: str, child: _Child) -> None:
        """The wait is over: end a command; the next start reports it from the journal."""
        self._log.error(
            f"agent.ends_command deployment={deployment_id} {child.tasks[0].command.name}: "
            + ("asked twice to stop" if self._signals > 1 else "waited long enough")
        )
        os.kill(child.pid, signal.SIGKILL)
        os.waitpid(child.pid, 0)
        entry = self._journal.find(deployment_id)
        if entry is not None:
            end_leftovers(entry)


def _key(command: HostCommand) -> tuple[str, ...]:
    """What a command is, whichever attempt at delivering it this is.

    The service's identifiers hold a JSON array whose second element names the position and the attempt
    (agent.md 1.2.9); any other identifier is opaque, and then a deployment has each event once.
    """
    with suppress(ValueError, TypeError, KeyError, IndexError):
        parts = json.loads(base64.b64decode(command.identifier, validate=True))[1]
        return (command.execution_id, command.name, str(parts["commandPosition"]))
    return (command.execution_id, command.name)


def _entry(command: HostCommand) -> Entry:
    return Entry(
        deployment_id=command.deployment_id,
        identifier=command.identifier,
        execution_id=command.execution_id,
        name=command.name,
    )


def _is_resumed(entry: Entry, tries: int) -> bool:
    """Whether a command that was broken off is begun again."""
    return entry.name in RESUMED and tries < MAX_RESUMED


def _worker_died(command: HostCommand, status: int) -> Outcome:
    how = f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"
    message = f"the agent's process for this deployment {how} while {command.name} ran; what still ran of it was ended"
    return failure(message, code=Code.FAILED_AFTER_RESTART)


def _ended_within(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def name_process(name: str) -> None:
    """What `ps -o comm` shows, so that people can tell poller and workers apart."""
    with suppress(OSError), open("/proc/self/comm", "w") as file:  # noqa: PTH123
        file.write(name)
