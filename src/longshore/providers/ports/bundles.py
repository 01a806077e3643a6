"""Revisions in object storage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from longshore.domain.bundle import BundleFacts
from longshore.domain.ids import Scope


class Bundles(Protocol):
    """Revisions in object storage."""

    def presign(self, scope: Scope, location: Mapping[str, Any], *, expires_in: int) -> str:
        """A URL that opens this one bundle for `expires_in` seconds; whether it is there is not asked.

        `location` is the API's `s3Location`.
        """

    def examine(self, scope: Scope, location: Mapping[str, Any], *, expires_in: int) -> BundleFacts:
        """Presign a bundle for agents and find out what it is.

        `location` is the API's `s3Location`; `expires_in` is in seconds. A bundle that cannot be read for good (no
        such object, not allowed) still gets a URL, so that each host reports why.

        Raises:
            TransientError: storage could not be reached.
        """
