"""Where log lines go and what they look like: standard error, one line a fact, no secret in any of them.

Ours come from structlog, the libraries' from `logging`; both pass the same last steps.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable
from enum import StrEnum
from typing import IO, Any

from longshore.domain.redaction import without_secrets

# structlog takes Rich along where that is installed, for tracebacks that nobody asks it for here: 6 MB. It finds none
# while it is loaded, and this module is the first in a server to load it.
sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # importlib's way to say that there is no such module
import structlog  # noqa: E402

if sys.modules["rich"] is None:
    del sys.modules["rich"]

#: Libraries whose ordinary lines say something of this server; of all others only warnings do. At the level debug
#: botocore would log every signature it makes.
_TOLD = ("uvicorn", "longshore")


class LogFormat(StrEnum):
    """What a line looks like."""

    #: For eyes.
    TEXT = "text"
    #: One object a line, for a collector of logs.
    JSON = "json"


class LogLevel(StrEnum):
    """The least of what is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def configure(form: LogFormat | None, level: LogLevel) -> None:
    """Send all log lines of this process to standard error; without a form, text on a terminal, else JSON."""
    form = form or (LogFormat.TEXT if sys.stderr.isatty() else LogFormat.JSON)
    first: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
    ]
    last: list[Any] = [structlog.processors.format_exc_info, _redact]
    last += [structlog.processors.JSONRenderer()] if form is LogFormat.JSON else [_calm, _for_eyes()]
    out = _Stderr()
    structlog.configure(
        processors=[*first, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level.value),
        logger_factory=structlog.PrintLoggerFactory(out),  # type: ignore[arg-type]  # it writes and flushes, no more
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*first, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    wanted = logging.getLevelNamesMapping()[level.value.upper()]
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(wanted, logging.WARNING))
    for name in _TOLD:
        logging.getLogger(name).setLevel(wanted)
    # A role that is missing or does not trust us is a user's mistake: the deployment tells it, no stack is needed.
    logging.getLogger("botocore.credentials").setLevel(logging.ERROR)
    logging.captureWarnings(True)
    _log_what_nobody_caught()


def _redact(_logger: Any, _method: str, event: Any) -> Any:
    """The last step before a line is put together: nothing that was added before it escapes it."""
    return without_secrets(event)


def _calm(_logger: Any, _method: str, event: Any) -> Any:
    """Let no value move the cursor or begin a line of its own: some come from callers. JSON needs no such care."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            allowed = "\n\t" if name == "exception" else ""
            event[name] = "".join(
                each if each.isprintable() or each in allowed else each.encode("unicode_escape").decode()
                for each in value
            )
    return event


def _for_eyes() -> Callable[..., Any]:
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=20, sort_keys=False)


def _log_what_nobody_caught() -> None:
    log = structlog.get_logger()

    def of_process(kind: Any, error: BaseException, trace: Any) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        log.critical("crashed", exc_info=(kind, error, trace))

    def of_thread(crash: threading.ExceptHookArgs) -> None:
        if crash.exc_value is not None and not issubclass(crash.exc_type, SystemExit):
            exc_info = (crash.exc_type, crash.exc_value, crash.exc_traceback)
            log.critical("thread_crashed", thread=crash.thread and crash.thread.name, exc_info=exc_info)

    sys.excepthook = of_process
    threading.excepthook = of_thread


class _Stderr:
    """Standard error that takes what it can: a full disk or a closed pipe behind it must not fail a request."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            _stream().write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            _stream().flush()


def _stream() -> IO[str]:
    return sys.stderr
