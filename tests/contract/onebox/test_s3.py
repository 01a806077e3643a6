"""S3 as real clients meet it: boto3, the AWS CLI, and plain HTTP with a presigned URL."""

import base64
import concurrent.futures
import hashlib
import http.client
import io
import os
import random
import socket
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from longshore.auth.keyring import SigningKey
from longshore.onebox.services.s3.crc import CRC32, CRC32C, CRC64NVME, Crc, Polynomial, joined
from tests.contract.onebox.conftest import REGION, S3Server
from tests.contract.onebox.serving_s3 import ROOT, SERVICE, STRANGER, USER

MIB = 2**20


def refused(call: Callable[[], object]) -> tuple[str, int]:
    """The code and status a call is refused with."""
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]


def send(server: S3Server, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    """One signed request of our own making; `headers` with _ for -."""
    request = AWSRequest(
        method, server.url + path, data=body, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    signer = S3SigV4Auth(Credentials(ROOT.access_key_id, ROOT.secret_access_key), "s3", REGION)
    if "x_amz_content_sha256" in headers:
        signer.payload = lambda request: headers["x_amz_content_sha256"]  # type: ignore[method-assign]
    signer.add_auth(request)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request(method, path, body or None, dict(request.headers.items()))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


class TestObjects:
    def test_an_object_comes_back_as_it_was_put(self, s3: Any, bucket: str) -> None:
        s3.put_object(
            Bucket=bucket,
            Key="some/key",
            Body=b"hello",
            ContentType="text/plain",
            CacheControl="no-store",
            ContentEncoding="gzip",
            Metadata={"colour": "blue"},
            Tagging="a=1&b=2",
        )
        got = s3.get_object(Bucket=bucket, Key="some/key", ChecksumMode="ENABLED")
        assert got["Body"].read() == b"hello"
        assert (got["ContentType"], got["CacheControl"], got["ContentEncoding"]) == ("text/plain", "no-store", "gzip")
        assert got["Metadata"] == {"colour": "blue"}
        assert got["ETag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'
        assert got["ChecksumCRC32"] == "NhCmhg=="
        assert got["TagCount"] == 2
        tags = s3.get_object_tagging(Bucket=bucket, Key="some/key")["TagSet"]
        assert tags == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
        s3.delete_object_tagging(Bucket=bucket, Key="some/key")
        assert s3.get_object_tagging(Bucket=bucket, Key="some/key")["TagSet"] == []

    def test_every_answer_carries_a_request_id_and_one_date(self, s3: Any, bucket: str) -> None:
        headers = s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPHeaders"]
        assert headers["x-amz-request-id"]
        assert headers["date"].count("GMT") == 1

    @pytest.mark.parametrize(
        ("asked", "expected", "content_range"),
        [
            ("bytes=0-3", b"0123", "bytes 0-3/10"),
            ("bytes=7-", b"789", "bytes 7-9/10"),
            ("bytes=-2", b"89", "bytes 8-9/10"),
            ("bytes=5-500", b"56789", "bytes 5-9/10"),
        ],
    )
    def test_a_range_gives_those_bytes(
        self, s3: Any, bucket: str, asked: str, expected: bytes, content_range: str
    ) -> None:
        s3.put_object(Bucket=bucket, Key="ten", Body=b"0123456789")
        got = s3.get_object(Bucket=bucket, Key="ten", Range=asked, ChecksumMode="ENABLED")
        assert got["Body"].read() == expected
        assert (got["ResponseMetadata"]["HTTPStatusCode"], got["ContentRange"]) == (206, content_range)

    def test_a_range_past_the_end_is_refused(self, s3: Any, bucket: str) -> None:
        s3.put_object(Bucket=bucket, Key="ten", Body=b"0123456789")
        assert refused(lambda: s3.get_object(Bucket=bucket, Key="ten", Range="bytes=10-")) == ("InvalidRange", 416)

    def test_preconditions_hold_reads_back(self, s3: Any, bucket: str) -> None:
        etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
        of_k: dict[str, Any] = {"Bucket": bucket, "Key": "k"}
        later, earlier = (datetime.now(UTC) + timedelta(hours=hours) for hours in (1, -1))
        assert s3.get_object(**of_k, IfMatch=etag)["Body"].read() == b"x"
        assert refused(lambda: s3.get_object(**of_k, IfMatch='"other"')) == ("PreconditionFailed", 412)
        assert refused(lambda: s3.get_object(**of_k, IfNoneMatch=etag)) == ("304", 304)
        assert refused(lambda: s3.get_object(**of_k, IfModifiedSince=later)) == ("304", 304)
        assert refused(lambda: s3.get_object(**of_k, IfUnmodifiedSince=earlier)) == ("PreconditionFailed", 412)
        assert s3.get_object(**of_k, IfMatch=etag, IfUnmodifiedSince=earlier)["Body"].read() == b"x"

    def test_a_write_may_insist_on_being_the_first(self, s3: Any, bucket: str) -> None:
        s3.put_object(Bucket=bucket, Key="k", Body=b"first", IfNoneMatch="*")
        again = refused(lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"second", IfNoneMatch="*"))
        assert again == ("PreconditionFailed", 412)
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"first"

    def test_a_reader_may_name_the_headers_it_wants(self, s3: Any, bucket: str) -> None:
        s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        got = s3.get_object(Bucket=bucket, Key="k", ResponseContentDisposition="attachment; filename=a.zip")
        assert got["ContentDisposition"] == "attachment; filename=a.zip"
        forged = lambda: s3.get_object(Bucket=bucket, Key="k", ResponseContentType="a\r\nset-cookie: b")  # noqa: E731
        assert refused(forged) == ("InvalidArgument", 400)

    def test_a_copy_keeps_or_replaces_what_is_said_of_it(self, s3: Any, bucket: str) -> None:
        s3.put_object(Bucket=bucket, Key="a b+c/é", Body=b"x", Metadata={"m": "1"}, Tagging="t=1")
        source = {"Bucket": bucket, "Key": "a b+c/é"}
        s3.copy_object(Bucket=bucket, Key="kept", CopySource=source)
        s3.copy_object(Bucket=bucket, Key="new", CopySource=source, MetadataDirective="REPLACE", Metadata={"m": "2"})
        assert s3.head_object(Bucket=bucket, Key="kept")["Metadata"] == {"m": "1"}
        assert s3.head_object(Bucket=bucket, Key="new")["Metadata"] == {"m": "2"}
        s3.delete_object(**source)
        assert s3.get_object(Bucket=bucket, Key="kept")["Body"].read() == b"x"
        onto_itself = lambda: s3.copy_object(Bucket=bucket, Key="new", CopySource=f"{bucket}/new")  # noqa: E731
        assert refused(onto_itself) == ("InvalidRequest", 400)

    def test_what_is_not_there_is_not_found(self, s3: Any, bucket: str) -> None:
        assert refused(lambda: s3.get_object(Bucket=bucket, Key="no")) == ("NoSuchKey", 404)
        assert refused(lambda: s3.head_object(Bucket=bucket, Key="no")) == ("404", 404)
        assert refused(lambda: s3.get_object(Bucket="no-such-bucket", Key="k")) == ("NoSuchBucket", 404)
        assert s3.delete_object(Bucket=bucket, Key="no")["ResponseMetadata"]["HTTPStatusCode"] == 204

    def test_concurrent_puts_to_one_key_leave_one_whole_object(self, server: S3Server, s3: Any, bucket: str) -> None:
        bodies = [bytes([number]) * 3 * MIB for number in range(8)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda body: s3.put_object(Bucket=bucket, Key="k", Body=body), bodies))
        got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
        body = got["Body"].read()
        assert body in bodies
        assert got["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'


HOSTILE_KEYS = [
    "../../etc/passwd",
    "..",
    "a",
    "a/b",
    "a/",
    "a//b",
    "/leading",
    "nul\0inside",
    "line\nbreak",
    "tab\tand \x01 control",
    "percent%2Fnot-a-slash",
    "plus+and space?and#hash&=",
    "ключ/鍵/🔑",
    "é",
    "e\u0301",
    "x" * 1024,
    "<Key>&amp;</Key>",
]


class TestKeys:
    @pytest.mark.parametrize("key", HOSTILE_KEYS, ids=ascii)
    def test_a_hostile_key_is_only_a_name(self, server: S3Server, s3: Any, bucket: str, key: str) -> None:
        outside = {path for path in server.folder.parent.rglob("*") if "content" not in path.parts}
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
        assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
        assert {path for path in server.folder.parent.rglob("*") if "content" not in path.parts} == outside
        s3.delete_object(Bucket=bucket, Key=key)
        assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0

    def test_all_of_them_live_side_by_side_in_order_of_their_bytes(self, s3: Any, bucket: str) -> None:
        for key in HOSTILE_KEYS:
            s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
        listed = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
        assert listed == sorted(HOSTILE_KEYS, key=str.encode)
        for key in HOSTILE_KEYS:
            assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()

    def test_a_key_of_1025_bytes_is_too_long(self, s3: Any, bucket: str) -> None:
        assert refused(lambda: s3.put_object(Bucket=bucket, Key="x" * 1025, Body=b""))[0] == "KeyTooLongError"


class TestListing:
    @pytest.fixture
    def tree(self, s3: Any, bucket: str) -> list[str]:
        keys = [*(f"{top}/{middle}/{leaf}" for top in "abc" for middle in "xy" for leaf in range(4)), "root"]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=b""), keys))
        return keys

    @pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2", "list_object_versions"])
    @pytest.mark.parametrize("size", [1, 3, 1000])
    @pytest.mark.parametrize(("prefix", "delimiter"), [("", ""), ("", "/"), ("a/", "/"), ("b", "/"), ("a/x/", "")])
    def test_pages_of_any_size_give_everything_once_and_in_order(
        self, s3: Any, bucket: str, tree: list[str], operation: str, size: int, prefix: str, delimiter: str
    ) -> None:
        seen, folders = [], []
        pages = s3.get_paginator(operation).paginate(
            Bucket=bucket, Prefix=prefix, Delimiter=delimiter, PaginationConfig={"PageSize": size}
        )
        for page in pages:
            seen += [entry["Key"] for entry in page.get("Contents", page.get("Versions", []))]
            folders += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
        under = [key for key in tree if key.startswith(prefix)]
        if delimiter:
            folded = [key for key in under if delimiter in key[len(prefix) :]]
            assert folders == sorted({prefix + key[len(prefix) :].split(delimiter)[0] + delimiter for key in folded})
            assert seen == [key for key in under if key not in folded]
        else:
            assert (seen, folders) == (under, [])

    def test_a_page_has_a_thousand_keys_and_folders_are_found_over_more(self, s3: Any, bucket: str) -> None:
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda n: s3.put_object(Bucket=bucket, Key=f"d{n % 3}/{n:04}", Body=b""), range(1200)))
        assert len(s3.list_objects_v2(Bucket=bucket)["Contents"]) == 1000
        assert len(s3.list_objects_v2(Bucket=bucket, Delimiter="/")["CommonPrefixes"]) == 3


