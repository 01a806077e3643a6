"""What makes two revision locations the same revision (server.md S13.1, S13.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_PARTS = {
    "S3": ("s3Location", ("bucket", "key", "bundleType", "version", "eTag")),
    "GitHub": ("gitHubLocation", ("repository", "commitId")),
    "String": ("string", ("sha256",)),
    "AppSpecContent": ("appSpecContent", ("sha256",)),
}


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
