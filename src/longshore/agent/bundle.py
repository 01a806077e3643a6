"""DownloadBundle: make room, fetch the revision, unpack it (agent.md 2.5, 3)."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import urljoin, urlsplit

from longshore.agent import archive, backoff, tls
from longshore.agent.errors import BundleError, CommandError
from longshore.agent.layout import DeploymentPaths, pointed_to, write_atomically
from longshore.agent.specification import Specification
from longshore.agent.version import VERSION

#: Tries in a row without a new byte before a download is given up.
MAX_TRIES = 6
MAX_REDIRECTS = 3
#: Seconds without a byte that end a try.
READ_TIMEOUT = 60.0
CONNECT_TIMEOUT = 15.0
#: A whole download, retries included.
TOTAL_SECONDS = 3300.0
#: One buffer, used again for every read.
_BUFFER = 256 * 1024


class Source(Protocol):
    """Where a kind of revision comes from."""

    def fetch(self, specification: Specification, target: Path) -> None:
        """Leave the whole, verified bundle at `target`, or raise `BundleError`."""


def download(
    specification: Specification, paths: DeploymentPaths, *, max_revisions: int, limits: archive.Limits
) -> None:
    """Leave the unpacked revision in the deployment's archive directory."""
    forget_old_revisions(paths, max_revisions)
    source = SOURCES.get(specification.revision.kind)
    if source is None:
        raise BundleError(
            f"revisions of type {specification.revision.kind} are not supported yet by this agent; use S3"
        )
    try:
        source.fetch(specification, paths.bundle)
        archive.remove_tree(paths.archive_temp)
        archive.remove_tree(paths.archive)
        archive.unpack(paths.bundle, specification.revision.bundle_type, paths.archive_temp, limits)
        archive.strip_wrapper(paths.archive_temp).rename(paths.archive)
    except OSError as error:
        _drop(paths.bundle)
        raise BundleError(
            f"cannot unpack the bundle: {error.strerror} ({error.filename or paths.archive_temp})"
        ) from None
    except CommandError:
        _drop(paths.bundle)
        raise
    finally:
        archive.remove_tree(paths.archive_temp)
    paths.most_recent.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(paths.most_recent, os.fsencode(paths.directory))


def _drop(bundle: Path) -> None:
    """Remove a bundle that cannot be used: where the disk is full, it may be what filled it."""
    with suppress(OSError):
        bundle.unlink()


def has_sha256(bundle: Path, wanted: str) -> bool:
    """Whether a bundle that an earlier deployment left is this one."""
    try:
        with bundle.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == wanted
    except OSError:
        return False


def forget_old_revisions(paths: DeploymentPaths, max_revisions: int) -> None:
    """Remove the oldest revisions of the group, never the last successful one (agent.md 2.5.2)."""
    others = [entry for entry in os.scandir(paths.group_directory) if entry.name != paths.deployment]
    surplus = len(others) - max_revisions + 1
    if surplus <= 0:
        return
    keep = pointed_to(paths.last_successful)
    candidates = [entry for entry in others if keep is None or Path(entry.path) != keep]
    candidates.sort(key=lambda entry: entry.stat(follow_symlinks=False).st_mtime)
    for entry in candidates[:surplus]:
        archive.remove_tree(Path(entry.path))


class PresignedUrl:
    """An S3 object behind the presigned URL the server sent; the host needs no S3 credentials."""

    def fetch(self, specification: Specification, target: Path) -> None:
        """Stream the object to `target`, resuming a cut connection where the server allows it."""
        revision = specification.revision
        if not specification.bundle_url:
            raise BundleError(
                f"the specification has no download URL for s3://{revision.bucket}/{revision.key}; "
                "this agent needs a Longshore server, which presigns it"
            )
        # The official agent may have left a link to somebody's file here.
        target.unlink(missing_ok=True)
        with target.open("wb", buffering=0) as file:
            transfer = _Transfer(file, specification)
            try:
                transfer.run(specification.bundle_url)
            except OSError as error:
                raise BundleError(f"cannot write the bundle to {target}: {error.strerror or error}") from None


class _CutShortError(Exception):
    """A try failed in a way that another one may not."""