class TestVersions:
    @pytest.fixture
    def versioned(self, s3: Any, bucket: str) -> str:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        return bucket

    def test_an_overwritten_object_stays_as_an_older_version(self, s3: Any, versioned: str) -> None:
        first, second = (s3.put_object(Bucket=versioned, Key="k", Body=body)["VersionId"] for body in (b"1", b"2"))
        assert s3.get_object(Bucket=versioned, Key="k")["VersionId"] == second
        assert s3.get_object(Bucket=versioned, Key="k", VersionId=first)["Body"].read() == b"1"
        listed = s3.list_object_versions(Bucket=versioned)["Versions"]
        assert [(entry["VersionId"], entry["IsLatest"]) for entry in listed] == [(second, True), (first, False)]

    def test_a_delete_marker_hides_and_its_deletion_brings_back(self, s3: Any, versioned: str) -> None:
        s3.put_object(Bucket=versioned, Key="k", Body=b"1")
        marker = s3.delete_object(Bucket=versioned, Key="k")
        assert marker["DeleteMarker"]
        assert refused(lambda: s3.get_object(Bucket=versioned, Key="k")) == ("NoSuchKey", 404)
        of_marker = {"Bucket": versioned, "Key": "k", "VersionId": marker["VersionId"]}
        assert refused(lambda: s3.get_object(**of_marker)) == ("MethodNotAllowed", 405)
        assert s3.list_objects_v2(Bucket=versioned)["KeyCount"] == 0
        s3.delete_object(**of_marker)
        assert s3.get_object(Bucket=versioned, Key="k")["Body"].read() == b"1"

    def test_suspended_versioning_keeps_the_old_and_replaces_the_null_version(self, s3: Any, versioned: str) -> None:
        old = s3.put_object(Bucket=versioned, Key="k", Body=b"old")["VersionId"]
        s3.put_bucket_versioning(Bucket=versioned, VersioningConfiguration={"Status": "Suspended"})
        for body in (b"null 1", b"null 2"):
            s3.put_object(Bucket=versioned, Key="k", Body=body)
        listed = s3.list_object_versions(Bucket=versioned)["Versions"]
        assert [entry["VersionId"] for entry in listed] == ["null", old]
        assert s3.get_object(Bucket=versioned, Key="k", VersionId="null")["Body"].read() == b"null 2"

    def test_a_versioned_bucket_can_be_emptied_page_by_page(self, s3: Any, versioned: str) -> None:
        for number in range(5):
            for _ in range(3):
                s3.put_object(Bucket=versioned, Key=f"k{number}", Body=b"x")
            s3.delete_object(Bucket=versioned, Key=f"k{number}")
        assert refused(lambda: s3.delete_bucket(Bucket=versioned)) == ("BucketNotEmpty", 409)
        pages = s3.get_paginator("list_object_versions").paginate(Bucket=versioned, PaginationConfig={"PageSize": 2})
        for page in pages:
            found = page.get("Versions", []) + page.get("DeleteMarkers", [])
            objects = [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in found]
            assert "Errors" not in s3.delete_objects(Bucket=versioned, Delete={"Objects": objects})
        s3.delete_bucket(Bucket=versioned)


