"""`longshore agent doctor`: what is wrong, in plain words, and the next step. It changes nothing.

What to look at stands in `doctor_host.py` and `doctor_network.py`, a function each; here they are put in order.
"""

from __future__ import annotations

import base64
import binascii
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from longshore.agent import doctor_host, doctor_network
from longshore.agent.command_line import config_file
from longshore.agent.config import DEFAULT_ON_PREMISES_FILE, Config
from longshore.agent.errors import ConfigError
from longshore.agent.finding import Finding, Result, failed, fine
from longshore.agent.layout import Layout
from longshore.agent.presence import look

_MARKS = {Result.OK: "ok     ", Result.WARNING: "warning", Result.FAILED: "FAILED "}


def examined(asked: Path | None) -> Iterator[Finding]:
    """Everything, what others depend on first."""
    try:
        file = config_file(asked)
    except ConfigError as error:
        yield failed("configuration", f"There is {error}.", "Then ask again.")
        return
    config, finding = doctor_host.configured(file)
    yield finding
    if config is None:
        return
    yield doctor_host.kept_secret(file)
    is_reached = True
    for finding in doctor_network.way(config, time.time()):
        is_reached &= finding.result is not Result.FAILED
        yield finding
    layout = Layout(root=config.root_dir, tracking=config.ongoing_deployment_tracking)
    if is_reached:
        yield from doctor_network.itself(config, _remembered(layout))
    yield doctor_host.room(layout.root)
    yield from doctor_host.tools()
    identifier = config.identity.host_identifier
    yield doctor_host.alone(identifier, DEFAULT_ON_PREMISES_FILE, doctor_host.running_commands())
    yield _agent(layout, config)


def _agent(layout: Layout, config: Config) -> Finding:
    try:
        return doctor_host.at_work(look(layout.lock))
    except PermissionError:
        return fine("agent", f"Only root and the agent's own user may see whether it runs on {config.root_dir}.")


def _remembered(layout: Layout) -> bytes | None:
    try:
        return base64.b64decode(layout.signer.read_bytes().strip(), validate=True)
    except (OSError, binascii.Error, ValueError):
        return None


def command(words: Any) -> int:
    """`longshore agent doctor`, its words parsed; the exit code."""
    found = []
    for finding in examined(words.config):
        found.append(finding)
        if words.output == "text":
            sys.stdout.write(f"{_MARKS[finding.result]}  {finding.said}\n")
            if finding.step:
                sys.stdout.write(f"         → {finding.step}\n")
            sys.stdout.flush()
    if words.output == "json":
        shown = [
            {"Check": one.check, "Result": one.result.value, "Said": one.said, "Next": one.step or None}
            for one in found
        ]
        sys.stdout.write(json.dumps({"Findings": shown}, indent=2, ensure_ascii=False) + "\n")
    return 1 if any(one.result is Result.FAILED for one in found) else 0
