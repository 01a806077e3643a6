"""What the control plane knows of a revision's bundle when a deployment starts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleFacts:
    """Where agents get a bundle, and what it must be."""

    #: Presigned: whoever has it may read this one object for as long as a deployment may last. None outside S3.
    url: str | None
    #: Hex; None when the object could not be read, which each host will then find for itself (S13.5).
    sha256: str | None
    #: Bytes.
    size: int | None
    #: Which of appspec.yml and appspec.yaml the bundle holds at its root (S13.4); None when not known.
    appspec_filename: str | None
    #: Set in a restart: the deployment that left this bundle on the hosts, which then need not fetch it.
    installed_by: str | None = None
