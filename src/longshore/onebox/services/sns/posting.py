"""One HTTP request to a subscriber: to the address its URL names, once, following nothing."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

import urllib3

#: Seconds in which a subscriber must have answered.
_TIMEOUT = urllib3.Timeout(connect=5.0, read=15.0)
#: Bytes of an answer that are read and dropped.
_MOST_READ = 64 * 1024


class RefusedError(Exception):
    """It will not be taken there, however often it is tried."""


def post(url: str, headers: Mapping[str, str], body: str) -> None:
    """Post this; the answer's body is nobody's.

    Link-local addresses are never posted to: what answers there tells a machine its cloud's secrets.

    Raises:
        RefusedError: never.
        OSError, urllib3.exceptions.HTTPError: perhaps later.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    is_tls = parts.scheme == "https"
    port = parts.port or (443 if is_tls else 80)
    # The address is looked up here, so that what was checked is what is called.
    address = _address(host, port)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    all_headers = {**headers, "host": parts.netloc.rpartition("@")[2]}
    if parts.username is not None:
        all_headers |= urllib3.make_headers(basic_auth=f"{parts.username}:{parts.password or ''}")
    pool = (
        urllib3.HTTPSConnectionPool(address, port, server_hostname=host, assert_hostname=host, timeout=_TIMEOUT)
        if is_tls
        else urllib3.HTTPConnectionPool(address, port, timeout=_TIMEOUT)
    )
    with pool:
        answer = pool.urlopen(
            "POST",
            path,
            body=body.encode(),
            headers=all_headers,
            retries=False,
            redirect=False,
            preload_content=False,
            assert_same_host=False,
        )
        answer.read(_MOST_READ)
        status = answer.status
        answer.close()
    if 200 <= status < 300:
        return
    if 400 <= status < 500 and status not in (408, 429):
        raise RefusedError(f"the subscriber answers {status}")
    raise ConnectionError(f"the subscriber answers {status}")


def _address(host: str, port: int) -> str:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, where in found:
        address = ipaddress.ip_address(str(where[0]).partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None) or address
        if mapped.is_link_local or mapped.is_multicast or mapped.is_unspecified:
            raise RefusedError(f"{host} is at {address}, and nothing is posted to such an address")
    return str(found[0][4][0])
