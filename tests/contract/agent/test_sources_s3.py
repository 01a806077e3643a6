"""Bundles from S3: downloads that are cut, changed, refused and redirected; the host's own credentials; proxies."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from scripted_control_plane import Agent, ControlPlane, bundle_of, running
from tests.bundle_host import Answer, Asked, BundleHost, ConnectProxy, certificate_for, file, large_tar

from longshore.agent import sources
from longshore.agent.config import HostConfig
from longshore.agent.errors import BundleError
from longshore.agent.specification import Revision, Specification

APPSPEC = "version: 0.0\nos: linux\n"
#: Megabytes of the bundle whose connection is cut.
LARGE = 1024


def specification_of(revision: Revision, *, bundle_url: str | None = None) -> Specification:
    return Specification(
        deployment_id="d-ONE",
        group_id="g-1",
        group_name="Fleet",
        application="Shop",
        revision=revision,
        bundle_url=bundle_url,
    )


@pytest.fixture
def host_of() -> Iterator[Callable[..., BundleHost]]:
    made: list[BundleHost] = []

    def make(answer: Callable[[Asked], Answer], **options: object) -> BundleHost:
        made.append(BundleHost(answer, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for host in made:
        host.stop()


@pytest.fixture
def proxy_of() -> Iterator[Callable[..., ConnectProxy]]:
    made: list[ConnectProxy] = []

    def make(**options: int) -> ConnectProxy:
        made.append(ConnectProxy(**options))
        return made[-1]

    yield make
    for proxy in made:
        proxy.stop()


def test_a_large_bundle_over_a_connection_cut_ten_times_arrives_whole_in_little_memory(
    plane: ControlPlane, agent: Agent, host_of: Callable[..., BundleHost]
) -> None:
    body = large_tar(LARGE, {"appspec.yml": APPSPEC.encode()})
    digest = hashlib.sha256()
    for chunk in body.chunks(0):
        digest.update(chunk)
    cuts = itertools.repeat(len(body) // 11, 10)
    host = host_of(file(body, cut_after=iter(cuts)))
    ours = {"BundleUrl": f"{host.url}/b?X-Amz-Signature=s", "BundleSha256": digest.hexdigest(), "BundleSize": len(body)}
    plane.deployment(Longshore=ours, bundle_type="tar")
    assert plane.run("DownloadBundle", seconds=240).status == "Succeeded"
    assert (agent.root / "g-1/d-ONE/deployment-archive/large").stat().st_size == LARGE * 1024 * 1024
    assert len(host.asked) == 11
    starts = [int(re.findall(r"\d+", asked.headers["range"])[0]) for asked in host.asked[1:]]
    assert starts == sorted(starts)
    assert starts[0] > 0, "what had arrived was not asked for again"
    [worker] = agent.workers()
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{worker}/status").read_text())
    assert peak
    assert int(peak[1]) < 64 * 1024


def test_an_object_that_changes_while_it_is_downloaded_is_begun_again_and_judged_by_its_checksum(
    plane: ControlPlane, agent: Agent, host_of: Callable[..., BundleHost]
) -> None:
    old, new = (bundle_of({"appspec.yml": APPSPEC, "page": os.urandom(100_000).hex()}) for _ in range(2))
    answers = iter([file(old, etag='"old"', cut_after=iter([50_000])), *[file(new, etag='"new"')] * 9])
    host = host_of(lambda asked: next(answers)(asked))
    ours = {"BundleUrl": host.url, "BundleSha256": hashlib.sha256(new).hexdigest(), "BundleSize": len(new)}
    plane.deployment(Longshore=ours)
    assert plane.run("DownloadBundle").status == "Succeeded"
    assert host.asked[1].headers["if-range"] == '"old"'
    ours["BundleSha256"] = hashlib.sha256(old).hexdigest()
    plane.deployment(Longshore=ours, deployment="d-TWO")
    done = plane.run("DownloadBundle", "d-TWO")
    assert "but should have " + ours["BundleSha256"] in done.message


def test_a_server_that_sends_the_wrong_part_is_not_believed(
    plane: ControlPlane, agent: Agent, host_of: Callable[..., BundleHost]
) -> None:
    content = bundle_of({"appspec.yml": APPSPEC, "page": os.urandom(100_000).hex()})
    wrong = Answer(206, {"etag": '"one"', "content-range": f"bytes 7-{len(content) - 1}/{len(content)}"}, content[7:])
    answers = iter([file(content, cut_after=iter([50_000])), lambda _: wrong, *[file(content)] * 9])
    host = host_of(lambda asked: next(answers)(asked))
    plane.deployment(bundle=content, Longshore={"BundleUrl": host.url})
    assert plane.run("DownloadBundle").status == "Succeeded"
    assert "range" not in host.asked[2].headers


def test_a_server_without_ranges_that_is_always_cut_is_given_up(
    tmp_path: Path, host_of: Callable[..., BundleHost], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longshore.agent.backoff.delay", lambda *_: 0)
    host = host_of(lambda _: Answer(200, {}, b"x" * 1000, 500))
    revision = Revision(kind="S3", bundle_type="zip", bucket="b", key="k")
    told = specification_of(revision, bundle_url=host.url)
    with pytest.raises(BundleError, match="tried 6 times"):
        sources.fetch(sources.Fetching(told, HostConfig(), tmp_path / "bundle", lambda _: None))
    assert len(host.asked) == 6


def test_a_redirect_to_plain_http_is_refused(
    plane: ControlPlane, tmp_path: Path, host_of: Callable[..., BundleHost]
) -> None:
    content = bundle_of({"appspec.yml": APPSPEC})
    onward = host_of(file(content))
    certificate = certificate_for(tmp_path, "localhost")
    host = host_of(lambda _: Answer(302, {"location": onward.url}), certificate=certificate)
    agent = Agent(plane, tmp_path).start(SSL_CERT_FILE=str(certificate[0]))
    try:
        plane.deployment(bundle=content, Longshore={"BundleUrl": host.url})
        assert "redirected from https to http" in plane.run("DownloadBundle").message
        assert not onward.asked
    finally:
        agent.end()


def test_a_certificate_that_nobody_vouches_for_is_refused(
    plane: ControlPlane, agent: Agent, tmp_path: Path, host_of: Callable[..., BundleHost]
) -> None:
    host = host_of(file(b""), certificate=certificate_for(tmp_path, "localhost"))
    plane.deployment(bundle=b"", Longshore={"BundleUrl": host.url})
    done = plane.run("DownloadBundle", seconds=60)
    assert "CERTIFICATE_VERIFY_FAILED" in done.message
    assert not host.asked


# The host's own credentials, at an S3 that is not ours.


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


def test_objects_are_read_with_the_hosts_own_credentials_in_the_version_asked_for(
    plane: ControlPlane, tmp_path: Path, moto: str
) -> None:
    s3 = boto3.client(
        "s3", endpoint_url=moto, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
    )
    s3.create_bucket(Bucket="releases")
    s3.put_bucket_versioning(Bucket="releases", VersioningConfiguration={"Status": "Enabled"})
    key = "path/app v1+x~.zip"
    old, new = (bundle_of({"appspec.yml": APPSPEC, "page": page}) for page in ("old", "new"))
    first = s3.put_object(Bucket="releases", Key=key, Body=old)
    second = s3.put_object(Bucket="releases", Key=key, Body=new)
    with running(plane, tmp_path, s3_endpoint_override=moto, s3_own_credentials=True) as agent:
        for number, (pinned, page) in enumerate(
            [
                ({"Version": first["VersionId"], "ETag": first["ETag"]}, "old"),
                ({"ETag": second["ETag"].strip('"')}, "new"),
                ({}, "new"),
            ]
        ):
            name = f"d-{number}"
            ours = {"BundleUrl": None, "BundleSha256": None, "BundleSize": None}
            plane.deployment(deployment=name, S3Revision={"Bucket": "releases", "Key": key} | pinned, Longshore=ours)
            done = plane.run("DownloadBundle", name)
            assert done.status == "Succeeded", done.message
            assert (agent.root / f"g-1/{name}/deployment-archive/page").read_text() == page
        wrong = {"Bucket": "releases", "Key": key, "Version": second["VersionId"], "ETag": first["ETag"]}
        plane.deployment(deployment="d-9", S3Revision=wrong, Longshore=ours)
        assert "was replaced since" in plane.run("DownloadBundle", "d-9").message
        gone = {"Bucket": "releases", "Key": "gone"}
        plane.deployment(deployment="d-8", S3Revision=gone, Longshore=ours)
        assert "404 NoSuchKey" in plane.run("DownloadBundle", "d-8").message


def test_a_bucket_elsewhere_is_found_by_its_region_through_the_proxy_of_s3(
    plane: ControlPlane,
    tmp_path: Path,
    host_of: Callable[..., BundleHost],
    proxy_of: Callable[..., ConnectProxy],
) -> None:
    content = bundle_of({"appspec.yml": APPSPEC})

    def answer(asked: Asked) -> Answer:
        if "/eu-north-1/s3/aws4_request" in asked.headers["authorization"]:
            return Answer(200, {"etag": '"one"'}, content)
        return Answer(301, {"x-amz-bucket-region": "eu-north-1"}, b"<Error><Code>PermanentRedirect</Code></Error>")

    names = ("*.s3.us-east-1.amazonaws.com", "*.s3.eu-north-1.amazonaws.com")
    certificate = certificate_for(tmp_path, *names)
    host = host_of(answer, certificate=certificate)
    proxy = proxy_of(instead=host.port)
    with_login = proxy.url.replace("//", "//me:secret@")
    agent = Agent(plane, tmp_path, s3_own_credentials=True, s3_proxy_uri=with_login)
    agent.start(SSL_CERT_FILE=str(certificate[0]))
    try:
        plane.deployment(S3Revision={"Bucket": "releases"}, bundle=content)
        done = plane.run("DownloadBundle")
        assert done.status == "Succeeded", done.message
    finally:
        agent.end()
    assert proxy.asked == ["releases.s3.us-east-1.amazonaws.com:443", "releases.s3.eu-north-1.amazonaws.com:443"]
    assert proxy.authorizations[0].endswith("Basic bWU6c2VjcmV0")
    assert "secret" not in "".join(path.read_text() for path in (tmp_path / "log").iterdir())


@pytest.mark.parametrize(("exempt", "is_used"), [(None, True), ("127.0.0.1", False)])
def test_proxy_uri_carries_polls_and_downloads_but_not_to_exempt_hosts(
    plane: ControlPlane, tmp_path: Path, proxy_of: Callable[..., ConnectProxy], exempt: str | None, is_used: bool
) -> None:
    proxy = proxy_of()
    with running(plane, tmp_path, proxy_uri=proxy.url, no_proxy=exempt):
        plane.deployment({"appspec.yml": APPSPEC})
        assert plane.run("DownloadBundle").status == "Succeeded"
    assert (len(proxy.asked) >= 2) == is_used