class TestBuckets:
    def test_a_name_is_taken_once(self, server: S3Server, s3: Any, bucket: str) -> None:
        here = {"LocationConstraint": REGION}
        again = lambda client: client.create_bucket(Bucket=bucket, CreateBucketConfiguration=here)  # noqa: E731
        assert refused(lambda: again(s3)) == ("BucketAlreadyOwnedByYou", 409)
        assert refused(lambda: again(server.client(STRANGER))) == ("BucketAlreadyExists", 409)
        assert bucket in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]
        assert bucket not in [entry["Name"] for entry in server.client(STRANGER).list_buckets()["Buckets"]]

    @pytest.mark.parametrize("name", ["UPPER", "ab", "a..b", "192.168.0.1", "-a-b", "xn--abc", "x" * 64])
    def test_a_bad_name_is_refused(self, server: S3Server, name: str) -> None:
        status, body = send(server, "PUT", f"/{name}")
        assert (status, b"<Code>InvalidBucketName</Code>" in body) == (400, True)

    def test_a_bucket_answers_in_its_own_region_only(self, server: S3Server, s3: Any, bucket: str) -> None:
        body = send_for_region(server, f"/{bucket}?list-type=2", "us-west-2")
        assert b"<Code>AuthorizationHeaderMalformed</Code>" in body
        assert f"<Region>{REGION}</Region>".encode() in body
        assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] == REGION
        assert server.client(region="us-west-2").list_objects_v2(Bucket=bucket)["KeyCount"] == 0, "boto3 was redirected"

    @pytest.mark.parametrize("what", ["acl", "policy", "website", "lifecycle", "cors", "encryption", "something-new"])
    def test_what_is_not_done_says_so(self, server: S3Server, bucket: str, what: str) -> None:
        for method in ("GET", "PUT"):
            status, body = send(server, method, f"/{bucket}?{what}")
            assert (status, b"<Code>NotImplemented</Code>" in body) == (501, True)

    def test_a_request_for_encryption_is_not_quietly_ignored(self, s3: Any, bucket: str) -> None:
        put = lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"", ServerSideEncryption="AES256")  # noqa: E731
        assert refused(put) == ("NotImplemented", 501)

    def test_xml_made_to_hurt_is_refused(self, server: S3Server, bucket: str) -> None:
        bomb = b'<!DOCTYPE D [<!ENTITY a "aaaa">]><Delete><Object><Key>&a;</Key></Object></Delete>'
        many = b"<Delete>" + b"<Object/>" * 200_000 + b"</Delete>"
        for document in (bomb, many, b"<Delete>", b"", b"x" * 9 * MIB):
            status, body = send(server, "POST", f"/{bucket}?delete", document)
            assert (status, b"<Code>MalformedXML</Code>" in body) == (400, True)


