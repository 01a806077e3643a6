"""One file over HTTP, over as many connections as it takes (agent.md 10.9).

A connection that breaks is continued where it broke, if the server vouches that the file is still the same; memory use
does not depend on the file's size.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing, suppress
from typing import IO, NamedTuple, Protocol
from urllib.parse import urljoin, urlsplit

from longshore.agent import backoff
from longshore.agent.connecting import connect
from longshore.agent.errors import BundleError, WireError
from longshore.agent.http_answer import BadAnswerError, Incoming
from longshore.agent.proxies import Proxies
from longshore.agent.sources import Fetching
from longshore.agent.version import VERSION

#: Tries in a row without a new byte before a download is given up.
MAX_TRIES = 6
MAX_REDIRECTS = 3
#: Seconds without a byte that end a try.
READ_TIMEOUT = 60.0
#: A whole download, retries included.
TOTAL_SECONDS = 3300.0
#: Between two sentences about progress.
PROGRESS_SECONDS = 5.0
#: Bytes of an error's page that are read.
MAX_ERROR = 16 * 1024
#: One buffer, used again for every read.
_BUFFER = 256 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
#: What would end a request's line, or begin another header.
_BREAKING = re.compile(r"[\x00-\x20\x7f]")


class Refusal(NamedTuple):
    """An answer that is not the file."""

    status: int
    reason: str
    #: By lower-case name.
    headers: Mapping[str, str]
    #: The beginning of it.
    body: bytes


class Origin(Protocol):
    """What is downloaded, and how whoever has it is asked."""

    #: For people; holds no secret.
    name: str
    url: str
    #: One of `proxies.ENDPOINTS`.
    endpoint: str

    def headers(self, url: str) -> dict[str, str]:
        """Headers that this origin alone must see: signatures, tokens. Never sent to where it redirects."""

    def elsewhere(self, refusal: Refusal) -> str | None:
        """The URL to ask instead; None: it is a refusal."""

    def explain(self, refusal: Refusal) -> str:
        """What the server said, and what to do about it."""


class Expected(NamedTuple):
    """What a file must be; None: not known."""

    etag: str | None = None
    size: int | None = None
    sha256: str | None = None


def download(origin: Origin, asked: Fetching, expected: Expected) -> None:
    """Leave the whole file at `asked.target`, checked; raises `BundleError`."""
    try:
        with asked.target.open("wb", buffering=0) as file:
            _Transfer(file, origin, asked, expected).run()
    except OSError as error:
        raise BundleError(f"cannot write the bundle to {asked.target}: {error.strerror or error}") from None


def plain_etag(etag: str) -> str:
    """An ETag without what only HTTP needs."""
    return etag.removeprefix("W/").strip('"')


class _CutShortError(Exception):
    """A try failed in a way that another one may not."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class _Transfer:
    """One download."""

    def __init__(self, file: IO[bytes], origin: Origin, asked: Fetching, expected: Expected) -> None:
        self._file = file
        self._origin = origin
        self._name = origin.name
        self._proxies: Proxies = asked.config.proxies
        self._pin = asked.config.pin
        self._expected = expected
        self._received = 0
        self._furthest = 0
        self._hash = hashlib.sha256()
        self._etag: str | None = None
        self._whole = expected.size
        self._tell = asked.progress
        self._told = time.monotonic()

    def run(self) -> None:
        give_up_at = time.monotonic() + TOTAL_SECONDS
        failures = 0
        while True:
            try:
                self._try()
                return self._check()
            except _CutShortError as cut:
                # What a server sends from the start again and again is no progress.
                failures = 1 if self._received > self._furthest else failures + 1
                self._furthest = max(self._furthest, self._received)
                if failures >= MAX_TRIES or time.monotonic() > give_up_at:
                    raise BundleError(f"cannot download {self._name}: {cut} (tried {failures} times)") from None
                self._tell(f"{self._name}: {cut}; trying again")
                asked_for = WireError(str(cut), retry_after=cut.retry_after)
            time.sleep(backoff.delay(failures, asked_for))

    def _try(self) -> None:
        url = self._origin.url
        for _ in range(MAX_REDIRECTS + 1):
            onward = self._request(url)
            if onward is None:
                return
            if urlsplit(url).scheme == "https" and urlsplit(onward).scheme != "https":
                raise BundleError(f"{self._name} is redirected from https to {urlsplit(onward).scheme}; refused")
            url = onward
        raise BundleError(f"{self._name} is redirected more than {MAX_REDIRECTS} times")

    def _request(self, url: str) -> str | None:
        """Ask once; the URL to ask next, or None when the file is here."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BundleError(f"the download URL of {self._name} is not an http or https URL")
        encrypted = parts.scheme == "https"
        port = parts.port or (443 if encrypted else 80)
        headers = {
            "host": parts.netloc.rpartition("@")[2],
            "user-agent": f"longshore-agent/{VERSION}",
            "accept-encoding": "identity",
        }
        if _same_origin(url, self._origin.url):
            headers |= self._origin.headers(url)
        if self._received and self._etag:
            headers |= {"range": f"bytes={self._received}-", "if-range": self._etag}
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        request = self._written(target or "/", headers)
        with ExitStack() as held:
            try:
                proxy = self._proxies.to(self._origin.endpoint, parts.hostname)
                pinned = self._pin and self._pin.of(parts.hostname, port)
                connection = connect(parts.hostname, port, encrypted=encrypted, proxy=proxy, pinned=pinned)
                held.enter_context(connection)
                connection.settimeout(READ_TIMEOUT)
                connection.sendall(request)
                response = held.enter_context(closing(Incoming(connection)))
            except (OSError, BadAnswerError) as error:
                if encrypted and _is_distrust(error):
                    # It will be the same the next time.
                    text = f"cannot download {self._name}: {parts.hostname} is not trusted: {error}"
                    raise BundleError(text) from None
                raise _CutShortError(f"no answer from {parts.hostname}: {error or type(error).__name__}") from None
            location = response.headers.get("location")
            if response.status in _REDIRECTS and location:
                return str(urljoin(url, location))
            if response.status not in (200, 206):
                return self._refused(response)
            self._read(response)
            return None

    def _written(self, target: str, headers: Mapping[str, str]) -> bytes:
        """The request, in one piece."""
        lines = [
            f"GET {target} HTTP/1.1",
            *(f"{name}: {value}" for name, value in headers.items()),
            "connection: close",
        ]
        text = "\r\n".join([*lines, "", ""])
        is_whole = not _BREAKING.search(target) and text.count("\n") == len(lines) + 1
        if not is_whole or not text.isascii():
            raise BundleError(f"the download URL of {self._name} has characters that no URL may have")
        return text.encode()

    def _refused(self, response: Incoming) -> str:
        body = b""
        with suppress(OSError, BadAnswerError):
            body = response.read(MAX_ERROR)
        refusal = Refusal(response.status, response.reason, response.headers, body)
        if response.status == 416:
            self._restart(None)
            raise _CutShortError("the file changed while it was downloaded")
        if (elsewhere := self._origin.elsewhere(refusal)) is not None:
            return elsewhere
        said = self._origin.explain(refusal)
        after = response.headers.get("retry-after", "")
        if response.status >= 500 or response.status in (408, 429) or (response.status == 403 and after):
            raise _CutShortError(said, float(after) if after.isdecimal() else None)
        raise BundleError(f"cannot download {self._name}: {said}")

    def _read(self, response: Incoming) -> None:
        etag = response.headers.get("etag")
        if response.status == 200:
            self._restart(etag)
        elif etag != self._etag or not _begins_at(response, self._received):
            self._restart(None)
            raise _CutShortError("another part than the one asked for was sent")
        self._check_etag(etag)
        wanted = response.length
        if wanted is not None:
            self._whole = self._received + wanted
        got = 0
        buffer = memoryview(bytearray(_BUFFER))
        while True:
            try:
                size = response.readinto(buffer)
            except (OSError, BadAnswerError) as error:
                raise _CutShortError(f"the connection broke after {self._received} bytes: {error}") from None
            if not size:
                break
            self._write(buffer[:size])
            got += size
        if wanted is not None and got < wanted:
            raise _CutShortError(f"the connection ended after {self._received} bytes, {wanted - got} short")

    def _restart(self, etag: str | None) -> None:
        """From the first byte again; notes the version that a later try must continue."""
        self._file.seek(0)
        self._file.truncate()
        self._received = 0
        self._hash = hashlib.sha256()
        # A weak one does not vouch for each byte (RFC 9110, 13.1.5).
        self._etag = None if etag is None or etag.startswith("W/") else etag

    def _write(self, chunk: memoryview) -> None:
        size = self._expected.size
        self._received += len(chunk)
        if size is not None and self._received > size:
            raise BundleError(f"{self._name} has more than the {size} bytes it was registered with")
        self._hash.update(chunk)
        while chunk:
            chunk = chunk[self._file.write(chunk) :]
        now = time.monotonic()
        if now > self._told + PROGRESS_SECONDS:
            self._told = now
            of = f" of {self._whole / 1e6:.0f}" if self._whole else ""
            self._tell(f"{self._name}: {self._received / 1e6:.0f}{of} MB")

    def _check_etag(self, etag: str | None) -> None:
        wanted = self._expected.etag
        if wanted is not None and plain_etag(wanted) != plain_etag(etag or ""):
            raise BundleError(
                f"{self._name} has the ETag {plain_etag(etag or '') or '(none)'}, "
                f"but the revision was registered with {plain_etag(wanted)}; it was replaced since"
            )

    def _check(self) -> None:
        wanted = self._expected
        if wanted.size is not None and self._received != wanted.size:
            raise BundleError(f"{self._name} has {self._received} bytes, but should have {wanted.size}")
        if wanted.sha256 is not None and self._hash.hexdigest() != wanted.sha256:
            raise BundleError(f"{self._name} has the SHA-256 {self._hash.hexdigest()}, but should have {wanted.sha256}")


def _same_origin(one: str, other: str) -> bool:
    return _origin(one) == _origin(other)


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _is_distrust(error: Exception) -> bool:
    import ssl  # loaded by now, since the connection is encrypted

    return isinstance(error, ssl.SSLCertVerificationError)


def _begins_at(response: Incoming, offset: int) -> bool:
    return response.headers.get("content-range", "").lower().startswith(f"bytes {offset}-")