class _Transfer:
    """One download, over as many connections as it takes."""

    def __init__(self, file: IO[bytes], specification: Specification) -> None:
        self._file = file
        self._specification = specification
        revision = specification.revision
        self._name = f"s3://{revision.bucket}/{revision.key}"
        self._received = 0
        self._hash = hashlib.sha256()
        self._etag: str | None = None

    def run(self, url: str) -> None:
        give_up_at = time.monotonic() + TOTAL_SECONDS
        failures = 0
        while True:
            before = self._received
            try:
                self._try(url)
                return self._check()
            except _CutShortError as cut:
                failures = 1 if self._received > before else failures + 1
                if failures >= MAX_TRIES or time.monotonic() > give_up_at:
                    raise BundleError(f"cannot download {self._name}: {cut} (tried {failures} times)") from None
            time.sleep(backoff.delay(failures))

    def _try(self, url: str) -> None:
        for _ in range(MAX_REDIRECTS + 1):
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise BundleError(f"the download URL of {self._name} is not an http or https URL")
            onward = self._request(parts.scheme, parts.hostname, parts.port, parts.netloc, url)
            if onward is None:
                return
            url = onward
        raise BundleError(f"{self._name} is redirected more than {MAX_REDIRECTS} times")

    def _request(self, scheme: str, host: str, port: int | None, netloc: str, url: str) -> str | None:
        parts = urlsplit(url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        headers = {
            "host": netloc.rpartition("@")[2],
            "user-agent": f"longshore-agent/{VERSION}",
            "accept-encoding": "identity",
        }
        if self._received and self._etag:
            headers |= {"range": f"bytes={self._received}-", "if-range": self._etag}
        connection = (
            http.client.HTTPSConnection(host, port, timeout=CONNECT_TIMEOUT, context=tls.context())
            if scheme == "https"
            else http.client.HTTPConnection(host, port, timeout=CONNECT_TIMEOUT)
        )
        with closing(connection):
            try:
                connection.connect()
                connection.sock.settimeout(READ_TIMEOUT)
                connection.request("GET", path or "/", headers=headers)
                response = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                raise _CutShortError(f"no answer from {host}: {error or type(error).__name__}") from None
            if response.status in (301, 302, 303, 307, 308) and response.headers.get("location"):
                return str(urljoin(url, response.headers["location"]))
            self._read(response)
            return None

    def _read(self, response: http.client.HTTPResponse) -> None:
        if response.status == 416:
            self._restart(response)
            raise _CutShortError("the object changed while it was downloaded")
        if response.status not in (200, 206):
            said = _s3_error(response)
            text = f"the storage answered {response.status} {said}"
            if response.status >= 500 or response.status in (408, 429):
                raise _CutShortError(text)
            raise BundleError(f"cannot download {self._name}: {text}")
        if response.status == 200:
            self._restart(response)
        wanted = response.length
        got = 0
        buffer = memoryview(bytearray(_BUFFER))
        while True:
            try:
                size = response.readinto(buffer)
            except (OSError, http.client.HTTPException) as error:
                raise _CutShortError(f"the connection broke after {self._received} bytes: {error}") from None
            if not size:
                break
            self._write(buffer[:size])
            got += size
        if wanted is not None and got < wanted:
            raise _CutShortError(f"the connection ended after {self._received} bytes, {wanted - got} short")

    def _restart(self, response: http.client.HTTPResponse) -> None:
        """From the first byte again; notes the version that a later try must continue."""
        self._file.seek(0)
        self._file.truncate()
        self._received = 0
        self._hash = hashlib.sha256()
        self._etag = response.headers.get("etag")

    def _write(self, chunk: memoryview) -> None:
        size = self._specification.bundle_size
        self._received += len(chunk)
        if size is not None and self._received > size:
            raise BundleError(f"{self._name} has more than the {size} bytes it was registered with")
        self._hash.update(chunk)
        while chunk:
            chunk = chunk[self._file.write(chunk) :]

    def _check(self) -> None:
        wanted = self._specification
        etag = wanted.revision.etag
        if etag is not None and _plain(etag) != _plain(self._etag or ""):
            raise BundleError(
                f"{self._name} has the ETag {_plain(self._etag or '') or '(none)'}, "
                f"but the revision was registered with {_plain(etag)}; it was replaced since"
            )
        if wanted.bundle_size is not None and self._received != wanted.bundle_size:
            raise BundleError(f"{self._name} has {self._received} bytes, but should have {wanted.bundle_size}")
        if wanted.bundle_sha256 is not None and self._hash.hexdigest() != wanted.bundle_sha256:
            raise BundleError(
                f"{self._name} has the SHA-256 {self._hash.hexdigest()}, but should have {wanted.bundle_sha256}"
            )


def _plain(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')


def _s3_error(response: http.client.HTTPResponse) -> str:
    """Code and Message of S3's XML error, else the reason."""
    body = b""
    with suppress(OSError, http.client.HTTPException):
        body = response.read(16384)
    # Two elements of a fixed shape; an XML parser would bring its own attack surface.
    found = [
        re.search(rf"<{tag}>([^<]{{1,500}})</{tag}>", body.decode("utf-8", "replace")) for tag in ("Code", "Message")
    ]
    said = ": ".join(match.group(1) for match in found if match)
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&amp;", "&")):
        said = said.replace(entity, character)
    return said or response.reason


#: Revision type → its source. GitHub and local revisions come here.
SOURCES: dict[str, Source] = {"S3": PresignedUrl()}
