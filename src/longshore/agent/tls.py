"""TLS to whoever the host trusts."""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
import ssl

#: Where distributions keep the authorities they trust; an OpenSSL that the agent brought along looks elsewhere.
_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


class PinnedCertificateError(ssl.SSLCertVerificationError):
    """The server shows another certificate than the one this host knows it by."""


def wrapped(connection: socket.socket, host: str, pinned: str | None) -> ssl.SSLSocket:
    """TLS over a connection to `host`; raises OSError where its certificate is not to be trusted.

    With `pinned`, the SHA-256 of a certificate in hexadecimal, exactly this one is, whatever name and dates it bears.
    """
    if pinned is None:
        return context().wrap_socket(connection, server_hostname=host)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    secured = made.wrap_socket(connection, server_hostname=host)
    shown = hashlib.sha256(secured.getpeercert(binary_form=True) or b"").hexdigest()
    if not hmac.compare_digest(shown, pinned.lower()):
        secured.close()
        raise PinnedCertificateError(
            1, f"it shows the certificate with the SHA-256 {shown}, and this host knows it by {pinned}"
        )
    return secured


def context() -> ssl.SSLContext:
    """Verifies against `SSL_CERT_FILE` or `SSL_CERT_DIR` if they are set, else against whom the host trusts.

    `AWS_SSL_CA_BUNDLE` and `AWS_SSL_CA_DIRECTORY` name further authorities (agent.md 1.1.8).
    """
    made = ssl.create_default_context()
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    found = ssl.get_default_verify_paths()
    if found.cafile is None and found.capath is None:
        for path in filter(os.path.exists, _AUTHORITIES):
            made.load_verify_locations(path)
            break
    bundle, directory = os.environ.get("AWS_SSL_CA_BUNDLE"), os.environ.get("AWS_SSL_CA_DIRECTORY")
    if bundle or directory:
        made.load_verify_locations(bundle, directory)
    return made
