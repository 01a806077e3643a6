"""TLS to whoever the host trusts."""

from __future__ import annotations

import os
import ssl

#: Where distributions keep the authorities they trust; an OpenSSL that the agent brought along looks elsewhere.
_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


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