def send_for_region(server: S3Server, path: str, region: str) -> bytes:
    request = AWSRequest("GET", server.url + path)
    S3SigV4Auth(Credentials(ROOT.access_key_id, ROOT.secret_access_key), "s3", region).add_auth(request)
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(urllib.request.Request(request.url, headers=dict(request.headers.items())))
    return caught.value.read()


class TestWhoMay:
    def test_the_owner_and_the_control_plane_may(self, server: S3Server, s3: Any, bucket: str) -> None:
        s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        assert server.client(SERVICE).get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"

    @pytest.mark.parametrize("key", [USER, STRANGER], ids=repr)
    def test_nobody_else_may(self, server: S3Server, s3: Any, bucket: str, key: Any) -> None:
        s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        other = server.client(key)
        assert refused(lambda: other.get_object(Bucket=bucket, Key="k")) == ("AccessDenied", 403)
        assert refused(lambda: other.put_object(Bucket=bucket, Key="k", Body=b"y")) == ("AccessDenied", 403)
        assert refused(lambda: other.delete_bucket(Bucket=bucket)) == ("AccessDenied", 403)

    def test_an_anonymous_request_is_denied(self, server: S3Server, bucket: str) -> None:
        with pytest.raises(urllib.error.HTTPError) as caught:
            fetch(f"{server.url}/{bucket}/k")
        assert (caught.value.code, b"<Code>AccessDenied</Code>" in caught.value.read()) == (403, True)

    def test_an_unknown_key_and_a_wrong_secret_are_told_apart_as_s3_does(self, server: S3Server) -> None:
        unknown, wrong = (
            server.client(type(ROOT)(**{**_fields(ROOT), **change}))
            for change in ({"access_key_id": "AKIANOBODY"}, {"secret_access_key": "wrong"})
        )
        assert refused(unknown.list_buckets) == ("InvalidAccessKeyId", 403)
        assert refused(wrong.list_buckets) == ("SignatureDoesNotMatch", 403)


def _fields(key: Any) -> dict[str, Any]:
    return {name: getattr(key, name) for name in type(key).__dataclass_fields__}


def fetch(request: str | urllib.request.Request) -> bytes:
    with urllib.request.urlopen(request, timeout=30) as response:
        return bytes(response.read())


class TestPresigned:
    def test_a_url_presigned_the_old_way_works_too(self, server: S3Server, s3: Any, bucket: str) -> None:
        """boto3 and AWS CLI 1 still make Signature Version 2 URLs unless told otherwise."""
        old = server.client(signature_version="s3")
        put = old.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "a b", "Metadata": {"m": "1"}})
        assert "AWSAccessKeyId=" in put
        fetch(urllib.request.Request(put, b"by url", method="PUT", headers={"content-type": ""}))
        assert s3.head_object(Bucket=bucket, Key="a b")["Metadata"] == {"m": "1"}
        get = old.generate_presigned_url(
            "get_object", {"Bucket": bucket, "Key": "a b", "ResponseContentType": "text/x y"}
        )
        assert fetch(get) == b"by url"
        versions = get.replace("response-content-type=", "versionId=null&response-content-type=")
        expired = old.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a b"}, ExpiresIn=-1)
        for url, says in (
            (get.replace("/a%20b?", "/other?"), b"SignatureDoesNotMatch"),
            (versions, b"SignatureDoesNotMatch"),
            (versions.replace("versionId", "%76ersionId"), b"SignatureDoesNotMatch"),
            (get.replace(ROOT.access_key_id, "AKIANOBODY"), b"InvalidAccessKeyId"),
            (expired, b"Request has expired"),
        ):
            with pytest.raises(urllib.error.HTTPError) as caught:
                fetch(url)
            assert says in caught.value.read()
        forged = urllib.request.Request(put, b"", method="PUT", headers={"x-amz-copy-source": "/b/k"})
        with pytest.raises(urllib.error.HTTPError):
            fetch(forged)

    def test_a_presigned_url_reads_and_writes_without_credentials(self, s3: Any, bucket: str) -> None:
        of_k = {"Bucket": bucket, "Key": "a b/ü"}
        put = urllib.request.Request(s3.generate_presigned_url("put_object", of_k), b"by url", method="PUT")
        fetch(put)
        assert fetch(s3.generate_presigned_url("get_object", of_k)) == b"by url"

    def test_a_presigned_url_ends(self, server: S3Server, s3: Any, bucket: str) -> None:
        s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"}, ExpiresIn=1)
        deadline = time.monotonic() + 10

        def fetch_until_refused() -> None:
            while time.monotonic() < deadline:
                fetch(url)

        with pytest.raises(urllib.error.HTTPError) as caught:
            fetch_until_refused()
        assert (caught.value.code, b"Request has expired" in caught.value.read()) == (403, True)

    def test_a_presigned_put_cannot_be_made_a_copy(self, s3: Any, bucket: str) -> None:
        s3.put_object(Bucket=bucket, Key="secret", Body=b"x")
        url = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "mine"})
        forged = urllib.request.Request(url, method="PUT", headers={"x-amz-copy-source": f"/{bucket}/secret"})
        with pytest.raises(urllib.error.HTTPError) as caught:
            fetch(forged)
        assert (caught.value.code, b"HeadersNotSigned" in caught.value.read()) == (403, True)

    def test_a_presigned_url_is_for_its_key_only(self, s3: Any, bucket: str) -> None:
        s3.put_object(Bucket=bucket, Key="other", Body=b"x")
        url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "mine"})
        with pytest.raises(urllib.error.HTTPError) as caught:
            fetch(url.replace("/mine?", "/other?"))
        assert b"<Code>SignatureDoesNotMatch</Code>" in caught.value.read()


