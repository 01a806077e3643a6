"""`longshore agent enroll`: makes this host known to a control plane and its agent a service.

In steps, each told once it is done: a look at what is there, the call that registers, the configuration file, the
service. Run again after a failure, it goes on where it stopped: what it made up for the call stays beside the
configuration until that is written, and by it the server knows the call for the same one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import json
import os
import secrets
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, TextIO
from urllib.parse import urlsplit

from longshore.agent import config as configuration
from longshore.agent import config_file, service_unit
from longshore.agent.connecting import connect
from longshore.agent.enroll_token import EnrollToken
from longshore.agent.errors import AgentError, ConfigError, WireError
from longshore.agent.identity import Identity, UserCredentials
from longshore.agent.layout import write_atomically
from longshore.agent.pin import Pin
from longshore.agent.proxies import Proxies
from longshore.agent.wire import OUR_SERVICE, OUR_TARGET, Client

#: Seconds the answer may take.
_ANSWER_SECONDS = 30.0
#: More than the configuration will be: a disk too full for it is noticed before the token is used.
_ROOM = 16 * 1024
#: What the server's errors mean to who holds the token.
_EXPLAINED = {
    "UnrecognizedClientException": "it does not know this token: it was made by another server, or is mistyped",
    "InvalidSignatureException": "the token's secret is wrong: it is mistyped or cut off",
}


class Asked(NamedTuple):
    """What the command was told."""

    server: str
    token: EnrollToken
    name: str
    tags: Sequence[tuple[str, str]]
    config: Path
    root_dir: Path
    start: bool
    #: The server may be called without TLS.
    insecure: bool


class Enrolled(NamedTuple):
    """What it came to, for a script."""

    name: str
    user_arn: str
    config: Path
    #: started, written or none.
    service: str
    #: What starts the agent; None where systemd did.
    command: str | None


def enroll(asked: Asked, told: TextIO) -> Enrolled:
    """Do it, telling each step; raises AgentError, and what was told is then done."""
    _require_safe(asked)
    standing = _standing(asked.config)
    if {"iam_user_arn", "iam_session_arn"} & standing.keys():
        user_arn = _require_same(asked, standing)
        told.write(f"This host is enrolled already as {asked.name}: {asked.config}\n")
    else:
        user_arn = _register(asked, standing, told)
    service, command = _serve(asked, told)
    return Enrolled(asked.name, user_arn, asked.config, service, command)


def _require_safe(asked: Asked) -> None:
    parts = urlsplit(asked.server)
    if parts.scheme == "http" and not asked.insecure and not _is_this_machine(parts.hostname or ""):
        raise ConfigError(
            f"{asked.server} is not encrypted: everybody on the way could read this host's key. Give the server's "
            "https address, or say --insecure"
        )
    if parts.scheme == "http" and asked.token.certificate_sha256 is not None:
        raise ConfigError(f"the token was made by a server that speaks TLS: give its https address, not {asked.server}")


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _standing(config: Path) -> dict[str, object]:
    """The settings of a configuration that is there already: perhaps a proxy, perhaps all."""
    return config_file.read(config) if config.exists() else {}


def _require_same(asked: Asked, standing: dict[str, object]) -> str:
    """The ARN of the host that the configuration is of, if that is what is asked for."""
    arn = str(standing.get("iam_user_arn") or standing.get("iam_session_arn"))
    endpoint = str(standing.get("deploy_control_endpoint", ""))
    if arn.rpartition("/")[2] == asked.name and endpoint.rstrip("/") == asked.server.rstrip("/"):
        return arn
    raise AgentError(
        f"{asked.config} says that this host is {arn} of {endpoint or 'AWS'}. To enroll it anew, move that file away "
        "and run this command again"
    )


# Registering.


def _register(asked: Asked, standing: dict[str, object], told: TextIO) -> str:
    proxies = configuration.proxies(standing, asked.config, os.environ)
    pin = _pin(asked)
    pending = _Pending(asked.config.with_name(f"{asked.config.name}.enrolling"))
    answer = _call(asked, pin, proxies, pending)
    signer = answer["specificationSigner"]
    if not hmac.compare_digest(_raw_sha256(signer), asked.token.signer_sha256):
        raise AgentError(
            f"the server at {asked.server} is not the one that made the token: it signs deployments with another key. "
            "Nothing it sent was kept. Check the address"
        )
    told.write(f"Registered as {answer['instanceName']} in {answer['region']}: {answer['userArn']}\n")
    try:
        pending.make_room()
        pinned = pin if pin is not None and not _is_trusted_anyway(pin, proxies) else None
        write_atomically(asked.config, _file(asked, answer, pinned), 0o600, durable=True)
    except OSError as error:
        raise AgentError(
            f"{asked.config} cannot be written: {error.strerror}. The host is registered; make room and run this "
            "command again with the same token to complete it"
        ) from None
    pending.end()
    told.write(f"Wrote {asked.config}: the host's key, for its owner's eyes only\n")
    known_by = "the certificate it has now" if pinned else "a certificate that this host's authorities vouch for"
    told.write(f"The server is known by {known_by if pin or asked.server.startswith('https') else 'its address alone'}")
    told.write(", its deployments by the key that signs them\n")
    return str(answer["userArn"])


class _Pending:
    """The file that is there while an enrollment is under way."""

    def __init__(self, path: Path) -> None:
        self._path = path

        self._is_new = False

    def begin(self) -> str:
        """What names this enrollment to the server: new, or that of one broken off."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            kept = self._path.read_text().strip() if self._path.exists() else ""
            self._is_new = not kept
            client_token = kept or secrets.token_urlsafe(32)
            write_atomically(self._path, client_token.ljust(_ROOM).encode(), 0o600, durable=True)
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is damaged; remove it"
            raise AgentError(f"cannot write {self._path}: {why}. Nothing was sent, and the token is not used") from None
        return client_token

    def make_room(self) -> None:
        """Leave what it kept to the configuration; raises OSError."""
        with self._path.open("r+b") as file:
            file.truncate(len(file.read().strip()))

    def refused(self) -> None:
        """The server wants none of it. One that was broken off before may be completed yet, by another token."""
        if self._is_new:
            self.end()

    def end(self) -> None:
        """The host has what it was to get."""
        self._path.unlink(missing_ok=True)


