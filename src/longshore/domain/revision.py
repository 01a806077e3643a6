"""What makes two revision locations the same revision (server.md S13.1, S13.2)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

_PARTS = {
    "S3": ("s3Location", ("bucket", "key", "bundleType", "version", "eTag")),
    "GitHub": ("gitHubLocation", ("repository", "commitId")),
    "String": ("string", ("sha256",)),
    "AppSpecContent": ("appSpecContent", ("sha256",)),
}

_GITHUB = re.compile(r"[^/\s:]+/[^/\s:]+")
#: ``git@host:path``, as ssh and git write it.
_SCP = re.compile(r"([A-Za-z0-9._-]+)@([A-Za-z0-9.-]+):(?!/)([^\s:]+)")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_GIT_SCHEMES = ("https", "ssh", "git", "http")


def git_url(repository: str) -> str | None:
    """Where git fetches a `gitHubLocation` from; None: it is a repository of GitHub, ``owner/name``.

    Beside what CodeDeploy knows, a repository may be that of any git host: ``bitbucket.org/workspace/name``, or a URL.

    Raises:
        ValueError: it is neither; the message says why, without the repository.
    """
    if _GITHUB.fullmatch(repository):
        return None
    if scp := _SCP.fullmatch(repository):
        url = f"ssh://{scp[1]}@{scp[2]}/{scp[3]}"
    elif "://" in repository:
        url = repository
    else:
        url = f"https://{repository}"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("it is no URL") from None
    if any(not "!" <= character <= "~" for character in url) or "\\" in url:
        raise ValueError("it has characters that no URL has")
    if parts.scheme not in _GIT_SCHEMES:
        raise ValueError(f"git fetches here by {', '.join(_GIT_SCHEMES[:-1])} or {_GIT_SCHEMES[-1]} alone")
    if not _HOST.fullmatch(host) or ("." not in host and "://" not in repository and "@" not in repository):
        raise ValueError("it is not owner/name at GitHub, host/path, or the URL of a git repository")
    if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
        raise ValueError("it holds credentials; hosts have their own (git_credentials_file)")
    if (parts.username or "").startswith("-") or parts.query or parts.fragment or len(parts.path) < 2:
        raise ValueError("it is not the URL of a git repository")
    if host == "github.com" and parts.scheme == "https":
        raise ValueError("a repository of GitHub is named owner/name, without the host")
    return url


def identity(location: Mapping[str, Any]) -> str:
    """A text equal for equal revisions; the eTag's quotes do not matter (S13.3)."""
    kind = location["revisionType"]
    member, names = _PARTS[kind]
    parts = location.get(member) or {}
    values = [str(parts.get(name) or "").strip('"') if name == "eTag" else parts.get(name) or "" for name in names]
    return json.dumps([kind, *values], ensure_ascii=False, separators=(",", ":"))


def describe(location: Mapping[str, Any]) -> str:
    """A revision in a few words, for messages: ``s3://bucket/key`` or ``owner/repo@commit``."""
    if s3 := location.get("s3Location"):
        return f"s3://{s3.get('bucket')}/{s3.get('key')}"
    if github := location.get("gitHubLocation"):
        return f"{github.get('repository')}@{str(github.get('commitId'))[:12]}"
    return str(location.get("revisionType"))
