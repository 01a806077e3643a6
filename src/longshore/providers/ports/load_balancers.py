"""Load balancers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from longshore.domain.balancing import Backend, Balancer, Takes
from longshore.providers.ports.access import Access


class LoadBalancers(Protocol):
    """Elastic Load Balancing, of one region. A balancer that is not there is a NoBalancerError.

    A place is an instance's id or an address, with or without a port: what the balancer takes (`takes`).
    """

    def takes(self, access: Access, balancer: Balancer) -> Takes:
        """What this balancer registers."""

    def register(self, access: Access, balancer: Balancer, places: Collection[str]) -> Mapping[str, str]:
        """Let these get requests as soon as they are healthy (`backends`); who cannot be registered, and why.

        As few calls as there can be; one that cannot be registered holds no other up.
        """

    def deregister(self, access: Access, balancer: Balancer, places: Collection[str]) -> None:
        """Send these no new requests; `backends` tells when those under way have ended. Unknown ones are no error."""

    def backends(self, access: Access, balancer: Balancer) -> Mapping[str, Backend]:
        """Everyone that the balancer knows, those still draining too, by place: one call, however many.

        An address at the balancer's own port is found with and without it.
        """