def _call(asked: Asked, pin: Pin | None, proxies: Proxies, pending: _Pending) -> dict[str, Any]:
    token = asked.token
    client = Client(
        asked.server,
        Identity(host_identifier="", region=token.region, provider=UserCredentials(*token.credentials[:2])),
        service=OUR_SERVICE,
        target=OUR_TARGET,
        read_timeout=_ANSWER_SECONDS,
        proxies=proxies,
        pin=pin,
    )
    tags = [{"key": key, "value": value} for key, value in asked.tags]
    members = {"instanceName": asked.name, "tags": tags, "clientToken": pending.begin()}
    try:
        answer = client.call("EnrollHost", members)
    except WireError as error:
        if error.status == 0:
            raise AgentError(f"{error}. Nothing was changed on this host; run this command again") from None
        pending.refused()
        said = _EXPLAINED.get(error.code) or error.said
        raise AgentError(f"the server at {asked.server} refused ({error.code}): {said}") from None
    finally:
        client.close()
    expected = ("instanceName", "region", "userArn", "accessKeyId", "secretAccessKey", "specificationSigner")
    if not all(isinstance(answer.get(member), str) for member in expected):
        raise AgentError(f"what answers at {asked.server} is no Longshore that enrolls hosts")
    return answer


def _pin(asked: Asked) -> Pin | None:
    if asked.token.certificate_sha256 is None:
        return None
    parts = urlsplit(asked.server)
    return Pin(parts.hostname or "", parts.port or 443, asked.token.certificate_sha256)


def _is_trusted_anyway(pin: Pin, proxies: Proxies) -> bool:
    """Whether the host's authorities vouch for the server too: then its certificate may be renewed without a word."""
    try:
        proxy = proxies.to("deploy_control", pin.host)
        with closing(connect(pin.host, pin.port, encrypted=True, proxy=proxy)):
            return True
    except OSError:
        return False


