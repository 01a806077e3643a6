"""TLS to whoever the host trusts."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

#: Where distributions keep the authorities they trust; an OpenSSL that the agent brought along looks elsewhere.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
#: The same as directories, in which OpenSSL looks for the one it needs by a hash of its name.
_DIRECTORIES = ("/etc/ssl/certs", "/etc/pki/ca-trust/extracted/pem/directory-hash")
_HASHED = re.compile(r"[0-9a-f]{8}\.0")


class PinnedCertificateError(ssl.SSLCertVerificationError):
    """The server shows another certificate than the one this host knows it by."""


def secured(
    opened: Callable[[], socket.socket], host: str | bytes, pinned: str | None, *, stays_small: bool = False
) -> ssl.SSLSocket:
    """TLS over a connection to `host`; raises OSError where its certificate is not to be trusted.

    With `pinned`, the SHA-256 of a certificate in hexadecimal, exactly this one is, whatever name and dates it bears.
    Else it is who the host trusts: `SSL_CERT_FILE` or `SSL_CERT_DIR` if they are set, and whom `AWS_SSL_CA_BUNDLE` and
    `AWS_SSL_CA_DIRECTORY` name besides (agent.md 1.1.8).

    `stays_small` is for a process of one thread that has nothing to do but to wait: it is spared the list of all whom
    the host trusts, at the price of a second connection.
    """
    if pinned is not None:
        return _shown(opened(), host, pinned)
    # A directory first: to read every authority there is takes 25 ms and two megabytes, for as long as the connection
    # lasts. But somebody may have added one to the whole list alone.
    if (directory := _directory()) is not None:
        with suppress(ssl.SSLCertVerificationError):
            return _vouched(opened(), host, ssl.create_default_context(capath=directory))
    if stays_small and (shown := _vouched_for(opened, host)) is not None:
        return _shown(opened(), host, shown)
    return _vouched(opened(), host, _with_all())


def _vouched_for(opened: Callable[[], socket.socket], host: str | bytes) -> str | None:
    """The SHA-256 of the certificate that a server shows now, if somebody vouches for it; a child reads who may."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            made = _vouched(opened(), host, _with_all())
            os.write(writing, hashlib.sha256(made.getpeercert(binary_form=True) or b"").digest())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as said:  # noqa: PTH123
        shown = said.read()
    os.waitpid(child, 0)
    return shown.hex() or None


def _vouched(connection: socket.socket, host: str | bytes, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Somebody in the context vouches for the certificate."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    bundle, directory = os.environ.get("AWS_SSL_CA_BUNDLE"), os.environ.get("AWS_SSL_CA_DIRECTORY")
    if bundle or directory:
        context.load_verify_locations(bundle, directory)
    return _wrapped(connection, host, context)


def _shown(connection: socket.socket, host: str | bytes, pinned: str) -> ssl.SSLSocket:
    """The server shows this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    made = _wrapped(connection, host, context)
    shown = hashlib.sha256(made.getpeercert(binary_form=True) or b"").hexdigest()
    if not hmac.compare_digest(shown, pinned.lower()):
        made.close()
        raise PinnedCertificateError(
            1, f"it shows the certificate with the SHA-256 {shown}, and this host knows it by {pinned}"
        )
    return made


def _wrapped(connection: socket.socket, host: str | bytes, context: ssl.SSLContext) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(connection, server_hostname=host)
    except BaseException:
        connection.close()
        raise


def _directory() -> str | None:
    """The directory of those whom the host trusts, if there is one of hashed names; None: there is only a list."""
    if os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR"):
        return None
    for directory in (ssl.get_default_verify_paths().capath, *_DIRECTORIES):
        with suppress(OSError):
            if directory is not None and any(map(_HASHED.fullmatch, os.listdir(directory))):  # noqa: PTH208
                return directory
    return None


def _with_all() -> ssl.SSLContext:
    made = ssl.create_default_context()
    found = ssl.get_default_verify_paths()
    if found.cafile is None and found.capath is None:
        for path in filter(os.path.exists, _BUNDLES):
            made.load_verify_locations(path)
            break
    return made
