"""Application revisions (server.md S13, S12.17–20; lambda_ecs_appspec.md A11–A18)."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from longshore.store import revisions as store_of_revisions


def s3(key: str, bucket: str = "bundles", **parts: str) -> dict[str, Any]:
    return {"revisionType": "S3", "s3Location": {"bucket": bucket, "key": key, "bundleType": "zip", **parts}}


def github(commit: str) -> dict[str, Any]:
    return {"revisionType": "GitHub", "gitHubLocation": {"repository": "shop/web", "commitId": commit}}


def appspec(content: str, **parts: str) -> dict[str, Any]:
    return {"revisionType": "AppSpecContent", "appSpecContent": {"content": content, **parts}}


@pytest.fixture
def register(codedeploy: Any, app: Any) -> Any:
    def register(revision: dict[str, Any], **members: Any) -> None:
        codedeploy.register_application_revision(applicationName=app, revision=revision, **members)

    return register


@pytest.fixture
def find(codedeploy: Any, app: Any) -> Any:
    return lambda revision: codedeploy.get_application_revision(applicationName=app, revision=revision)


@pytest.fixture
def keys(codedeploy: Any, app: Any) -> Any:
    """The listing's keys or commits."""

    def keys(**members: Any) -> list[str]:
        listed = codedeploy.list_application_revisions(applicationName=app, **members)["revisions"]
        return [(one.get("s3Location") or {}).get("key") or one["gitHubLocation"]["commitId"] for one in listed]

    return keys


@pytest.mark.parametrize("revision", [s3("a.zip", version="3", eTag="abc"), github("f" * 40)])
def test_register_and_get(register: Any, find: Any, clock: Any, revision: Any) -> None:
    """S13.1, S13.6: what was registered, when, and never used."""
    register(revision, description="first")
    found = find(revision)
    assert found["applicationName"] == "shop"
    assert found["revision"] == revision
    assert found["revisionInfo"].pop("registerTime").timestamp() == pytest.approx(clock.now, abs=0.001)
    assert found["revisionInfo"] == {"description": "first", "deploymentGroups": []}


def test_register_again(register: Any, find: Any, clock: Any) -> None:
    """S12.17: idempotent; the description is refreshed, the time is not."""
    register(s3("a.zip"), description="first")
    registered = clock.now
    clock.advance(60)
    register(s3("a.zip"), description="second")
    register(s3("a.zip"))
    found = find(s3("a.zip"))["revisionInfo"]
    assert found["description"] == "second"
    assert found["registerTime"].timestamp() == pytest.approx(registered, abs=0.001)


def test_identity(register: Any, find: Any, refused: Any) -> None:
    """S13.2, S13.3: version and eTag are part of it, an eTag's quotes are not."""
    register(s3("a.zip", version="3"))
    register(s3("a.zip", eTag='"abc"'))
    assert find(s3("a.zip", eTag="abc"))["revision"] == s3("a.zip", eTag='"abc"')
    for other in (s3("a.zip"), s3("a.zip", version="4"), s3("a.zip", version="3", eTag="abc"), github("a" * 40)):
        with refused("RevisionDoesNotExist"):
            find(other)


@pytest.mark.parametrize(
    "revision",
    [
        {"s3Location": s3("a.zip")["s3Location"]},
        {"revisionType": "S3"},
        {"revisionType": "S3", "s3Location": {}},
        {"revisionType": "Floppy", "s3Location": s3("a.zip")["s3Location"]},
        s3("a.zip") | github("a"),
        github("a") | {"s3Location": s3("a.zip")["s3Location"]},
        s3(""),
        s3("a.zip", bucket=""),
        s3("a.zip", bundleType="YAML"),
        s3("a.zip", bundleType="rar"),
        {"revisionType": "S3", "s3Location": {"bucket": "b", "key": "k"}},
        github(""),
        {"revisionType": "GitHub", "gitHubLocation": {"repository": "shop", "commitId": "a"}},
        {"revisionType": "GitHub", "gitHubLocation": {"repository": "bitbucket.org/w/shop", "commitId": "main"}},
        {"revisionType": "GitHub", "gitHubLocation": {"repository": "file:///srv/shop", "commitId": "a" * 40}},
        appspec("version: 0.0"),
        {"revisionType": "String", "string": {"content": "version: 0.0"}},
    ],
)
def test_bad_locations(register: Any, find: Any, codedeploy: Any, app: str, refused: Any, revision: Any) -> None:
    """S13.1: a Server revision is one whole S3 or GitHub location."""
    with refused("InvalidRevision"):
        register(revision)
    with refused("InvalidRevision"):
        find(revision)
    with refused("InvalidRevision"):
        codedeploy.batch_get_application_revisions(applicationName=app, revisions=[revision])


