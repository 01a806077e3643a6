"""Bundles in S3: a URL that lets an agent read one object, and what the object is."""

from __future__ import annotations

import contextlib
import hashlib
import struct
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, cast

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader

from longshore import tar_stream
from longshore.domain.bundle import BundleFacts
from longshore.domain.ids import Scope
from longshore.providers.ports import TransientError

#: Bundles smaller than this are looked at in memory, bytes.
_IN_MEMORY = 16 * 1024 * 1024
_CHUNK = 1024 * 1024
#: Bundles remembered, so that a redeployment does not read them again.
_REMEMBERED = 256
#: Archive entries looked at for an AppSpec.
_MOST_ENTRIES = 200_000
#: Bytes of a compressed archive unpacked in that search: a bomb shall cost its host a refusal and us nothing.
_MOST_UNPACKED = 1024**3
#: Bytes of a zip's directory: enough for half a million entries.
_MOST_READ = 32 * 1024**2
#: Top entries of an archive that are told apart: with two, nothing wraps everything.
_ENOUGH = 2
_APPSPECS = ("appspec.yml", "appspec.yaml")
_UNREADABLE: tuple[type[Exception], ...] = (
    *(OSError, ValueError, RuntimeError, OverflowError, tarfile.TarError, zipfile.BadZipFile, struct.error),
    *tar_stream.damage(),
)
_TRANSIENT = frozenset({"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling"})

_Known = tuple[str, int, str | None]


class S3Bundles:
    """`ports.Bundles` over any S3."""

    def __init__(
        self,
        *,
        endpoint_url: str | None,
        public_url: str | None,
        keys: Callable[[str], tuple[str, str]] | None,
        loader: Loader,
        verify: bool = True,
    ) -> None:
        """`endpoint_url` is where we reach S3; `public_url` where agents do, when that differs.

        `keys` gives an account's access key id and secret: a deployment must not reach another account's bundles. None:
        those of the environment, as any AWS tool finds them.
        `verify` says whether the endpoint's certificate must fit its name; `loader` reads S3's model.
        """
        self._loader = loader
        self._verify = verify
        self._keys = keys
        self._endpoint_url = endpoint_url
        self._public_url = public_url or endpoint_url
        self._clients: dict[tuple[Scope, str | None], Any] = {}
        self._known: dict[tuple[str, ...], _Known] = {}
        self._lock = threading.Lock()

    def presign(self, scope: Scope, location: Mapping[str, Any], *, expires_in: int) -> str:
        """See `ports.Bundles`."""
        url: str = self._client(scope, self._public_url).generate_presigned_url(
            "get_object", Params=_parameters(location), ExpiresIn=expires_in
        )
        return url

    def examine(self, scope: Scope, location: Mapping[str, Any], *, expires_in: int) -> BundleFacts:
        """See `ports.Bundles`."""
        url = self.presign(scope, location, expires_in=expires_in)
        try:
            known = self._look(scope, location, _parameters(location))
        except ClientError as error:
            if error.response["Error"]["Code"] in _TRANSIENT:
                raise TransientError(str(error)) from error
            return BundleFacts(url=url, sha256=None, size=None, appspec_filename=None)
        except BotoCoreError as error:
            raise TransientError(str(error)) from error
        sha256, size, appspec = known
        return BundleFacts(url=url, sha256=sha256, size=size, appspec_filename=appspec)

    def _look(self, scope: Scope, location: Mapping[str, Any], asked: dict[str, str]) -> _Known:
        answer = self._client(scope, self._endpoint_url).get_object(**asked)
        # Entering the body itself would give the bare connection, which checks no checksum.
        with contextlib.closing(answer["Body"]) as body:
            name = (scope.account, scope.region, *asked.values(), answer["ETag"], str(location.get("bundleType")))
            with self._lock:
                known = self._known.get(name)
            if known is None:
                known = _read(body.iter_chunks(_CHUNK), str(location.get("bundleType")))
                with self._lock:
                    if len(self._known) >= _REMEMBERED:
                        self._known.pop(next(iter(self._known)))
                    self._known[name] = known
        return known

    def _client(self, scope: Scope, endpoint_url: str | None) -> Any:
        with self._lock:
            client = self._clients.get((scope, endpoint_url))
            if client is None:
                access_key_id, secret_access_key = self._keys(scope.account) if self._keys else (None, None)
                session = botocore.session.Session()
                session.register_component("data_loader", self._loader)
                client = self._clients[scope, endpoint_url] = session.create_client(
                    "s3",
                    region_name=scope.region,
                    endpoint_url=endpoint_url,
                    verify=None if self._verify else False,
                    config=Config(
                        signature_version="s3v4",
                        s3={"addressing_style": "path" if endpoint_url else "auto"},
                        connect_timeout=5,
                        read_timeout=30,
                        retries={"total_max_attempts": 2},
                    ),
                    aws_access_key_id=access_key_id,
                    aws_secret_access_key=secret_access_key,
                )
            return client


def _parameters(location: Mapping[str, Any]) -> dict[str, str]:
    """GetObject's, for the API's `s3Location`."""
    asked = {"Bucket": location["bucket"], "Key": location["key"]}
    if location.get("version"):
        asked["VersionId"] = location["version"]
    return asked


def _read(chunks: Iterator[bytes], bundle_type: str) -> _Known:
    digest, size = hashlib.sha256(), 0
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as copy:
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            copy.write(chunk)
        copy.seek(0)
        return digest.hexdigest(), size, appspec_in(copy, bundle_type)


def appspec_in(archive: IO[bytes], bundle_type: str) -> str | None:
    """Which AppSpec an archive holds at its root, or in the one directory that wraps everything.

    An archive that cannot be read is not judged here: each host refuses it with its own message.
    """
    tops: set[str] = set()
    found: dict[int, set[str]] = {1: set(), 2: set()}
    try:
        for name in _names(archive, bundle_type):
            parts = [part for part in name.split("/") if part not in ("", ".")]
            if len(tops) < _ENOUGH:
                tops.update(parts[:1])
            if parts and parts[-1] in _APPSPECS and len(parts) in found:
                found[len(parts)].add(parts[-1])
    except _UNREADABLE:
        return None
    depth = 2 if len(tops) == 1 and not found[1] else 1
    return next((name for name in _APPSPECS if name in found[depth]), None)


def _names(archive: IO[bytes], bundle_type: str) -> Iterator[str]:
    if bundle_type == "zip":
        with zipfile.ZipFile(cast("IO[bytes]", _Modest(archive))) as bundle:
            yield from (entry.filename for entry in bundle.infolist()[:_MOST_ENTRIES])
        return
    is_xz = archive.read(len(tar_stream.XZ)) == tar_stream.XZ
    archive.seek(0)
    if is_xz:
        # It may ask for any amount of memory.
        return
    stream = tar_stream.TarStream(tar_stream.opened(archive, bundle_type), _MOST_ENTRIES)
    unpacked = 0
    with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r:") as bundle:
        for count, entry in enumerate(bundle, 1):
            bundle.members = []  # type: ignore[attr-defined]  # documented to be a plain list since 3.0
            name = entry.name.removeprefix("./")
            yield name
            # The whole archive need not be unpacked to find a root entry, but a wrapping directory has to be seen.
            unpacked += entry.size
            if name in _APPSPECS or count >= _MOST_ENTRIES or unpacked > _MOST_UNPACKED:
                return


class _Modest:
    """A file of which nobody gets much at once: zipfile reads the directory of a zip whole, whatever it says it is."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > _MOST_READ:
            raise zipfile.BadZipFile("the directory of the zip is too large")
        return self._file.read(size)
