"""EC2 instances of tests: what to do so that none outlives its test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from longshore.onebox.machinery.host_view import HostView


def view_of(data_dir: Path, instance_id: str) -> HostView:
    """The host behind an instance, to look into."""
    return HostView(directory=below(data_dir) / instance_id, name=instance_id)


def below(data_dir: Path) -> Path:
    return data_dir / "onebox" / "ec2" / "instances"


@contextmanager
def ending(data_dir: Path) -> Iterator[None]:
    """End whatever instances run when the block is left; their server is stopped by then."""
    try:
        yield
    finally:
        for directory in below(data_dir).glob("*"):
            view_of(data_dir, directory.name).remove()


def running(data_dir: Path) -> Counter[str]:
    """How many hosts run for each instance, whatever anybody has written down; what started one ends just after it."""
    found: Counter[str] = Counter()
    for process in psutil.process_iter(["name", "cwd"]):
        where = Path(process.info["cwd"] or "/")
        if process.info["name"] == "unshare" and where.is_relative_to(below(data_dir)):
            found[where.name] += 1
    return found
