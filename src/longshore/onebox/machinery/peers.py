"""Which process is at the other end of a connection on this machine, as far as hosts are concerned."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")


def is_of_host(peer: tuple[str, int], local: tuple[str, int], first_process: int) -> bool:
    """Whether a process of the host whose first one this is holds the other end of a TCP connection over loopback.

    The hosts of this machine share its network: an address says nothing about who calls.
    """
    inode = _inode(peer, local)
    if inode is None:
        return False
    wanted = f"socket:[{inode}]"
    return any(_holds(process, wanted) for process in inside(first_process))


def _inode(peer: tuple[str, int], local: tuple[str, int]) -> str | None:
    """The number of the socket at the other end, from the kernel's table of connections."""
    ends = (_as_kernel_has_it(peer), _as_kernel_has_it(local))
    with Path(_PROC, "net", "tcp").open() as table:
        next(table, None)
        for line in table:
            fields = line.split()
            if (fields[1], fields[2]) == ends:
                return fields[9]
    return None


def _as_kernel_has_it(address: tuple[str, int]) -> str:
    (number,) = struct.unpack("=I", socket.inet_aton(address[0]))
    return f"{number:08X}:{address[1]:04X}"


def inside(first_process: int) -> Iterator[Path]:
    """The processes of the host whose first one this is, itself too, each as its folder below /proc."""
    try:
        wanted = Path(_PROC, str(first_process), "ns", "pid").readlink()
    except OSError:
        return
    for process in _PROC.iterdir():
        if process.name.isdecimal():
            try:
                is_inside = (process / "ns" / "pid").readlink() == wanted
            except OSError:
                continue
            if is_inside:
                yield process


def _holds(process: Path, wanted: str) -> bool:
    try:
        return any(str(descriptor.readlink()) == wanted for descriptor in (process / "fd").iterdir())
    except OSError:
        return False
