"""What the options of `longshore local` mean (agent.md 9.5–9.7)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.agent.local.events import DEFAULT, OF_THE_LAST_REVISION, EventsError, in_order
from longshore.agent.local.location import LocationError, revision_at
from longshore.agent.specification import Revision

COMMIT = "0123456789abcdef0123456789abcdef01234567"
API = "https://api.github.com"


@pytest.mark.parametrize(
    ("asked", "order"),
    [
        ([], DEFAULT),
        (["ApplicationStop"], ("DownloadBundle", "Install", "ApplicationStop")),
        (["AfterInstall", "Mine"], ("DownloadBundle", "Install", "AfterInstall", "Mine")),
        (["BeforeInstall", "Install"], ("DownloadBundle", "BeforeInstall", "Install")),
        (["DownloadBundle", "BeforeInstall"], ("DownloadBundle", "Install", "BeforeInstall")),
        (["ApplicationStop", "DownloadBundle"], ("ApplicationStop", "DownloadBundle", "Install")),
        (list(DEFAULT), DEFAULT),
    ],
)
def test_events_come_in_the_order_asked_with_what_they_need_before_them(
    asked: list[str], order: tuple[str, ...]
) -> None:
    assert in_order(asked) == order


@pytest.mark.parametrize(
    "asked",
    [
        ["Install", "DownloadBundle"],
        ["AfterInstall", "DownloadBundle"],
        ["BeforeInstall", "DownloadBundle"],
        ["DownloadBundle", "AfterInstall", "Install"],
        ["Mine", "Install"],
    ],
)
def test_what_needs_the_download_or_the_installation_cannot_come_before_it(asked: list[str]) -> None:
    with pytest.raises(EventsError):
        in_order(asked)


@given(st.lists(st.sampled_from([*DEFAULT, "Mine"]), unique=True))
def test_whatever_is_asked_is_downloaded_and_installed_first_or_refused(asked: list[str]) -> None:
    try:
        order = in_order(asked)
    except EventsError:
        return
    assert [event for event in order if event in asked] == asked if asked else order == DEFAULT
    download, install = order.index("DownloadBundle"), order.index("Install")
    assert set(order[:download]) <= OF_THE_LAST_REVISION
    assert set(order[:install]) <= OF_THE_LAST_REVISION | {"DownloadBundle", "BeforeInstall"}


def revision(location: str, kind: str = "directory", appspec: str | None = None) -> Revision:
    return revision_at(location, kind, appspec=appspec, github_api_url=API, token=None)


@pytest.mark.parametrize(
    ("location", "kind", "found"),
    [
        (
            "s3://b/a/k%20v1.tgz?versionId=v%2B1&etag=abc",
            "tgz",
            Revision(kind="S3", bundle_type="tgz", bucket="b", key="a/k v1.tgz", version="v+1", etag="abc"),
        ),
        (
            "https://github.com/octo/shop",
            "directory",
            Revision(kind="GitHub", bundle_type="zip", repository="octo/shop", commit="HEAD"),
        ),
        (
            "https://github.com/octo/shop.git/",
            "tar",
            Revision(kind="GitHub", bundle_type="tar", repository="octo/shop", commit="HEAD"),
        ),
        (
            f"{API}/repos/octo/shop/tarball/feature/x",
            "tgz",
            Revision(kind="GitHub", bundle_type="zip", repository="octo/shop", commit="feature/x"),
        ),
        (
            f"bitbucket.org/team/shop#{COMMIT}",
            "directory",
            Revision(kind="Git", bundle_type="tar", repository="https://bitbucket.org/team/shop", commit=COMMIT),
        ),
        (
            f"git@host:team/shop.git#{COMMIT}",
            "directory",
            Revision(kind="Git", bundle_type="tar", repository="ssh://git@host/team/shop.git", commit=COMMIT),
        ),
    ],
)
def test_a_location_is_a_place_of_its_kind(location: str, kind: str, found: Revision) -> None:
    assert revision(location, kind) == found


def test_files_and_directories_must_be_what_their_type_says(tmp_path: Path) -> None:
    archive, directory = tmp_path / "a b.zip", tmp_path / "app"
    archive.write_bytes(b"")
    directory.mkdir()
    assert revision(archive.as_uri(), "zip").key == str(archive)
    for location, kind in (
        (archive, "directory"),
        (directory, "tgz"),
        (tmp_path / "gone", "zip"),
        (directory, "directory"),
    ):
        with pytest.raises(LocationError):
            revision(str(location), kind)
    (directory / "appspec.yaml").write_text("")
    assert revision(str(directory)) == Revision(kind="Local Directory", bundle_type="directory", key=str(directory))
    with pytest.raises(LocationError, match=r"mine\.yml"):
        revision(str(directory), appspec="mine.yml")


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        ("http://github.com/octo/shop", "zip"),
        ("https://example.com/app.zip", "zip"),
        ("s3://bucket", "zip"),
        ("s3://bucket/key", "directory"),
    ],
)
def test_other_places_are_refused(location: str, kind: str) -> None:
    with pytest.raises(LocationError):
        revision(location, kind)


def test_a_commit_that_is_not_named_in_full_is_no_file_either() -> None:
    with pytest.raises(LocationError, match="by its whole id, 40 hexadecimal digits"):
        revision("bitbucket.org/team/shop#0123abc")