def test_missing(codedeploy: Any, app: str, refused: Any) -> None:
    """S12.17–19: RevisionRequired."""
    for call in (codedeploy.register_application_revision, codedeploy.get_application_revision):
        with refused("RevisionRequired"):
            call(applicationName=app)
        with refused("RevisionRequired"):
            call(applicationName=app, revision={})
    with refused("RevisionRequired"):
        codedeploy.batch_get_application_revisions(applicationName=app, revisions=[])
    with refused("DescriptionTooLong"):
        codedeploy.register_application_revision(applicationName=app, revision=s3("a"), description="x" * 257)


def test_unknown_application(codedeploy: Any, refused: Any) -> None:
    """S12.17–20: ApplicationDoesNotExist."""
    for call, members in (
        (codedeploy.register_application_revision, {"revision": s3("a")}),
        (codedeploy.get_application_revision, {"revision": s3("a")}),
        (codedeploy.batch_get_application_revisions, {"revisions": [s3("a")]}),
        (codedeploy.list_application_revisions, {}),
    ):
        with refused("ApplicationDoesNotExist"):
            call(applicationName="nope", **members)


@pytest.mark.parametrize("platform", ["Lambda", "ECS"])
def test_other_platforms(codedeploy: Any, refused: Any, platform: str) -> None:
    """A11–A18: AppSpecs in the revision get their hash; the hash, if given, must be right; no GitHub."""
    codedeploy.create_application(applicationName="fn", computePlatform=platform)
    digest = hashlib.sha256(b"version: 0.0").hexdigest()
    yaml = {"revisionType": "S3", "s3Location": {"bucket": "b", "key": "k", "bundleType": "YAML"}}
    for revision in (appspec("version: 0.0"), yaml, {"revisionType": "String", "string": {"content": "{}"}}):
        codedeploy.register_application_revision(applicationName="fn", revision=revision)
    for revision in (appspec("version: 0.0"), appspec("version: 0.0", sha256=digest)):
        found = codedeploy.get_application_revision(applicationName="fn", revision=revision)
        assert found["revision"] == appspec("version: 0.0", sha256=digest)
    for wrong in (
        appspec("version: 0.0", sha256="0" * 64),
        appspec(""),
        appspec("x" * (256 * 1024 + 1)),
        github("a" * 40),
    ):
        with refused("InvalidRevision"):
            codedeploy.register_application_revision(applicationName="fn", revision=wrong)


def test_zip_for_other_platforms(codedeploy: Any, refused: Any) -> None:
    """A14: Lambda refuses a zip at once; ECS takes it, and fails the deployment."""
    for name in ("Lambda", "ECS"):
        codedeploy.create_application(applicationName=name, computePlatform=name)
    codedeploy.register_application_revision(applicationName="ECS", revision=s3("a.zip"))
    with refused("InvalidRevision"):
        codedeploy.register_application_revision(applicationName="Lambda", revision=s3("a.zip"))


def test_batch_get(codedeploy: Any, app: str, register: Any, refused: Any) -> None:
    """S12.0b, S12.0c, S12.19: in order; unknown ones are named in errorMessage, which is "" when all are known."""
    register(s3("a"), description="A")
    register(s3("b"))
    found = codedeploy.batch_get_application_revisions(applicationName=app, revisions=[s3("b"), s3("c"), s3("a")])
    assert [one["revisionLocation"] for one in found["revisions"]] == [s3("b"), s3("a")]
    assert found["revisions"][1]["genericRevisionInfo"]["description"] == "A"
    assert "s3://bundles/c" in found["errorMessage"]
    clean = codedeploy.batch_get_application_revisions(applicationName=app, revisions=[s3("a")])
    assert clean["errorMessage"] == ""
    with refused("BatchLimitExceeded"):
        codedeploy.batch_get_application_revisions(applicationName=app, revisions=[s3(f"{n}") for n in range(26)])


def test_groups_of_a_revision(codedeploy: Any, app: str, group: Any, deploy: Any, register: Any, find: Any) -> None:
    """S13.6, S7.24: the groups whose last successful deployment was of it."""
    register(s3("a"))
    for name in ("web", "api"):
        group(app, name)
    deploy(app, "web", "Succeeded", s3("a"))
    deploy(app, "api", "Failed", s3("a"))
    assert find(s3("a"))["revisionInfo"]["deploymentGroups"] == ["web"]