class TestVirtualHosts:
    @pytest.fixture(autouse=True)
    def names_lead_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        really = socket.getaddrinfo

        def loopback(host: Any, *args: Any, **more: Any) -> Any:
            return really("127.0.0.1" if str(host).endswith((".localhost", ".s3.test")) else host, *args, **more)

        monkeypatch.setattr(socket, "getaddrinfo", loopback)

    @pytest.mark.parametrize("base", ["localhost", "s3.test"])
    def test_the_bucket_may_be_in_the_host_name(self, server: S3Server, s3: Any, bucket: str, base: str) -> None:
        client = server.client(url=f"http://{base}:{server.port}", s3={"addressing_style": "virtual"})
        client.put_object(Bucket=bucket, Key="a/b", Body=b"x")
        assert s3.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"x"
        url = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a/b"})
        assert urlsplit(url).netloc == f"{bucket}.{base}:{server.port}"
        assert fetch(url) == b"x"


def chunked(body: bytes, sizes: list[int]) -> Iterator[bytes]:
    position = 0
    for size in sizes:
        yield body[position : position + size]
        position += size
    yield body[position:]


def unsigned_chunks(body: bytes, trailer: str) -> bytes:
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunked(body, [10, 70_000]) if chunk)
    return framed + b"0\r\n" + trailer.encode() + b"\r\n\r\n"


