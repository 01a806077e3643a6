"""What makes two locations the same revision (server.md S13.2, S13.3)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.domain.revision import describe, git_url, identity

texts = st.text(alphabet='ab",[]\\', min_size=1, max_size=3)
etags = st.text(alphabet="ab,[]", min_size=1, max_size=3)
s3_locations = st.fixed_dictionaries(
    {"bucket": texts, "key": texts, "bundleType": st.sampled_from(["zip", "tar"])},
    optional={"version": texts, "eTag": etags},
)


def s3(**parts: str) -> dict[str, Any]:
    return {"revisionType": "S3", "s3Location": parts}


@given(s3_locations, s3_locations)
def test_equal_for_equal_locations_only(one: dict[str, str], other: dict[str, str]) -> None:
    """S13.2: every part counts, and no two locations are taken for one."""
    assert (identity(s3(**one)) == identity(s3(**other))) is (one == other)


@given(s3_locations)
def test_quotes_around_an_etag(location: dict[str, str]) -> None:
    """S13.3: they do not matter; S3 itself gives etags with them."""
    quoted = location | ({"eTag": f'"{location["eTag"]}"'} if "eTag" in location else {})
    assert identity(s3(**quoted)) == identity(s3(**location))


@given(texts, texts)
def test_kinds_never_meet(repository: str, commit: str) -> None:
    """S13.2: a GitHub revision is no S3 revision, whatever it is called."""
    github = {"revisionType": "GitHub", "gitHubLocation": {"repository": repository, "commitId": commit}}
    assert identity(github) != identity(s3(bucket=repository, key=commit, bundleType="zip"))


def test_descriptions() -> None:
    """Messages name a revision the way people write it."""
    github = {"revisionType": "GitHub", "gitHubLocation": {"repository": "shop/web", "commitId": "c" * 40}}
    assert describe(s3(bucket="b", key="k")) == "s3://b/k"
    assert describe(github) == "shop/web@cccccccccccc"


@pytest.mark.parametrize(
    ("repository", "url"),
    [
        ("octo/shop", None),
        ("bitbucket.org/workspace/shop", "https://bitbucket.org/workspace/shop"),
        ("git.example.com:8443/team/sub/shop.git", "https://git.example.com:8443/team/sub/shop.git"),
        ("https://git.example.com/shop.git", "https://git.example.com/shop.git"),
        ("ssh://git@git.example.com:2222/shop.git", "ssh://git@git.example.com:2222/shop.git"),
        ("git@bitbucket.org:workspace/shop.git", "ssh://git@bitbucket.org/workspace/shop.git"),
        ("git://127.0.0.1:9418/shop.git", "git://127.0.0.1:9418/shop.git"),
    ],
)
def test_a_repository_is_one_of_github_or_of_any_git_host(repository: str, url: str | None) -> None:
    assert git_url(repository) == url


@pytest.mark.parametrize(
    "repository",
    [
        "shop",
        "a/b/c",
        "github.com/octo/shop",
        "https://github.com/octo/shop",
        "https://me:secret@git.example.com/shop.git",
        "https://me@git.example.com/shop.git",
        "ext::sh -c id",
        "file:///srv/shop.git",
        "https://-oProxyCommand/shop",
        "ssh://-l@host/shop",
        "https://git.example.com/shop.git?ref=x",
        "https://git.example.com/a shop",
        "https://[::1/shop",
        "https://git.example.com",
    ],
)
def test_what_is_neither_is_refused_without_repeating_it(repository: str) -> None:
    with pytest.raises(ValueError) as refused:
        git_url(repository)
    assert "secret" not in str(refused.value)
