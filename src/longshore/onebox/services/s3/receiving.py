"""Bodies that become content: of an object put at once, and of a part."""

from __future__ import annotations

from longshore.onebox.machinery.objects import StoredChecksum, StoredUpload
from longshore.onebox.services.s3.call import Answer, Call, checksum_headers, version_header
from longshore.onebox.services.s3.checksums import ALGORITHMS, FULL_OBJECT, Algorithm
from longshore.onebox.services.s3.conditions import check_write
from longshore.onebox.services.s3.description import described, refuse_what_is_not_done
from longshore.onebox.services.s3.errors import S3Error
from longshore.onebox.services.s3.payload import Payload

#: Bytes one PUT may bring: 5 GiB.
MAX_PUT = 5 * 2**30
MAX_PARTS = 10_000


class PutObject:
    """Receives an object. Nothing is to be seen of it until all of it is on the disk and right."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._bucket = call.own_bucket()
        self._description = described(call.headers)
        self._incoming = call.store.begin()
        try:
            self._payload = Payload(call, self._incoming.write)
            _check_announced_size(self._payload)
        except BaseException:
            self._incoming.discard()
            raise

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._payload.feed(data)

    def finish(self) -> Answer:
        """Store the object."""
        call = self._call
        received = self._payload.finish()
        checksum = None
        if received.algorithm and received.checksum:
            checksum = StoredChecksum(algorithm=received.algorithm.name, value=received.checksum, kind=FULL_OBJECT)
        stored = call.store.put(
            call.bucket,
            call.key,
            self._incoming,
            etag=received.md5,
            checksum=checksum,
            description=self._description,
            now=call.now,
            allow=lambda current: check_write(call.headers, current),
        )
        return Answer(
            headers={"etag": f'"{stored.etag}"', **checksum_headers(stored), **version_header(self._bucket, stored)}
        )

    def abandon(self) -> None:
        """Delete what came."""
        self._incoming.discard()


class UploadPart:
    """Receives one part of a multipart upload."""

    def __init__(self, call: Call) -> None:
        self._call = call
        call.own_bucket()
        refuse_what_is_not_done(call.headers)
        self._number = part_number(call)
        self._upload = call.store.upload(call.bucket, call.key, call.query["uploadId"])
        self._incoming = call.store.begin()
        try:
            self._payload = Payload(call, self._incoming.write, algorithm=algorithm_of(self._upload))
            _check_announced_size(self._payload)
        except BaseException:
            self._incoming.discard()
            raise

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._payload.feed(data)

    def finish(self) -> Answer:
        """Store the part."""
        received = self._payload.finish()
        part = self._call.store.put_part(
            self._upload,
            self._number,
            self._incoming,
            etag=received.md5,
            checksum=received.checksum if self._upload.checksum else None,
            now=self._call.now,
        )
        headers = {"etag": f'"{part.etag}"'}
        if received.algorithm and received.checksum:
            headers[received.algorithm.header] = received.checksum
        return Answer(headers=headers)

    def abandon(self) -> None:
        """Delete what came."""
        self._incoming.discard()


def part_number(call: Call) -> int:
    """The number of the part the call is about. Raises InvalidArgument."""
    if not call.query.get("partNumber"):
        raise S3Error("InvalidArgument", "This operation needs a partNumber.")
    return call.number("partNumber", 0, least=1, most=MAX_PARTS)


def algorithm_of(upload: StoredUpload) -> Algorithm | None:
    """What the parts of an upload are checked with."""
    return ALGORITHMS[upload.checksum.algorithm] if upload.checksum else None


def _check_announced_size(payload: Payload) -> None:
    size = payload.expected_size
    if size is None:
        raise S3Error("MissingContentLength")
    if size > MAX_PUT:
        raise S3Error("EntityTooLarge", details={"ProposedSize": str(size), "MaxSizeAllowed": str(MAX_PUT)})
