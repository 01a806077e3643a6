"""Ports for who listens later, or once more: nobody else comes by them meanwhile.

The kernel gives a port of its own choice to whoever asks for any, and to every connection. One of those that was free
a moment ago, or was a server's that is being started again, may be somebody else's by now; one from below them is not.
"""

from __future__ import annotations

import itertools
import os
import random
import socket
from contextlib import suppress

#: Below those that Linux gives away (net.ipv4.ip_local_port_range), and macOS.
_ALL = range(20_000, 32_000)
#: So many are one test process's alone.
_SHARE = 500


def _own() -> list[int]:
    first = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) * _SHARE % len(_ALL)
    # In an order of its own: somebody else may run the tests on this machine, too.
    return random.SystemRandom().sample(_ALL[first : first + _SHARE], _SHARE)


_ports = itertools.cycle(_own())


def kept(address: str = "127.0.0.1") -> int:
    """A port at which nobody listens, and that no other test is given for a long time."""
    for port in itertools.islice(_ports, _SHARE):
        with suppress(OSError), socket.create_server((address, port)):
            return port
    raise AssertionError(f"none of {_SHARE} ports is free at {address}")
