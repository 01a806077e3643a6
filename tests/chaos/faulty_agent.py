"""The real agent, in which a worker dies, or an operation fails, at one step of one command.

A step is an operation that changes the file system below `FAULT_BASE`, counted in the worker from the command's start.
What to do is read from `order.json` there when the command begins, once: {"command", "step", "fault"}, where the fault
is "kill" (SIGKILL, after half of what was to be written), "kill agent" (the poller too) or the name of an errno. Just
before, the step's name and the disk as it is go to `seen.json`. Without an order the names of all steps go to
`steps-COMMAND.json`.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from longshore.agent.main import run
from longshore.agent.wire import HostCommand
from longshore.agent.worker import Worker

BASE = os.environ.get("FAULT_BASE", "/nowhere")
_CHANGES = {
    **{f"os.{name}": name for name in ("mkdir", "rename", "remove", "rmdir", "chmod", "chown", "link", "utime")},
    **{"os.symlink": "symlink", "os.setxattr": "setxattr", "os.removexattr": "removexattr"},
}
#: Audit events whose second argument is the path that is changed.
_SECOND = ("rename", "link", "symlink")


class Injector:
    """Counts steps, and strikes at one of them."""

    def __init__(self) -> None:
        self.is_counting = False
        self._order: dict[str, Any] | None = None
        self._steps: list[str] = []

    def begin(self, command: str) -> None:
        """A command was taken up."""
        self._steps = []
        self._order = None
        order = Path(BASE, "order.json")
        if order.exists():
            asked = json.loads(order.read_text())
            if asked["command"] == command:
                order.unlink()
                self._order = asked
        self.is_counting = True

    def end(self, command: str) -> None:
        """The command is over; one without an order leaves its steps."""
        self.is_counting = False
        if self._order is None:
            Path(BASE, f"steps-{command}.json").write_text(json.dumps(self._steps))

    def step(self, what: str, path: object, half: Callable[[], object] = lambda: None) -> None:
        """Something is about to be changed; `half` does half of it."""
        if not self.is_counting:
            return
        self.is_counting = False
        try:
            name = _named(path)
            if name is None:
                return
            self._steps.append(f"{what} {name}")
            if self._order is None or len(self._steps) != self._order["step"]:
                return
            seen = {"step": self._steps[-1], "disk": tree(Path(BASE, "disk"))}
            Path(BASE, "seen.new").write_text(json.dumps(seen))
            Path(BASE, "seen.new").rename(Path(BASE, "seen.json"))
            if self._order["fault"] in ("kill", "kill agent"):
                half()
                if self._order["fault"] == "kill agent":
                    os.kill(os.getppid(), signal.SIGKILL)
                os.kill(os.getpid(), signal.SIGKILL)
            number = getattr(errno, self._order["fault"])
            # As the kernel's callers have it: only what was given a path names one.
            raise OSError(number, os.strerror(number), *([] if isinstance(path, int) else [path]))
        finally:
            self.is_counting = True


def tree(root: Path) -> dict[str, str]:
    """Every file and link below a directory; directories of a release are known by what is in them."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(root))] = f"-> {path.readlink()}"
        elif path.is_file():
            found[str(path.relative_to(root))] = path.read_text()
    return found


def _named(path: object) -> str | None:
    """The path below the base, without what differs from one run to the next; None: it is elsewhere."""
    if isinstance(path, int):
        path = Path(f"/proc/self/fd/{path}").readlink()
    said = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
    if not said.startswith(BASE + "/") or said.startswith(f"{BASE}/log/"):
        return None
    said = said.removeprefix(BASE + "/").removeprefix("root/")
    return re.sub(r"\.\d+\.new$", ".new", re.sub(r"\bd-\w+", "d-N", said))


def _install() -> None:
    injector = Injector()

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            injector.step("open", arguments[0])
        elif (what := _CHANGES.get(event)) is not None:
            injector.step(what, arguments[1] if what in _SECOND else arguments[0])

    sys.addaudithook(audit)
    write, sendfile, fsync = os.write, os.sendfile, os.fsync

    def spied_write(descriptor: int, data: Any) -> int:
        injector.step("write", descriptor, lambda: write(descriptor, memoryview(data)[: len(data) // 2]))
        return write(descriptor, data)

    def spied_sendfile(into: int, out: int, offset: Any, count: int) -> int:
        injector.step("write", into, lambda: sendfile(into, out, offset, count // 2))
        return sendfile(into, out, offset, count)

    def spied_fsync(descriptor: int) -> None:
        injector.step("fsync", descriptor)
        fsync(descriptor)

    class SpiedFile(io.FileIO):
        def write(self, data: Any) -> int:
            injector.step("write", self.fileno(), lambda: write(self.fileno(), memoryview(data)[: len(data) // 2]))
            return super().write(data)

    opened = io.open

    def spied_open(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **named: Any) -> Any:
        if buffering == 0 and set(mode) & set("wa"):
            return SpiedFile(file, mode)
        return opened(file, mode, buffering, *rest, **named)

    os.write, os.sendfile, os.fsync, io.open = spied_write, spied_sendfile, spied_fsync, spied_open  # type: ignore[assignment]
    serve = Worker._serve

    def spied_serve(worker: Worker, command: HostCommand, tries: int) -> bool:
        injector.begin(command.name)
        try:
            return serve(worker, command, tries)
        finally:
            injector.end(command.name)

    Worker._serve = spied_serve  # type: ignore[method-assign]


if __name__ == "__main__":
    _install()
    sys.exit(run(sys.argv[1:]))
