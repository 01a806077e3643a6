"""What a line looks like when somebody tries to make it look like another."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator

import pytest
import structlog

from longshore.server import logs

FORGED = "web-1\n2026-11-26 [info] request operation=DeleteApplication\x1b[2K"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, hooks = root.handlers[:], root.level, (sys.excepthook, threading.excepthook)
    yield
    sys.excepthook, threading.excepthook = hooks
    root.handlers, root.level = handlers, level
    logging.captureWarnings(False)
    structlog.reset_defaults()


def told(capsys: pytest.CaptureFixture[str], form: logs.LogFormat) -> list[str]:
    logs.configure(form, logs.LogLevel.INFO)
    structlog.get_logger().info("request", resources=[FORGED], principal=FORGED)
    # As uvicorn would, whose own logger other tests of this process have led elsewhere.
    logging.getLogger("a.library").warning("%s asked", FORGED)
    return capsys.readouterr().err.splitlines()


def test_a_value_cannot_begin_a_line_of_its_own_or_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, logs.LogFormat.TEXT)
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    assert "web-1\\n2026" in lines[1]


def test_as_json_it_comes_back_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    ours, anothers = map(json.loads, told(capsys, logs.LogFormat.JSON))
    assert (ours["principal"], ours["resources"]) == (FORGED, [FORGED])
    assert anothers["event"] == f"{FORGED} asked"


def test_a_traceback_keeps_its_lines_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(logs.LogFormat.TEXT, logs.LogLevel.INFO)
    try:
        raise ValueError("bad\x1b[2Jname password=opensesame")
    except ValueError:
        structlog.get_logger().exception("request_failed")
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "opensesame" not in said
    assert "Traceback" in said
    assert len(said.splitlines()) > 3
