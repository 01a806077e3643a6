"""`longshore agent status`: does it run, does it hear from its control plane, what does it deploy."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longshore.agent import config as configuration
from longshore.agent.command_line import config_file
from longshore.agent.config import Config
from longshore.agent.errors import AgentError
from longshore.agent.journal import Entry, Journal
from longshore.agent.layout import Layout, pointed_to
from longshore.agent.presence import FAILING, POLLING, Seen, look
from longshore.agent.version import VERSION

EXIT_AWAY = 1
EXIT_NOT_RUNNING = 3
_INSTALLED = "_last_successful_install"
_CAME = "_most_recent_install"


@dataclass(frozen=True, kw_only=True)
class Revision:
    """The last revision that came to this host for a deployment group."""

    group_id: str
    deployment_id: str
    #: Epoch seconds at which it came, or was installed.
    time: float
    #: Whether its Install was successful.
    is_installed: bool


@dataclass(frozen=True, kw_only=True)
class Status:
    """What there is to be told."""

    config: Path
    endpoint: str
    host_identifier: str
    agent: Seen | None
    running: list[Entry]
    last: list[Revision]

    @property
    def exit_code(self) -> int:
        if self.agent is None or not self.agent.is_alive:
            return EXIT_NOT_RUNNING
        return EXIT_AWAY if self.agent.state == FAILING else 0


def of(file: Path, config: Config) -> Status:
    """The status of the agent with this configuration; raises AgentError where it may not be seen."""
    layout = Layout(root=config.root_dir, tracking=config.ongoing_deployment_tracking)
    try:
        agent = look(layout.lock)
        running = _running(layout) if agent is not None and agent.is_alive else []
        last = _last(layout)
    except PermissionError as error:
        raise AgentError(f"cannot look at {error.filename}: only root and the agent's own user may") from None
    return Status(
        config=file,
        endpoint=config.endpoint,
        host_identifier=config.identity.host_identifier,
        agent=agent,
        running=running,
        last=last,
    )


def _running(layout: Layout) -> list[Entry]:
    journal = Journal(layout)
    with suppress(FileNotFoundError):
        names = sorted(path.name.removesuffix(".json") for path in layout.journal.iterdir() if path.suffix == ".json")
        return [entry for name in names if (entry := journal.find(name)) is not None]
    return []


def _last(layout: Layout) -> list[Revision]:
    """Of each group the revision that came last, newest first."""
    found = []
    with suppress(FileNotFoundError):
        for pointer in layout.instructions.iterdir():
            if pointer.name.endswith(_CAME) and (named := pointed_to(pointer)) is not None:
                group = pointer.name.removesuffix(_CAME)
                installed = pointer.with_name(group + _INSTALLED)
                is_installed = pointed_to(installed) == named
                changed = (installed if is_installed else pointer).stat().st_mtime
                found.append(
                    Revision(group_id=group, deployment_id=named.name, time=changed, is_installed=is_installed)
                )
    return sorted(found, key=lambda one: one.time, reverse=True)


def command(words: Any) -> int:
    """`longshore agent status`, its words parsed; the exit code."""
    file = config_file(words.config)
    status = of(file, configuration.load(file, os.environ))
    if words.output == "json":
        sys.stdout.write(json.dumps(as_json(status), indent=2) + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in as_text(status, time.time())))
    return status.exit_code


def as_json(status: Status) -> dict[str, Any]:
    """For a script; times are epoch seconds."""
    agent = status.agent
    is_running = agent is not None and agent.is_alive
    return {
        "Running": is_running,
        "Pid": agent.process.pid if agent is not None and is_running else None,
        "State": agent.state if agent is not None and is_running else "stopped",
        "Since": agent.since if agent is not None and is_running else None,
        "Reason": (agent.reason or None) if agent is not None and is_running else None,
        "LastAnswer": agent.heard if agent is not None else None,
        "Version": agent.version if agent is not None and is_running else None,
        "CommandVersion": VERSION,
        "Config": str(status.config),
        "Endpoint": status.endpoint,
        "HostIdentifier": status.host_identifier,
        "Deployments": [
            {"DeploymentId": entry.deployment_id, "LifecycleEvent": entry.name} for entry in status.running
        ],
        "LastRevisions": [
            {
                "DeploymentGroupId": one.group_id,
                "DeploymentId": one.deployment_id,
                "Time": one.time,
                "Installed": one.is_installed,
            }
            for one in status.last
        ],
    }


def as_text(status: Status, now: float) -> list[str]:
    """For people."""
    agent = status.agent
    if agent is None or not agent.is_alive:
        lines = ["The agent does not run. Start it (systemctl start longshore-agent), or see: longshore agent doctor"]
    else:
        other = "" if agent.version == VERSION else f" (this command is {VERSION}; restart the agent to run that)"
        lines = [f"The agent {agent.version} runs, process {agent.process.pid}{other}."]
        if agent.state == FAILING:
            lines.append(f"It has not reached its control plane for {_ago(now, agent.since)}: {agent.reason}")
        elif agent.state == POLLING and agent.heard is not None:
            lines.append(
                f"Its control plane answered {_ago(now, agent.heard)} ago; polls since {_moment(agent.since)}."
            )
        else:
            lines.append("Its poll waits at the control plane for the next command.")
    lines += [
        f"  configuration  {status.config}",
        f"  control plane  {status.endpoint}",
        f"  host           {status.host_identifier}",
    ]
    lines += [f"  deploys now    {entry.deployment_id}, {entry.name}" for entry in status.running]
    for one in status.last:
        how = "installed" if one.is_installed else "came, and was not installed,"
        lines.append(f"  last revision  {one.deployment_id} {how} {_moment(one.time)} (group {one.group_id})")
    return lines


def _ago(now: float, then: float) -> str:
    seconds = max(0, round(now - then))
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size} {name}"
    return f"{seconds} seconds"


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
