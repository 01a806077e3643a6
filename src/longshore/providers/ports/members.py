"""Who belongs to a deployment group at AWS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from longshore.domain.group import TagSet
from longshore.domain.lineup import Host
from longshore.providers.ports.access import Access


class Members(Protocol):
    """The EC2 instances of deployment groups."""

    def hosts(self, access: Access, tag_set: TagSet, groups: Sequence[str]) -> list[Host]:
        """The instances that the tags mean and those in service in these Auto Scaling groups, each once, by id.

        A stopped instance with the tags is one of them (S2.15); a member that is still launching is not (S9.7).

        Raises:
            NoAutoScalingGroupError: one of the groups is not there.
        """
