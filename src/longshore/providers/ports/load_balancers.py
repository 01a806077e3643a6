"""Load balancers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from longshore.domain.balancing import Backend, Balancer
from longshore.providers.ports.access import Access


class LoadBalancers(Protocol):
    """Elastic Load Balancing, of one region. A balancer that is not there is a NotThereError."""

    def register(self, access: Access, balancer: Balancer, instance_ids: Collection[str]) -> Mapping[str, str]:
        """Let these get requests as soon as they are healthy (`backends`); who cannot be registered, and why.

        As few calls as there can be; one that cannot be registered holds no other up.
        """

    def deregister(self, access: Access, balancer: Balancer, instance_ids: Collection[str]) -> None:
        """Send these no new requests; `backends` tells when those under way have ended. Unknown ones are no error."""

    def backends(self, access: Access, balancer: Balancer) -> Mapping[str, Backend]:
        """Everyone that the balancer knows, those still draining too, by instance id: one call, however many."""