class TestChunkedBodies:
    BODY = random.Random(1).randbytes(300_000)

    def put(self, server: S3Server, bucket: str, trailer_name: str, trailer_value: str) -> tuple[int, bytes]:
        return send(
            server,
            "PUT",
            f"/{bucket}/chunked",
            unsigned_chunks(self.BODY, f"{trailer_name}:{trailer_value}"),
            x_amz_content_sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            x_amz_trailer=trailer_name,
            x_amz_decoded_content_length=str(len(self.BODY)),
            content_encoding="aws-chunked",
        )

    @pytest.mark.parametrize("name", ["crc32c", "crc64nvme", "sha256"])
    def test_a_trailing_checksum_is_verified_and_kept(self, server: S3Server, s3: Any, bucket: str, name: str) -> None:
        running: Any = {"crc32c": Crc(CRC32C), "crc64nvme": Crc(CRC64NVME), "sha256": hashlib.sha256()}[name]
        running.update(self.BODY)
        value = base64.b64encode(running.digest()).decode()
        status, answer = self.put(server, bucket, f"x-amz-checksum-{name}", value)
        assert status == 200, answer
        got = s3.get_object(Bucket=bucket, Key="chunked", ChecksumMode="ENABLED")
        assert got["Body"].read() == self.BODY
        assert got[f"Checksum{name.upper()}"] == value
        assert "ContentEncoding" not in got

    def test_a_corrupted_body_is_refused_and_leaves_nothing(self, server: S3Server, s3: Any, bucket: str) -> None:
        before = server.content_files()
        status, body = self.put(server, bucket, "x-amz-checksum-crc32", "AAAAAA==")
        assert (status, b"<Code>BadDigest</Code>" in body) == (400, True)
        assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
        assert server.content_files() == before

    @pytest.mark.parametrize("forged", [None, "data", "signature", "trailer"])
    def test_signed_chunks_are_checked_one_by_one(
        self, server: S3Server, s3: Any, bucket: str, forged: str | None
    ) -> None:
        """The algorithm of AWS's page on SigV4 streaming with trailers, written out once more."""
        crc = base64.b64encode(zlib_crc32(self.BODY)).decode()
        request = AWSRequest(
            "PUT",
            f"{server.url}/{bucket}/signed",
            headers={
                "x-amz-decoded-content-length": str(len(self.BODY)),
                "x-amz-trailer": "x-amz-checksum-crc32",
                "content-encoding": "aws-chunked",
            },
        )
        signer = S3SigV4Auth(Credentials(ROOT.access_key_id, ROOT.secret_access_key), "s3", REGION)
        signer.payload = lambda request: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"  # type: ignore[method-assign]
        signer.add_auth(request)
        timestamp = request.headers["X-Amz-Date"]
        scope = f"{timestamp[:8]}/{REGION}/s3/aws4_request"
        previous = request.headers["Authorization"].rpartition("=")[2]
        key = SigningKey(ROOT.secret_access_key, timestamp[:8], REGION, "s3")
        framed = bytearray()
        for chunk in [*chunked(self.BODY, [65_536, 65_536]), b""]:
            digests = f"{hashlib.sha256().hexdigest()}\n{hashlib.sha256(chunk).hexdigest()}"
            previous = key.sign(f"AWS4-HMAC-SHA256-PAYLOAD\n{timestamp}\n{scope}\n{previous}\n{digests}".encode())
            sent = chunk[:-1] + b"?" if forged == "data" and chunk else chunk
            written = "0" * 64 if forged == "signature" and not chunk else previous
            framed += b"%x;chunk-signature=%s\r\n" % (len(chunk), written.encode())
            framed += sent + b"\r\n" if chunk else b""
        trailer = f"x-amz-checksum-crc32:{crc}\n"
        digest = hashlib.sha256(trailer.encode()).hexdigest()
        signed = key.sign(f"AWS4-HMAC-SHA256-TRAILER\n{timestamp}\n{scope}\n{previous}\n{digest}".encode())
        written = "0" * 64 if forged == "trailer" else signed
        framed += f"x-amz-checksum-crc32:{crc}\r\nx-amz-trailer-signature:{written}\r\n\r\n".encode()
        put = urllib.request.Request(
            request.url, bytes(framed), dict(request.headers.items()) | {"content-type": ""}, method="PUT"
        )
        if forged is None:
            fetch(put)
            assert s3.get_object(Bucket=bucket, Key="signed")["Body"].read() == self.BODY
            return
        with pytest.raises(urllib.error.HTTPError) as caught:
            fetch(put)
        assert b"<Code>SignatureDoesNotMatch</Code>" in caught.value.read()
        assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0

    def test_a_body_that_is_not_what_was_signed_is_refused(self, server: S3Server, bucket: str) -> None:
        status, body = send(server, "PUT", f"/{bucket}/k", b"x", x_amz_content_sha256=hashlib.sha256(b"y").hexdigest())
        assert (status, b"<Code>XAmzContentSHA256Mismatch</Code>" in body) == (400, True)

    def test_a_wrong_content_md5_is_refused(self, s3: Any, bucket: str) -> None:
        wrong = base64.b64encode(hashlib.md5(b"y").digest()).decode()
        put = lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentMD5=wrong)  # noqa: E731
        assert refused(put) == ("BadDigest", 400)

    def test_more_than_five_gibibytes_at_once_are_refused_before_they_come(self, server: S3Server, bucket: str) -> None:
        status, body = send(
            server,
            "PUT",
            f"/{bucket}/k",
            x_amz_content_sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            x_amz_decoded_content_length=str(5 * 2**30 + 1),
        )
        assert (status, b"<Code>EntityTooLarge</Code>" in body) == (400, True)


