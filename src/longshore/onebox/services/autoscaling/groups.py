"""Where groups and launch configurations are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from longshore.onebox.machinery.records import Owner, Records, Transaction
from longshore.onebox.services.autoscaling.errors import validation_error
from longshore.onebox.services.autoscaling.group import Group, Member, as_document, from_document

_GROUP = "autoscaling.group"
_LAUNCH_CONFIGURATION = "autoscaling.launch-configuration"


class Groups:
    """The groups of everybody. What changes one tells whoever looks after them."""

    def __init__(self, records: Records, nudge: Callable[[], None]) -> None:
        self._records = records
        self._nudge = nudge

    @contextmanager
    def changing(self, owner: Owner) -> Iterator[Rows]:
        """Everything in the block at once; whoever looks after the groups is told when it is done."""
        with self._records.transaction() as tx:
            yield Rows(tx, owner)
        self._nudge()

    @contextmanager
    def reading(self, owner: Owner) -> Iterator[Rows]:
        """One consistent view."""
        with self._records.transaction() as tx:
            yield Rows(tx, owner)

    def everyones(self) -> list[tuple[Owner, Group]]:
        with self._records.transaction() as tx:
            return [(owner, from_document(document)) for owner, _, document in tx.everyones(_GROUP)]

    def change(self, owner: Owner, name: str, how: Callable[[Group], Group | None]) -> Group | None:
        """A group after `how`, which says None where it is over; None where there is none. Costs no write if equal."""
        with self._records.transaction() as tx:
            rows = Rows(tx, owner)
            before = rows.find(name)
            if before is None:
                return None
            after = how(before)
            if after is None:
                rows.remove(name)
            elif after != before:
                rows.put(after)
            return after


class Rows:
    """The groups and launch configurations of one owner, in a transaction."""

    def __init__(self, tx: Transaction, owner: Owner) -> None:
        self._tx = tx
        self.owner = owner

    def find(self, name: str) -> Group | None:
        document = self._tx.get(_GROUP, self.owner, name)
        return None if document is None else from_document(document)

    def group(self, name: str) -> Group:
        """The group of this name; a ValidationError where there is none, as AWS has it."""
        found = self.find(name)
        if found is None:
            raise validation_error(f"AutoScalingGroup name not found - AutoScalingGroup {name} not found")
        return found

    def group_of(self, instance_id: str) -> tuple[Group, Member]:
        """The group that an instance is in, and the instance there."""
        for group in self.all():
            member = group.member(instance_id)
            if member is not None:
                return group, member
        raise validation_error(f"Instance Id not found - No managed instance found for instance ID: {instance_id}")

    def all(self) -> list[Group]:
        return [from_document(document) for document in self._tx.all(_GROUP, self.owner).values()]

    def put(self, group: Group) -> None:
        self._tx.put(_GROUP, self.owner, group.name, as_document(group))

    def remove(self, name: str) -> None:
        self._tx.delete(_GROUP, self.owner, name)

    def launch_configuration(self, name: str) -> dict[str, Any] | None:
        return self._tx.get(_LAUNCH_CONFIGURATION, self.owner, name)

    def launch_configurations(self) -> dict[str, dict[str, Any]]:
        return self._tx.all(_LAUNCH_CONFIGURATION, self.owner)

    def put_launch_configuration(self, name: str, document: dict[str, Any]) -> None:
        self._tx.put(_LAUNCH_CONFIGURATION, self.owner, name, document)

    def remove_launch_configuration(self, name: str) -> None:
        self._tx.delete(_LAUNCH_CONFIGURATION, self.owner, name)