def test_list_by_bucket_and_prefix(register: Any, keys: Any) -> None:
    """S13.7: a bucket, and keys in it; case counts, and GitHub revisions are in no bucket."""
    for revision in (s3("web/1"), s3("Web/2"), s3("web/3", bucket="others"), s3("api_x"), github("c" * 40)):
        register(revision)
    assert len(keys()) == 5
    assert keys(s3Bucket="bundles") == ["web/1", "Web/2", "api_x"]
    assert keys(s3Bucket="bundles", s3KeyPrefix="web/") == ["web/1"]
    assert keys(s3Bucket="bundles", s3KeyPrefix="api%") == []


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"s3KeyPrefix": "a"}, "BucketNameFilterRequired"),
        ({"s3Bucket": ""}, "InvalidBucketNameFilter"),
        ({"s3Bucket": "no bucket"}, "InvalidBucketNameFilter"),
        ({"s3Bucket": "bundles", "s3KeyPrefix": ""}, "InvalidKeyPrefixFilter"),
        ({"s3Bucket": "bundles", "s3KeyPrefix": "x" * 1025}, "InvalidKeyPrefixFilter"),
        ({"sortBy": "size"}, "InvalidSortBy"),
        ({"sortOrder": "random"}, "InvalidSortOrder"),
        ({"deployed": "maybe"}, "InvalidDeployedStateFilter"),
        ({"nextToken": "x"}, "InvalidNextToken"),
    ],
)
def test_bad_filters(codedeploy: Any, app: str, refused: Any, members: Any, code: str) -> None:
    """S12.20: each filter has its own exception."""
    with refused(code):
        codedeploy.list_application_revisions(applicationName=app, **members)


def test_list_by_deployment(app: str, group: Any, deploy: Any, register: Any, keys: Any) -> None:
    """S13.7: include, exclude, ignore."""
    group(app, "web")
    for key in ("a", "b"):
        register(s3(key))
    deploy(app, "web", "Succeeded", s3("a"))
    assert keys(deployed="include") == ["a"]
    assert keys(deployed="exclude") == ["b"]
    assert keys(deployed="ignore") == keys() == ["a", "b"]


def test_sorting(codedeploy: Any, app: str, register: Any, keys: Any, store: Any, clock: Any) -> None:
    """S13.6, S13.7: by any of the times, ascending unless asked; never used is oldest; only lastUsed moves."""
    application_id = codedeploy.get_application(applicationName=app)["application"]["applicationId"]
    for key in ("a", "b", "c"):
        register(s3(key))
        clock.advance(1)
    for key in ("c", "b", "c"):
        now = clock.advance(1)
        store.write(
            lambda tx, key=key, now=now: store_of_revisions.use(tx, application_id, s3(key), description="", now=now)
        )
    assert keys(sortBy="registerTime") == ["a", "b", "c"]
    assert keys(sortBy="registerTime", sortOrder="descending") == ["c", "b", "a"]
    assert keys(sortBy="firstUsedTime") == ["a", "c", "b"]
    assert keys(sortBy="lastUsedTime") == ["a", "b", "c"]
    assert keys(sortBy="lastUsedTime", sortOrder="descending") == ["c", "b", "a"]


@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize("sort_by", [None, "registerTime", "firstUsedTime"])
def test_pages_are_stable_while_revisions_are_added(
    tight: Any, pages: Any, clock: Any, sort_by: Any, order: str
) -> None:
    """S12.0a: every revision that was there is given once, though others come between the pages."""
    tight.create_application(applicationName="shop")
    for key in "abcde":
        tight.register_application_revision(applicationName="shop", revision=s3(key))
    query = {"applicationName": "shop", "sortOrder": order} | ({"sortBy": sort_by} if sort_by else {})
    added = iter("vwxyz")

    def one_page(**members: Any) -> Any:
        answer = tight.list_application_revisions(**members)
        clock.advance(1)
        tight.register_application_revision(applicationName="shop", revision=s3(next(added)))
        return answer

    found = [one["s3Location"]["key"] for page in pages(one_page, "revisions", **query)[:5] for one in page]
    assert len(found) == len(set(found))
    assert set("abcde") <= set(found)


def test_tokens_keep_their_filters(tight: Any, refused: Any) -> None:
    """S12.0a: a token is good for the query that it came from."""
    tight.create_application(applicationName="shop")
    for key in "abc":
        tight.register_application_revision(applicationName="shop", revision=s3(key))
    token = tight.list_application_revisions(applicationName="shop", s3Bucket="bundles")["nextToken"]
    with refused("InvalidNextToken"):
        tight.list_application_revisions(applicationName="shop", nextToken=token)
