"""Topics of notifications."""

from __future__ import annotations

from typing import Protocol

from longshore.providers.ports.access import Access


class Topics(Protocol):
    """Where notifications go."""

    def publish(self, access: Access, topic_arn: str, *, subject: str, message: str) -> None:
        """Give this to the subscribers of a topic, some of them perhaps a second time.

        Raises:
            TransientError: it could not be given now.
            PermanentError: it cannot be, as things are set up.
        """
