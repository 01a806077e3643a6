"""Looks at the way to the control plane, and at what this host is there."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from longshore.agent import http_answer
from longshore.agent.config import Config
from longshore.agent.connecting import CONNECT_TIMEOUT, connect
from longshore.agent.errors import WireError
from longshore.agent.finding import Finding, Result, failed, fine, warning
from longshore.agent.tls import PinnedCertificateError
from longshore.agent.wire import OUR_SERVICE, OUR_TARGET, SKEW_SECONDS, Client, moment_of

#: What servers bear with.
_WORST_SKEW = 300.0
_SOON = 14 * 86400.0
#: Groups that are worth telling, and calls after the first that looking for them may take.
_MOST_GROUPS, _MOST_CALLS = 100, 100
#: Of the certificate's verification (openssl-verification-options(1)).
_NOT_YET, _EXPIRED, _OTHER_NAME = 9, 10, 62


def way(config: Config, now: float) -> Iterator[Finding]:
    """Step by step to the control plane; nothing is looked for behind what is closed."""
    parts = urlsplit(config.endpoint)
    host, encrypted = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if encrypted else 80)
    proxy = config.proxies.to("deploy_control", host)
    first = (proxy.host, proxy.port) if proxy else (host, port)
    for look in (resolved, reached):
        finding = look(*first)
        yield finding
        if finding.result is Result.FAILED:
            return
    try:
        pinned = config.pin and config.pin.of(host, port)
        connection = connect(host, port, encrypted=encrypted, proxy=proxy, pinned=pinned)
    except ssl.SSLError as error:
        yield distrusted(host, error)
        return
    except OSError as error:
        yield failed("connection", f"{host}:{port} is not reached: {error}.", "See whether the proxy lets it through.")
        return
    with closing(connection):
        if isinstance(connection, ssl.SSLSocket):
            yield trusted(connection, now, is_pinned=pinned is not None)
        yield clock(connection, parts.netloc, now)


def resolved(host: str, port: int) -> Finding:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        step = "Put deploy_control_endpoint (or the proxy) right, or see whether this host's DNS works."
        return failed("name", f"The name {host} does not resolve: {error.strerror}.", step)
    return fine("name", f"{host} is {found[0][4][0]}.")


def reached(host: str, port: int) -> Finding:
    try:
        socket.create_connection((host, port), CONNECT_TIMEOUT).close()
    except OSError as error:
        step = "See whether the control plane runs and listens there, and what firewall stands in between."
        return failed("port", f"Nobody answers at {host}:{port}: {error.strerror or error}.", step)
    return fine("port", f"{host}:{port} is open.")


def distrusted(host: str, error: ssl.SSLError) -> Finding:
    """What is wrong with a server's certificate, in words."""
    if isinstance(error, PinnedCertificateError):
        said = f"{host} shows another certificate than the one this host knows it by."
        step = "If it was replaced on purpose, put its SHA-256 into server_certificate_sha256; else beware."
        return failed("certificate", said, step)
    code = getattr(error, "verify_code", None)
    if code == _EXPIRED:
        return failed(
            "certificate", f"The certificate of {host} has expired.", "Have it renewed, or set this host's clock."
        )
    if code == _NOT_YET:
        return failed("certificate", f"The certificate of {host} is not valid yet.", "Set this host's clock.")
    if code == _OTHER_NAME:
        step = "Use the name it is made for in deploy_control_endpoint."
        return failed("certificate", f"The certificate of the server is for another name than {host}.", step)
    if code is not None:
        step = (
            "Have this host trust its authority (update-ca-certificates, or SSL_CERT_FILE), or enroll the host: that "
            "pins the certificate."
        )
        why = getattr(error, "verify_message", "")
        return failed("certificate", f"Nobody this host trusts vouches for the certificate of {host}: {why}.", step)
    return failed("certificate", f"{host} does not speak TLS as this host does: {error.reason}.", "Is it https at all?")


def trusted(connection: ssl.SSLSocket, now: float, *, is_pinned: bool) -> Finding:
    if is_pinned:
        return fine("certificate", "The server shows the certificate that this host knows it by.")
    shown = connection.getpeercert() or {}
    left = ssl.cert_time_to_seconds(str(shown["notAfter"])) - now if "notAfter" in shown else _SOON
    if left < _SOON:
        return warning("certificate", f"The server's certificate ends in {left / 86400:.0f} days.", "Have it renewed.")
    return fine("certificate", "The server's certificate is trusted.")


