"""EC2 instances."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from longshore.domain.group import TagSet
from longshore.domain.instance import Instance
from longshore.providers.ports.access import Access


class Instances(Protocol):
    """EC2, of one region."""

    def matching(self, access: Access, tag_set: TagSet) -> list[Instance]:
        """The instances with these tags (`domain.group.is_member`), by id; those that are over are left out (S2.15)."""

    def find(self, access: Access, instance_ids: Collection[str]) -> list[Instance]:
        """These instances, by id, terminated ones too while EC2 knows them; unknown ones are left out."""

    def terminate(self, access: Access, instance_ids: Collection[str]) -> None:
        """End these for good; unknown ones are no error, for that is what long terminated ones become."""
