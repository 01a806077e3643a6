"""What makes two locations the same revision (server.md S13.2, S13.3)."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from longshore.domain.revision import describe, identity

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
