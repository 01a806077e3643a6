"""TLS to whom the host trusts, wherever on it that is written; on a host of its own, with a server that is real."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.bundle_host import Answer, BundleHost, certificate_for

from longshore.onebox.machinery.host_view import HostView, why_not

#: Says what came of a connection, and how much memory it took.
CONNECT = """
import ssl, sys
from longshore.agent.connecting import connect
def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))
from longshore.agent import tls
ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
before = resident()
try:
    made = connect("localhost", int(sys.argv[1]), encrypted=True, proxy=None, stays_small="small" in sys.argv)
except ssl.SSLCertVerificationError as error:
    print(error.verify_message)
else:
    print("trusted", resident() - before)
"""


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    return certificate_for(tmp_path, "localhost")


@pytest.fixture
def server(certificate: tuple[Path, Path]) -> Iterator[BundleHost]:
    host = BundleHost(lambda _: Answer(200), certificate=certificate)
    yield host
    host.stop()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[HostView]:
    if reason := why_not(tmp_path):
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    view = HostView(directory=tmp_path / "view", name="trusting")
    view.start()
    yield view
    view.remove()


def said(host: HostView, *command: str, given: str = "", **environ: str) -> str:
    own = {name: value for name, value in os.environ.items() if not re.match("SSL_CERT_|AWS_SSL_", name)} | environ
    done = subprocess.run(
        host.command(list(command)), input=given, env=own, text=True, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def connects(host: HostView, server: BundleHost, *words: str, **environ: str) -> str:
    return said(host, sys.executable, "-c", CONNECT, str(server.port), *words, **environ)


def test_an_authority_counts_in_the_hosts_directory_and_in_its_list(
    host: HostView, server: BundleHost, certificate: tuple[Path, Path]
) -> None:
    text = certificate[0].read_text()
    bundle = ssl.get_default_verify_paths().openssl_cafile
    directory = ssl.get_default_verify_paths().openssl_capath
    assert connects(host, server) == "self-signed certificate"

    # What update-ca-certificates does with one of the host's own.
    name = f"{said(host, 'openssl', 'x509', '-noout', '-subject_hash', given=text)}.0"
    said(host, "sh", "-euc", f"mkdir -p {directory}; cat >{directory}/{name}", given=text)
    word, by_directory = connects(host, server).split()
    assert word == "trusted"
    said(host, "rm", f"{directory}/{name}")
    assert connects(host, server) == "self-signed certificate"

    # What somebody does who knows the file alone.
    said(host, "sh", "-euc", f"cat {bundle} - >/tmp/list || true; cat /tmp/list >{bundle}", given=text)
    word, by_list = connects(host, server).split()
    assert word == "trusted"
    assert int(by_directory) < int(by_list) - 500, "every authority that the host trusts was read"

    # A process that only waits has somebody else read them.
    word, small = connects(host, server, "small").split()
    assert word == "trusted"
    assert int(small) < int(by_list) - 500
    said(host, "sh", "-euc", f": >{bundle}")
    assert connects(host, server, "small") == "self-signed certificate"


def test_where_the_environment_names_the_authorities_no_other_counts(
    host: HostView, server: BundleHost, certificate: tuple[Path, Path]
) -> None:
    said(host, "sh", "-euc", "cat >/opt/authority.pem", given=certificate[0].read_text())
    assert connects(host, server, SSL_CERT_FILE="/opt/authority.pem").startswith("trusted")
    assert connects(host, server, AWS_SSL_CA_BUNDLE="/opt/authority.pem").startswith("trusted")
    said(host, "mkdir", "/opt/nobody")
    assert connects(host, server, SSL_CERT_FILE="/dev/null", SSL_CERT_DIR="/opt/nobody") == "self-signed certificate"