def clock(connection: socket.socket, host: str, now: float) -> Finding:
    """This host's clock beside the server's: signatures are good for five minutes."""
    try:
        connection.settimeout(CONNECT_TIMEOUT)
        connection.sendall(f"GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
        answer = http_answer.read(connection, at_most=1024**2)
    except (OSError, http_answer.BadAnswerError) as error:
        return failed("clock", f"The server gives no usable answer: {error}.", "Is it the control plane's address?")
    theirs = moment_of(answer.headers.get("date", ""))
    if theirs is None:
        return warning("clock", "The server does not tell the time.", "")
    off = now - theirs
    step = "Have the clock set by the network: timedatectl set-ntp true"
    said = f"This host's clock is {abs(off):.0f} seconds {'ahead of' if off > 0 else 'behind'} the server's."
    if abs(off) > _WORST_SKEW:
        return failed("clock", said, step)
    return warning("clock", said, step) if abs(off) > SKEW_SECONDS else fine("clock", "The clocks agree.")


def itself(config: Config, remembered_signer: bytes | None) -> Iterator[Finding]:
    """What this host is to the control plane: its key, its registration, its groups; and who signs there."""
    client = Client(
        config.endpoint,
        config.identity,
        service=OUR_SERVICE,
        target=OUR_TARGET,
        read_timeout=CONNECT_TIMEOUT,
        proxies=config.proxies,
        pin=config.pin,
    )
    try:
        with closing(client):
            answer = _described(client)
    except WireError as error:
        yield refused(config, error)
        return
    yield fine("key", "The control plane knows this host's key.")
    yield registered(config, answer)
    if answer.get("instanceName"):
        yield in_groups(answer)
    yield signed(config, answer, remembered_signer)


def _described(client: Client) -> dict[str, Any]:
    """What the control plane says of this host. It looks through so many groups a call; we ask for as many as are
    worth reading."""
    answer = client.call("GetHost", {})
    groups = list(answer.get("deploymentGroups") or ())
    for _ in range(_MOST_CALLS):
        if len(groups) >= _MOST_GROUPS or not (token := answer.get("nextToken")):
            break
        answer = client.call("GetHost", {"nextToken": token})
        groups += answer.get("deploymentGroups") or ()
    return answer | {"deploymentGroups": groups[:_MOST_GROUPS]}


def refused(config: Config, error: WireError) -> Finding:
    """Why the control plane does not talk to this host."""
    arn = config.identity.host_identifier
    if error.code == "UnrecognizedClientException":
        step = "It was deleted, made inactive, or is another server's: enroll this host anew."
        return failed("key", f"The control plane does not know the key of {arn}, or it is not active.", step)
    if error.code in ("InvalidSignatureException", "SignatureDoesNotMatch"):
        step = "Put aws_secret_access_key right, or enroll this host anew."
        return failed("key", "The secret of this host's key is wrong.", step)
    if error.code == "ExpiredTokenException":
        step = "See to what renews aws_credentials_file."
        return failed("key", "The session this host signs with has ended.", step)
    if error.code.startswith("AccessDenied"):
        return failed("key", f"The control plane denies it: {error.said}.", "Look at the policies of that user.")
    if error.status == 0:
        return failed("key", f"{error}.", "Ask again.")
    return warning("key", f"What answers is no Longshore that can be asked: {error}.", "")


def registered(config: Config, answer: dict[str, Any]) -> Finding:
    name, region = answer.get("instanceName"), config.identity.region
    if not name:
        arn = config.identity.host_identifier
        step = (
            f"aws deploy register-on-premises-instance --region {region} --instance-name NAME --iam-user-arn {arn}, "
            "or put region right"
        )
        return failed("registration", f"No on-premises instance is registered in {region} for {arn}.", step)
    return fine("registration", f"This host is the on-premises instance {name} in {region}.")


def in_groups(answer: dict[str, Any]) -> Finding:
    tags = ", ".join(f"{tag['key']}={tag['value']}" for tag in answer.get("tags") or ()) or "no tags"
    groups = [f"{one['applicationName']}/{one['deploymentGroupName']}" for one in answer.get("deploymentGroups") or ()]
    if not groups:
        name = answer["instanceName"]
        step = f"aws deploy add-tags-to-on-premises-instances --instance-names {name} --tags Key=…,Value=…"
        return warning("groups", f"No deployment group means this host; it has {tags}.", step)
    return fine("groups", f"It has {tags}, and is in {', '.join(groups)}.")


def signed(config: Config, answer: dict[str, Any], remembered: bytes | None) -> Finding:
    """Whether the key that this host obeys is the one that the control plane signs with."""
    obeyed = config.specification_signer or remembered
    if obeyed is None:
        said = "No signing key is pinned yet: the first one seen will be."
        return warning("signer", said, "Put specification_signer into the configuration, or enroll the host.")
    if base64.b64encode(obeyed).decode() != answer.get("specificationSigner"):
        said = "The control plane signs deployments with another key than the one this host obeys: it will refuse them."
        step = f"If that key was changed on purpose: specification_signer: {answer.get('specificationSigner')}"
        return failed("signer", said, step)
    return fine("signer", "The control plane signs with the key that this host obeys.")
