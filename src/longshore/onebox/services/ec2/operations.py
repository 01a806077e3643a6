"""How an operation of EC2 is answered: a function of the call and its input, run in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from longshore.onebox.machinery.records import Owner, Records
from longshore.onebox.services.ec2.ec2 import Ec2
from longshore.onebox.services.ec2.errors import invalid
from longshore.onebox.services.ec2.hosts import RealHosts
from longshore.wire.pagination import open_token, seal
from longshore.wire.service import AwsError, Call, Handler

#: What a page may hold where its operation says nothing else, and the most of a page that is not asked for by number.
_LEAST, _MOST = 5, 1000


@dataclass(frozen=True, kw_only=True)
class World:
    """What operations work on."""

    ec2: Ec2
    records: Records
    hosts: RealHosts
    #: Seals the tokens of pages.
    page_secret: bytes


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One call of one operation."""

    world: World
    call: Call
    input: Mapping[str, Any]

    @property
    def owner(self) -> Owner:
        return Owner(self.call.caller.account, self.call.caller.region)

    def __getitem__(self, member: str) -> Any:
        return self.input[member]

    def get(self, member: str, default: Any = None) -> Any:
        return self.input.get(member, default)


Body = Callable[[Asked], Mapping[str, Any] | None]
_MARK: Final = "__ec2_operation__"


def reads(name: str) -> Callable[[Body], Body]:
    """Mark the function that answers this operation and changes nothing."""
    return _marked(name, writes=False)


def writes(name: str) -> Callable[[Body], Body]:
    """Mark the function that answers this operation and may change something: calls of it are audited."""
    return _marked(name, writes=True)


def _marked(name: str, *, writes: bool) -> Callable[[Body], Body]:
    def mark(body: Body) -> Body:
        setattr(body, _MARK, (name, writes))
        return body

    return mark


def handlers(world: World, modules: Iterable[ModuleType]) -> dict[str, Handler]:
    """The operations of these modules as the wire wants them, by name."""
    return {name: _handler(world, body) for name, _, body in _operations(modules)}


def served(modules: Iterable[ModuleType]) -> frozenset[str]:
    """The names of the operations of these modules."""
    return frozenset(name for name, _, _ in _operations(modules))


def changes(modules: Iterable[ModuleType]) -> frozenset[str]:
    """The names of those that may change something."""
    return frozenset(name for name, writes, _ in _operations(modules) if writes)


def _operations(modules: Iterable[ModuleType]) -> list[tuple[str, bool, Body]]:
    return [
        (*getattr(body, _MARK), body) for module in modules for body in vars(module).values() if hasattr(body, _MARK)
    ]


def _handler(world: World, body: Body) -> Handler:
    async def handle(call: Call, given: dict[str, Any]) -> Mapping[str, Any] | None:
        if given.get("DryRun"):
            raise AwsError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        return await asyncio.to_thread(body, Asked(world=world, call=call, input=given))

    return handle


def page(asked: Asked, things: Sequence[Any], key: Callable[[Any], str]) -> tuple[list[Any], dict[str, Any]]:
    """The part of a list that is asked for, and the token for what follows. Things are in the order of their keys."""
    owner = asked.owner
    query = f"{asked.call.operation}/{owner.account}/{owner.region}/{asked.get('Filters')!r}"
    count, token = asked.get("MaxResults"), asked.get("NextToken")
    if count is not None and not _LEAST <= count <= _MOST:
        raise invalid(
            f"Value ( {count} ) for parameter maxResults is invalid. Expecting a value from {_LEAST} to {_MOST}."
        )
    after = ""
    if token:
        try:
            after = str(open_token(asked.world.page_secret, query, token)[0])
        except ValueError:
            raise AwsError("InvalidNextToken", "The token is not one of this list; begin it again.") from None
    rest = [thing for thing in things if key(thing) > after]
    if count is None or len(rest) <= count:
        return rest, {}
    return rest[:count], {"NextToken": seal(asked.world.page_secret, query, [key(rest[count - 1])])}