def _raw_sha256(signer: str) -> str:
    try:
        return hashlib.sha256(base64.b64decode(signer, validate=True)).hexdigest()
    except (binascii.Error, ValueError):
        return ""


def _file(asked: Asked, answer: dict[str, Any], pinned: Pin | None) -> bytes:
    """The configuration: what stands there already, and the rest."""
    settings = {
        "region": answer["region"],
        "iam_user_arn": answer["userArn"],
        "aws_access_key_id": answer["accessKeyId"],
        "aws_secret_access_key": answer["secretAccessKey"],
        "deploy_control_endpoint": asked.server,
        "specification_signer": answer["specificationSigner"],
        "server_certificate_sha256": pinned.sha256 if pinned else None,
        "root_dir": str(asked.root_dir),
    }
    kept = asked.config.read_bytes().rstrip() + b"\n" if asked.config.exists() else b""
    lines = [f"{key}: {json.dumps(value)}\n" for key, value in settings.items() if value is not None]
    return kept + b"# Written by `longshore agent enroll`. The key is this host's alone.\n" + "".join(lines).encode()


# The service.


def _serve(asked: Asked, told: TextIO) -> tuple[str, str | None]:
    """Install the service where there is one to be had; what came of it, and what starts the agent if nothing did."""
    by_hand = service_unit.shell(service_unit.command(asked.config))
    if not service_unit.is_running_here():
        told.write(f"This host has no systemd. Have the agent started at boot by whatever it has: {by_hand}\n")
        return "none", by_hand
    if os.geteuid() != 0:
        told.write(f"Only root may install a service. Run the agent yourself: {by_hand}\n")
        return "none", by_hand
    try:
        stop_seconds = configuration.load(asked.config, os.environ).kill_agent_max_wait_time_seconds
        service_unit.write(asked.config, stop_seconds=stop_seconds)
        told.write(f"Wrote {service_unit.FILE}\n")
        if not asked.start:
            told.write(f"Not started, as asked. Start it with: {service_unit.start_by_hand()}\n")
            return "written", service_unit.start_by_hand()
        service_unit.start()
    except OSError as error:
        raise AgentError(
            f"the host is enrolled, but {service_unit.FILE} cannot be written: {error.strerror}. "
            "Run this command again to complete it"
        ) from None
    except AgentError as error:
        raise AgentError(
            f"the host is enrolled, but its agent is no service yet: {error}. Then run this again"
        ) from None
    told.write("The agent runs, and will at every boot. See: longshore agent status\n")
    return "started", None


# The command line.


def command(words: Any) -> int:
    """`longshore agent enroll`, its words parsed; the exit code."""
    asked = Asked(
        server=_server(words.server),
        token=EnrollToken.read(_token_text(words.token)),
        name=words.name or os.uname().nodename.partition(".")[0],
        tags=[_tag(tag) for tag in words.tag],
        config=Path(os.path.abspath(words.config)),  # noqa: PTH100 - normalises, does not follow links
        root_dir=Path(os.path.abspath(words.root)),  # noqa: PTH100
        start=not words.no_start,
        insecure=words.insecure,
    )
    as_json = words.output == "json"
    done = enroll(asked, sys.stderr if as_json else sys.stdout)
    if as_json:
        members = {
            "InstanceName": done.name,
            "IamUserArn": done.user_arn,
            "Config": str(done.config),
            "Service": done.service,
            "Command": done.command,
        }
        sys.stdout.write(json.dumps(members, indent=2) + "\n")
    return 0


def _server(said: str) -> str:
    url = said if "://" in said else f"https://{said}"
    if not config_file.is_url(url):
        raise ConfigError(f"--server takes the control plane's address, as in https://deploy.example.com, not {said!r}")
    return url.rstrip("/")


def _token_text(said: str) -> str:
    # In a command line everybody on the host can read it.
    return sys.stdin.readline() if said == "-" else said


def _tag(said: str) -> tuple[str, str]:
    key, equals, value = said.partition("=")
    if not equals or not key:
        raise ConfigError(f"--tag takes KEY=VALUE, not {said!r}")
    return key, value
