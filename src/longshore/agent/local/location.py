"""What `--bundle-location` and `--type` mean (agent.md 9.7)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from longshore.agent.specification import Revision

TYPES = ("tgz", "tar", "zip", "directory")
_GITHUB = re.compile(r"https://github\.com/([^/]+)/([^/]+?)(?:\.git)?/?")
#: Of GitHub's API: repository, then the reference.
_GITHUB_API = re.compile(r"/repos/([^/]+/[^/]+)/(?:tarball|zipball)/(.+)")
_COMMIT = re.compile(r"(.+)#([0-9a-f]{40}|[0-9a-f]{64})")
_SCP = re.compile(r"([A-Za-z0-9._-]+@[A-Za-z0-9.-]+):(?!/)(.+)")


class LocationError(ValueError):
    """There can be no bundle; the message says what to change."""


def revision_at(location: str, kind: str, *, appspec: str | None, github_api_url: str, token: str | None) -> Revision:
    """The revision at a place; `kind` is one of `TYPES`.

    Raises:
        LocationError: the place and the type do not go together, or nothing is there.
    """
    if location.startswith("s3://"):
        return _s3(location, kind)
    if found := _COMMIT.fullmatch(location):
        return Revision(kind="Git", bundle_type="tar", repository=_git_url(found[1]), commit=found[2])
    archive = "tar" if kind == "tar" else "zip"
    if found := _GITHUB.fullmatch(location):
        repository = f"{found[1]}/{found[2]}"
        return Revision(kind="GitHub", bundle_type=archive, repository=repository, commit="HEAD", token=token)
    if location.startswith(github_api_url + "/") and (
        found := _GITHUB_API.fullmatch(location.removeprefix(github_api_url))
    ):
        return Revision(kind="GitHub", bundle_type=archive, repository=found[1], commit=unquote(found[2]), token=token)
    if "://" in location and not location.startswith("file://"):
        raise LocationError(
            f"{location} is no place of a bundle. s3://BUCKET/KEY is, and https://github.com/OWNER/NAME, and the URL "
            "of a git repository with #COMMIT behind it, and a file or directory of this host."
        )
    return _on_this_host(location, kind, appspec)


def _s3(location: str, kind: str) -> Revision:
    parts = urlsplit(location)
    key = unquote(parts.path.lstrip("/"))
    if kind == "directory":
        raise LocationError(f"{location} is an object, not a directory; say what it is with --type tgz, tar or zip")
    if not parts.netloc or not key:
        raise LocationError(f"{location} names no object; write s3://BUCKET/KEY")
    query = dict(parse_qsl(parts.query))
    return Revision(
        kind="S3",
        bundle_type=kind,
        bucket=parts.netloc,
        key=key,
        version=query.get("versionId"),
        etag=query.get("etag"),
    )


def _git_url(said: str) -> str:
    if found := _SCP.fullmatch(said):
        return f"ssh://{found[1]}/{found[2]}"
    return said if "://" in said else f"https://{said}"


def _on_this_host(location: str, kind: str, appspec: str | None) -> Revision:
    said = unquote(urlsplit(location).path) if location.startswith("file:") else location
    place = Path(os.path.abspath(said))  # noqa: PTH100 - normalises, does not follow links
    if not place.exists():
        hint = (
            "; a commit of a git repository is named by its whole id, 40 hexadecimal digits" if "#" in location else ""
        )
        raise LocationError(f"there is no bundle at {place}{hint}")
    if kind != "directory":
        if place.is_dir():
            raise LocationError(f"{place} is a directory, not a {kind} archive; leave --type out, or name the archive")
        return Revision(kind="Local File", bundle_type=kind, key=os.fspath(place))
    if not place.is_dir():
        raise LocationError(f"{place} is a file, not a directory; say what it is with --type tgz, tar or zip")
    names = [appspec] if appspec else ["appspec.yml", "appspec.yaml"]
    if not any((place / name).is_file() for name in names):
        raise LocationError(f"the directory {place} holds no {' or '.join(names)}; is it the root of the revision?")
    return Revision(kind="Local Directory", bundle_type="directory", key=os.fspath(place))
