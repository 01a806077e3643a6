"""What the engine needs of the world outside, in our words, and how that can fail."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from longshore.domain.alarms import AlarmState
from longshore.domain.bundle import BundleFacts
from longshore.domain.ids import Scope

# ProviderError
# ├── TransientError   try again later: the network, throttling, a service that is starting
# └── PermanentError   trying again will not help: no such thing, not allowed


class ProviderError(Exception):
    """A call to a service outside failed."""


class TransientError(ProviderError):
    """It may work later."""


class PermanentError(ProviderError):
    """It will not work, however often it is tried."""


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


class Alarms(Protocol):
    """The states of alarms."""

    def states(self, scope: Scope, names: Collection[str]) -> Mapping[str, AlarmState]:
        """Where these alarms stand; absent are those that nobody knows.

        Raises:
            TransientError: they cannot be read now.
            PermanentError: they cannot be read as things are set up.
        """


class Topics(Protocol):
    """Where notifications go."""

    def publish(self, scope: Scope, topic_arn: str, *, subject: str, message: str) -> None:
        """Give this to the subscribers of a topic, some of them perhaps a second time.

        Raises:
            TransientError: it could not be given now.
            PermanentError: it cannot be, as things are set up.
        """
