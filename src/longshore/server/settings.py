"""What an operator says when starting the control plane, checked."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from longshore.api.limits import Limits
from longshore.onebox.services.sns import MailServer, mail_server
from longshore.server.logs import LogFormat, LogLevel


class SettingsError(Exception):
    """The settings cannot work; the message says what to change."""


class AlarmKind(StrEnum):
    """What has alarms, beside CloudWatch."""

    PROMETHEUS = "prometheus"
    ALERTMANAGER = "alertmanager"


@dataclass(frozen=True)
class AlarmSource:
    """A place where alarms are."""

    kind: AlarmKind
    url: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How one control plane runs."""

    data_dir: Path
    #: PostgreSQL, which any number of servers may share; None: SQLite in the data directory. It may hold a password.
    database_url: str | None = field(default=None, repr=False)
    host: str = "127.0.0.1"
    #: 0 picks a free one.
    port: int = 8420
    #: Twelve digits: the first account, made at the first start.
    account_id: str = "000000000000"
    #: Region that the printed exports name; every region works.
    region: str = "us-east-1"
    #: The address by which clients and agents reach this server; None: where it listens.
    public_url: str | None = None
    #: Where the bundles are: an S3's URL, or "aws"; None: in the S3 that this server brings.
    s3_endpoint: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    #: Listen beyond loopback without TLS: the operator has said so.
    insecure: bool = False
    #: How much of everything an account may have.
    limits: Limits = field(default_factory=Limits)
    #: None: text on a terminal, else JSON.
    log_format: LogFormat | None = None
    log_level: LogLevel = LogLevel.INFO
    #: How long deployments are kept after they have ended, seconds; None: for ever.
    keep_deployments: float | None = None
    #: Where EC2, Auto Scaling, ELB, CloudWatch, SNS and EventBridge are: "onebox" for the ones that this server brings,
    #: "aws", or the URL of what speaks their APIs.
    aws_endpoint: str = "onebox"
    #: Where alarms are looked for, beside CloudWatch.
    alarms: tuple[AlarmSource, ...] = ()
    #: Who takes the mail of onebox's SNS; None: it sends none.
    mail_server: MailServer | None = None
    #: Apprise URLs of subscribers, by topic ARN.
    topics: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9]{12}", self.account_id):
            raise SettingsError(f"An account id has twelve digits, and {self.account_id!r} has not.")
        if not re.fullmatch(r"[a-z0-9-]{1,40}", self.region):
            raise SettingsError(f"--region takes the name of one, as in us-east-1, and not {self.region!r}.")
        if self.public_url is not None and not _is_http(self.public_url):
            raise SettingsError(f"--url takes one, as in https://deploy.example.com, and not {self.public_url!r}.")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise SettingsError("TLS needs both a certificate and its key: give --tls-cert and --tls-key together.")
        if self.s3_endpoint not in (None, "aws") and not str(self.s3_endpoint).startswith(("http://", "https://")):
            raise SettingsError(f"--s3-endpoint takes the URL of an S3, or aws, and not {self.s3_endpoint!r}.")
        if self.aws_endpoint not in ("onebox", "aws") and not _is_http(self.aws_endpoint):
            raise SettingsError(
                "--aws-endpoint takes onebox, aws, or the URL of what speaks AWS's APIs,"
                f" and not {self.aws_endpoint!r}."
            )
        if not (self.is_loopback or self.tls_cert or self.insecure):
            raise SettingsError(
                f"{self.host} can be reached from other machines, and without TLS everybody on the way can read and "
                "change what is deployed. Give --tls-cert and --tls-key, or listen on 127.0.0.1, "
                "or say --insecure if something in front of this server does TLS."
            )

    @property
    def is_loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def host_names(self) -> frozenset[str]:
        """Names we are reached by: a bucket may stand before each, as in ``bucket.deploy.example.com``."""
        public = urlsplit(self.public_url).hostname if self.public_url else None
        return frozenset({"localhost", self.host, *([public] if public else [])})

    @property
    def scheme(self) -> str:
        return "http" if self.tls_cert is None else "https"

    def url(self, port: int) -> str:
        """Where the server is reached from this machine, listening on `port`.

        By name only where its certificate may want that: AWS tools would ask for a bucket at ``bucket.localhost``, and
        not every machine finds that.
        """
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104  # asks, does not bind
        if host == "localhost" and self.tls_cert is None:
            host = "127.0.0.1"
        return f"{self.scheme}://{f'[{host}]' if ':' in host and '[' not in host else host}:{port}"


def parse_listen(text: str) -> tuple[str, int]:
    """Split ``HOST:PORT``; raises SettingsError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise SettingsError(f"--listen takes HOST:PORT, as in 127.0.0.1:8420, a port up to 65535, and not {text!r}.")
    return host.strip("[]") or "127.0.0.1", int(port)


def parse_days(text: str) -> float:
    """Read a number of days, as in ``90``; seconds. Raises SettingsError."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 36_500:
        raise SettingsError(f"--keep-deployments takes a number of days from 1 to 36500, and not {text!r}.")
    return int(text) * 86_400.0


def parse_alarms(text: str) -> AlarmSource:
    """Read ``SOURCE=URL``; raises SettingsError."""
    source, _, url = text.partition("=")
    try:
        kind = AlarmKind(source)
    except ValueError:
        kinds = ", ".join(AlarmKind)
        raise SettingsError(f"--alarms takes SOURCE=URL, where SOURCE is one of {kinds}, and not {text!r}.") from None
    if not _is_http(url):
        raise SettingsError(f"--alarms {kind}= wants an address, as in http://127.0.0.1:9090, and not {url!r}.")
    return AlarmSource(kind, url)


def parse_smtp(text: str) -> MailServer:
    """Read the URL of a mail server; raises SettingsError, which does not quote it: it may hold a password."""
    try:
        return mail_server(text)
    except ValueError as error:
        raise SettingsError(f"--smtp cannot be read: {error}.") from None


def _is_http(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def read_topics(path: Path) -> dict[str, list[str]]:
    """Read a YAML file of Apprise URLs by topic ARN; raises SettingsError, which never quotes a URL."""
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"The --topics file {path} cannot be read: {error}.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        raise SettingsError(f"The --topics file {path} is not YAML{where}.") from None
    if not isinstance(found, dict):
        raise SettingsError(f"The --topics file {path} must map topic ARNs to Apprise URLs.")
    topics: dict[str, list[str]] = {}
    for arn, urls in found.items():
        listed = [urls] if isinstance(urls, str) else urls
        if not isinstance(arn, str) or not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise SettingsError(f"In the --topics file {path}, {arn} must have a URL or a list of URLs.")
        topics[arn] = listed
    return topics
