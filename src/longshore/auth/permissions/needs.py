"""The words in which the tables are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol


class Rows(Protocol):
    """What of the account's rows it can depend on which permission a call needs."""

    def groups_of(self, deployment_ids: Sequence[str]) -> list[tuple[str, str]]:
        """Application and group of each of these deployments that there is."""

    def config_of(self, application: str, group: str) -> str | None:
        """The name of the group's deployment config; None when there is no such group."""

    def identity_arn(self, kind: str, name: str) -> str | None:
        """The ARN, path and all, of the "user" or "role" of this name."""

    def profile_path(self, name: str) -> str | None:
        """The path of the instance profile of this name."""

    def holder_of(self, access_key_id: str) -> str | None:
        """The ARN of the user who holds this key in this account."""


class Asked(NamedTuple):
    """A call as the tables see it."""

    #: The input's members; decoded, their constraints not checked yet.
    input: Mapping[str, Any]
    account: str
    region: str
    #: The ARN and name of who signed; the name is "" for the account's owner.
    caller_arn: str
    caller_name: str
    rows: Rows


class Resource(NamedTuple):
    """Something an action is done to."""

    arn: str
    #: What a refused caller is told it was; it may know less than the rows do.
    shown: str


#: The resources that a call is about. It may do what it asks when it may do it to each of them.
Find = Callable[[Asked], Iterable[Resource]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """One permission: any of these actions, on every one of the resources."""

    #: With the service's prefix.
    actions: tuple[str, ...]
    find: Find


#: By operation.
Table = Mapping[str, Sequence[Need]]


def named(asked: Asked, member: str) -> list[str]:
    """The names that a member gives, one or many; a star for none, which only a policy for all of them means."""
    given = asked.input.get(member)
    if isinstance(given, str) and given:
        return [given]
    names = [name for name in given if isinstance(name, str)] if isinstance(given, list) else []
    return names or ["*"]


def everything(_asked: Asked) -> list[Resource]:
    """For an action about no resource in particular."""
    return [Resource("*", "*")]


def plain(arns: Iterable[str]) -> list[Resource]:
    """Resources that are shown as they are."""
    return [Resource(arn, arn) for arn in arns]