def zlib_crc32(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(4, "big")


class TestCrcs:
    @pytest.mark.parametrize(
        ("polynomial", "of_nine_digits"), [(CRC32, "cbf43926"), (CRC32C, "e3069283"), (CRC64NVME, "ae8b14860a799888")]
    )
    def test_they_give_the_published_check_value(self, polynomial: Polynomial, of_nine_digits: str) -> None:
        assert crc_of(polynomial, b"123456789").hex() == of_nine_digits

    @pytest.mark.parametrize("size", [0, 1, 3, 7, 8, 63, 64, 65, 129, 1000, 65_535, 65_536, 65_537, 200_001])
    def test_blocks_and_parts_come_to_what_zlib_says(self, size: int) -> None:
        body = random.Random(size).randbytes(size)
        assert crc_of(CRC32, body) == zlib_crc32(body)
        for polynomial in (CRC32, CRC32C, CRC64NVME):
            first, second = body[: size // 3], body[size // 3 :]
            together = joined(polynomial, crc_of(polynomial, first), crc_of(polynomial, second), len(second))
            assert together == crc_of(polynomial, body)


def crc_of(polynomial: Polynomial, body: bytes) -> bytes:
    crc = Crc(polynomial)
    crc.update(body)
    return crc.digest()


class TestMultipart:
    def test_thirty_megabytes_go_up_and_down_whole(self, s3: Any, bucket: str, tmp_path: Path) -> None:
        file = tmp_path / "bundle"
        file.write_bytes(os.urandom(30 * MIB))
        s3.upload_file(str(file), bucket, "bundle")
        head = s3.head_object(Bucket=bucket, Key="bundle", ChecksumMode="ENABLED")
        assert head["ETag"].endswith('-4"')
        assert head["ChecksumCRC32"].endswith("-4")
        s3.download_file(bucket, "bundle", str(tmp_path / "back"))
        assert (tmp_path / "back").read_bytes() == file.read_bytes()
        second = s3.get_object(Bucket=bucket, Key="bundle", PartNumber=2)
        assert (second["PartsCount"], second["Body"].read()) == (4, file.read_bytes()[8 * MIB : 16 * MIB])
        across = s3.get_object(Bucket=bucket, Key="bundle", Range=f"bytes={8 * MIB - 5}-{8 * MIB + 4}")
        assert across["Body"].read() == file.read_bytes()[8 * MIB - 5 : 8 * MIB + 5]

    def test_a_large_object_is_copied_by_parts_and_at_once(self, s3: Any, bucket: str) -> None:
        body = os.urandom(20 * MIB)
        s3.upload_fileobj(io.BytesIO(body), bucket, "source")
        s3.copy({"Bucket": bucket, "Key": "source"}, bucket, "by parts")
        s3.copy_object(Bucket=bucket, Key="at once", CopySource={"Bucket": bucket, "Key": "source"})
        for key in ("by parts", "at once"):
            assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body
        assert s3.head_object(Bucket=bucket, Key="at once")["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'

    @pytest.mark.parametrize(("algorithm", "kind"), [("CRC32", "FULL_OBJECT"), ("SHA256", "COMPOSITE")])
    def test_the_checksum_of_the_whole_comes_of_its_parts(
        self, s3: Any, bucket: str, algorithm: str, kind: str
    ) -> None:
        parts = [os.urandom(5 * MIB), os.urandom(1234)]
        begun = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm, ChecksumType=kind)
        upload = {"Bucket": bucket, "Key": "k", "UploadId": begun["UploadId"]}
        named = []
        for number, part in enumerate(parts, 1):
            done = s3.upload_part(**upload, PartNumber=number, Body=part, ChecksumAlgorithm=algorithm)
            checksum = f"Checksum{algorithm}"
            named.append({"PartNumber": number, "ETag": done["ETag"], checksum: done[checksum]})
        done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": named})
        if kind == "FULL_OBJECT":
            expected = base64.b64encode(zlib_crc32(b"".join(parts))).decode()
        else:
            of_parts = b"".join(hashlib.sha256(part).digest() for part in parts)
            expected = base64.b64encode(hashlib.sha256(of_parts).digest()).decode() + "-2"
        assert done[f"Checksum{algorithm}"] == expected

    def test_a_wrong_completion_is_refused_and_can_be_righted(self, s3: Any, bucket: str) -> None:
        begun = s3.create_multipart_upload(Bucket=bucket, Key="k")
        upload = {"Bucket": bucket, "Key": "k", "UploadId": begun["UploadId"]}
        etags = [
            s3.upload_part(**upload, PartNumber=number, Body=b"x" * size)["ETag"]
            for number, size in ((1, 5 * MIB), (2, 10), (3, 10))
        ]
        one, two, three = ({"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1))

        def complete(*parts: dict[str, object]) -> Any:
            return s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": list(parts)})

        assert refused(lambda: complete(two, one)) == ("InvalidPartOrder", 400)
        assert refused(lambda: complete(one, {"PartNumber": 9, "ETag": etags[0]})) == ("InvalidPart", 400)
        assert refused(lambda: complete({"PartNumber": 1, "ETag": etags[1]})) == ("InvalidPart", 400)
        assert refused(lambda: complete(one, two, three)) == ("EntityTooSmall", 400)
        assert [part["PartNumber"] for part in s3.list_parts(**upload)["Parts"]] == [1, 2, 3]
        complete(one, three)
        assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == 5 * MIB + 10
        assert refused(lambda: complete(one)) == ("NoSuchUpload", 404)

    def test_an_aborted_upload_leaves_nothing(self, server: S3Server, s3: Any, bucket: str) -> None:
        before = server.content_files()
        begun = s3.create_multipart_upload(Bucket=bucket, Key="k")
        upload = {"Bucket": bucket, "Key": "k", "UploadId": begun["UploadId"]}
        s3.upload_part(**upload, PartNumber=1, Body=b"x")
        assert [entry["Key"] for entry in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == ["k"]
        s3.abort_multipart_upload(**upload)
        assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
        assert server.content_files() == before
        assert refused(lambda: s3.upload_part(**upload, PartNumber=1, Body=b"x")) == ("NoSuchUpload", 404)

    def test_three_hundred_megabytes_do_not_grow_the_server(
        self, server: S3Server, s3: Any, bucket: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "large"
        block = os.urandom(MIB)
        with file.open("wb") as out:
            for number in range(300):
                out.write(number.to_bytes(4, "big") + block[4:])
        s3.upload_fileobj(io.BytesIO(b"x" * 20 * MIB), bucket, "warm")
        memory = Memory(server.process.pid)
        with memory:
            s3.upload_file(str(file), bucket, "large")
            s3.download_file(bucket, "large", str(tmp_path / "back"))
        digests = [hashlib.file_digest(path.open("rb"), "sha256").digest() for path in (file, tmp_path / "back")]
        assert digests[0] == digests[1]
        # Ten connections at once, each with a block or two on its way.
        assert memory.growth < 60 * MIB, f"grew by {memory.growth / MIB:.0f} MiB"


class Memory:
    """Watches how much a process grows."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._before = self._highest = self._process.memory_info().rss
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch)

    @property
    def growth(self) -> int:
        return self._highest - self._before

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self._highest = max(self._highest, self._process.memory_info().rss)

    def __enter__(self) -> None:
        self._watcher.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watcher.join()


class TestCrashes:
    def test_killed_in_mid_upload_it_keeps_the_old_object_and_no_stray_file(self, own_server: S3Server) -> None:
        s3 = own_server.client(region="us-east-1")
        s3.create_bucket(Bucket="crash")
        s3.put_object(Bucket="crash", Key="k", Body=b"old")
        kept = own_server.content_files()
        begun = s3.create_multipart_upload(Bucket="crash", Key="multi")
        upload = {"Bucket": "crash", "Key": "multi", "UploadId": begun["UploadId"]}
        part = s3.upload_part(**upload, PartNumber=1, Body=b"part")
        with socket.create_connection(("127.0.0.1", own_server.port)) as connection:
            request = AWSRequest("PUT", f"{own_server.url}/crash/k", headers={"content-length": str(50 * MIB)})
            signer = S3SigV4Auth(Credentials(ROOT.access_key_id, ROOT.secret_access_key), "s3", "us-east-1")
            signer.payload = lambda request: "UNSIGNED-PAYLOAD"  # type: ignore[method-assign]
            signer.add_auth(request)
            lines = [f"{name}: {value}" for name, value in request.headers.items()]
            head = "\r\n".join(["PUT /crash/k HTTP/1.1", f"host: 127.0.0.1:{own_server.port}", *lines, "", ""])
            connection.sendall(head.encode() + b"n" * 5 * MIB)
            deadline = time.monotonic() + 20
            while not any(name.endswith(".unfinished") for name in own_server.content_files()):
                assert time.monotonic() < deadline, "the upload never reached the disk"
            own_server.kill()
        (own_server.folder / "content" / "00" / ("0" * 32)).write_bytes(b"durable, but its row was never written")
        own_server.start()
        s3 = own_server.client(region="us-east-1")
        assert s3.get_object(Bucket="crash", Key="k")["Body"].read() == b"old"
        assert len(own_server.content_files()) == len(kept) + 1, "the old object and the part, nothing else"
        s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
        assert s3.get_object(Bucket="crash", Key="multi")["Body"].read() == b"part"

    def test_an_upload_the_client_breaks_off_leaves_nothing(self, server: S3Server, s3: Any, bucket: str) -> None:
        before = server.content_files()
        url = urlsplit(s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "k"}))
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nhost: {url.netloc}\r\ncontent-length: 9000000\r\n\r\n"
            connection.sendall(head.encode() + b"x" * 3_000_000)
        deadline = time.monotonic() + 20
        while server.content_files() != before:
            assert time.monotonic() < deadline, "what came of the upload is still there"
        assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0

    def test_a_reader_gets_the_whole_object_though_it_is_overwritten(
        self, server: S3Server, s3: Any, bucket: str
    ) -> None:
        s3.upload_fileobj(io.BytesIO(b"o" * 40 * MIB), bucket, "k")
        before = server.content_files()
        body = s3.get_object(Bucket=bucket, Key="k")["Body"]
        first = body.read(1)
        s3.put_object(Bucket=bucket, Key="k", Body=b"new")
        assert first + body.read() == b"o" * 40 * MIB
        deadline = time.monotonic() + 20
        while len(server.content_files()) > len(before) - 5 + 1:
            assert time.monotonic() < deadline, "the five parts of the old object are still there"
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"new"


class TestAwsCli:
    def test_the_cli_makes_fills_lists_syncs_and_empties_a_bucket(
        self, aws: Callable[..., str], tmp_path: Path
    ) -> None:
        tree = tmp_path / "tree"
        (tree / "sub dir").mkdir(parents=True)
        (tree / "one.txt").write_text("one")
        (tree / "sub dir" / "two.txt").write_text("two")
        aws("s3", "mb", "s3://cli-bucket")
        assert "cli-bucket" in aws("s3", "ls")
        aws("s3", "cp", str(tree / "one.txt"), "s3://cli-bucket/copied.txt")
        aws("s3", "sync", str(tree), "s3://cli-bucket/tree")
        listed = aws("s3", "ls", "s3://cli-bucket", "--recursive")
        assert [line.split(maxsplit=3)[3] for line in listed.splitlines()] == [
            "copied.txt",
            "tree/one.txt",
            "tree/sub dir/two.txt",
        ]
        assert "PRE tree/" in aws("s3", "ls", "s3://cli-bucket")
        aws("s3", "mv", "s3://cli-bucket/copied.txt", "s3://cli-bucket/moved.txt")
        aws("s3", "sync", "s3://cli-bucket/tree", str(tmp_path / "back"))
        assert (tmp_path / "back" / "sub dir" / "two.txt").read_text() == "two"
        assert aws("s3", "sync", str(tree), "s3://cli-bucket/tree") == "", "nothing changed, nothing is sent"
        assert fetch(aws("s3", "presign", "s3://cli-bucket/moved.txt").strip()) == b"one"
        aws("s3", "rm", "s3://cli-bucket/moved.txt")
        aws("s3", "rb", "s3://cli-bucket", "--force")
        assert "cli-bucket" not in aws("s3", "ls")
