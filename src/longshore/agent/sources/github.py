"""A commit of a GitHub repository, as the archive that GitHub's API makes of it (agent.md 3.5)."""

from __future__ import annotations

import os
import re
import tarfile
import time
from contextlib import suppress
from typing import IO, cast
from urllib.parse import quote

from longshore import tar_stream
from longshore.agent.errors import BundleError
from longshore.agent.sources import Fetched, Fetching
from longshore.agent.sources.transfer import Expected, Refusal, download
from longshore.agent.specification import Revision
from longshore.tar_stream import TarStream

_PART = re.compile(r"(?!\.\.?$)[A-Za-z0-9._-]{1,100}")
_COMMIT_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
#: The end of a zip: 22 bytes, of which 18 follow its mark, and a comment of any length of 16 bits.
_END_OF_ZIP, _BEFORE_COMMENT = 22 + 65535, 18
_PATH_OF = {"tar": "tarball", "zip": "zipball"}


def fetch(asked: Fetching) -> Fetched:
    """Download the archive, and check that it is the commit's."""
    revision = asked.specification.revision
    parts = revision.repository.split("/")
    if len(parts) != 2 or not all(_PART.fullmatch(part) for part in parts):
        raise BundleError(f"{revision.repository!r} is no repository of GitHub; one is named owner/name")
    download(_Archive(revision, asked.config.github_api_url), asked, Expected())
    if _COMMIT_ID.fullmatch(revision.commit):
        _check_commit(asked, revision)
    return Fetched(asked.target, revision.bundle_type)


class _Archive:
    """GitHub makes it when it is asked, redirects to it, and knows neither its size nor its hash beforehand."""

    endpoint = "github"

    def __init__(self, revision: Revision, api_url: str) -> None:
        self._token = revision.token
        self.name = f"{revision.repository} at {revision.commit}"
        commit = quote(revision.commit, safe="/")
        self.url = f"{api_url}/repos/{revision.repository}/{_PATH_OF[revision.bundle_type]}/{commit}"

    def headers(self, _url: str) -> dict[str, str]:
        asked = {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"}
        return asked | ({"authorization": f"token {self._token}"} if self._token else {})

    def elsewhere(self, _refusal: Refusal) -> str | None:
        return None

    def explain(self, refusal: Refusal) -> str:
        said = f"GitHub answered {refusal.status} {refusal.reason}"
        if refusal.status == 401:
            return f"{said}: it does not know the token (any more); store another: longshore github-token put NAME"
        if refusal.status == 404:
            why = (
                "or the token may not read it"
                if self._token
                else "or it is private: store a token with longshore github-token put NAME --application APPLICATION"
            )
            return f"{said}: there is no such repository or commit, {why}"
        if refusal.headers.get("x-ratelimit-remaining") == "0":
            until = ""
            with suppress(ValueError, OverflowError):
                until = time.strftime(" until %H:%M:%S", time.localtime(int(refusal.headers["x-ratelimit-reset"])))
            whose = "the token" if self._token else "hosts without a token, by address"
            return f"{said}: GitHub's limit of requests is used up for {whose}{until}"
        return said


def _check_commit(asked: Fetching, revision: Revision) -> None:
    """git writes into an archive which commit it is of: a tar's global header, or a zip's comment, is its id."""
    try:
        found = _comment_of_zip(asked) if revision.bundle_type == "zip" else _comment_of_tar(asked)
    except _damage():
        # What is wrong with it is told when it is unpacked.
        return
    if found != revision.commit:
        raise BundleError(f"GitHub sent commit {found or '(not named)'} for {revision.repository} at {revision.commit}")


def _damage() -> tuple[type[Exception], ...]:
    return (tarfile.TarError, OSError, ValueError, *tar_stream.damage())


def _comment_of_tar(asked: Fetching) -> str | None:
    with asked.target.open("rb") as raw:
        stream = cast("IO[bytes]", TarStream(tar_stream.opened(raw, "tar"), entries=1))
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            return archive.pax_headers.get("comment")


def _comment_of_zip(asked: Fetching) -> str | None:
    with asked.target.open("rb") as archive:
        archive.seek(max(0, archive.seek(0, os.SEEK_END) - _END_OF_ZIP))
        _, mark, end = archive.read().rpartition(b"PK\5\6")
    return end[_BEFORE_COMMENT:].decode("ascii", "replace") if mark else None
