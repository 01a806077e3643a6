"""A connected socket to an endpoint: TLS if it speaks TLS, through a proxy if one stands in between."""

from __future__ import annotations

import socket
from functools import partial
from typing import cast

from longshore.agent.proxies import Proxy

CONNECT_TIMEOUT = 15.0


def connect(
    host: str,
    port: int,
    *,
    encrypted: bool,
    proxy: Proxy | None,
    pinned: str | None = None,
    stays_small: bool = False,
) -> socket.socket:
    """Connect within `CONNECT_TIMEOUT` seconds; raises OSError.

    With `pinned`, the SHA-256 of a certificate, a server that shows this one is trusted, and no other. `stays_small` as
    `tls.secured` has it.
    """
    opened = partial(_opened, host, port, proxy)
    if not encrypted:
        return opened()
    # Two megabytes, which a host whose control plane is reached without TLS is spared.
    from longshore.agent import tls

    return tls.secured(opened, _name(host), pinned, stays_small=stays_small)


def _opened(host: str, port: int, proxy: Proxy | None) -> socket.socket:
    if proxy:
        connection = _through(proxy, host, port)
    else:
        connection = socket.create_connection((cast("str", _name(host)), port), CONNECT_TIMEOUT)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _name(host: str) -> str | bytes:
    """The host's name as it goes to resolver and server."""
    # For text Python loads its tables of every alphabet, 400 kB that an idle agent is spared.
    return host.encode() if host.isascii() else host


def _through(proxy: Proxy, host: str, port: int) -> socket.socket:
    import http.client  # as are those without a proxy this one

    asked = http.client.HTTPConnection(proxy.host, proxy.port, timeout=CONNECT_TIMEOUT)
    asked.set_tunnel(host, port, headers=proxy.headers)
    try:
        asked.connect()
    except http.client.HTTPException as error:
        asked.close()
        raise OSError(f"{proxy!r} gave no usable answer ({error!r})") from None
    except OSError as error:
        asked.close()
        raise OSError(f"{proxy!r}: {error.strerror or error}") from None
    return asked.sock
