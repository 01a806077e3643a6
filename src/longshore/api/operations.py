"""How an operation of the API meets the store: it is given a transaction, records a wish or reads rows, and returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from longshore.api import recording
from longshore.api.limits import Limits
from longshore.domain.ids import Scope
from longshore.store import audit
from longshore.store.database import Store, Transaction
from longshore.wire.service import Call as WireCall
from longshore.wire.service import Handler


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One call of an operation, inside its transaction."""

    tx: Transaction
    #: Account and region of the caller: the only rows this call may see.
    scope: Scope
    #: The ARN of the principal that signed.
    caller: str
    #: Epoch seconds; the only clock of the call.
    now: float
    limits: Limits
    #: Seals pagination tokens (wire.pagination).
    page_secret: bytes
    #: The call as it came over the wire.
    request: WireCall

    @property
    def access_key_id(self) -> str:
        """The key that signed."""
        return self.request.caller.access_key_id

    @property
    def user_name(self) -> str | None:
        """The user who signed; None for the account's owner and for a role's session."""
        return self.caller.rpartition("/")[2] if self.caller.split(":", 5)[5].startswith("user/") else None

    @property
    def is_of_a_role(self) -> bool:
        """Whether a session of a role signed."""
        return ":assumed-role/" in self.caller


#: An operation's body: checks, records, replies. Typed more closely where it is defined.
Body = Callable[[Call, Any], Any]


@dataclass(frozen=True, slots=True)
class _Operation:
    name: str
    writes: bool
    quick: bool
    foresee: Callable[[Transaction, Scope, Any], None] | None = None


def reads(name: str, *, quick: bool = False) -> Callable[[Body], Body]:
    """Mark the function that answers this operation from rows, changing none; `quick` as `Store.fetch` has it."""
    return _marked(_Operation(name, writes=False, quick=quick))


def writes(
    name: str, *, quick: bool = False, foresee: Callable[[Transaction, Scope, Any], None] | None = None
) -> Callable[[Body], Body]:
    """Mark the function that answers this operation and may change rows; the options as `Store.submit` has them.

    It runs in the writer's transaction, and so does the record that the audit keeps of the call.
    """
    return _marked(_Operation(name, writes=True, quick=quick, foresee=foresee))


def _marked(operation: _Operation) -> Callable[[Body], Body]:
    def mark(body: Body) -> Body:
        body.__operation__ = operation  # type: ignore[attr-defined]  # a function carries its own registration
        return body

    return mark


def handlers(
    store: Store, modules: tuple[ModuleType, ...], *, limits: Limits, page_secret: bytes
) -> Mapping[str, Handler]:
    """Collect the operations of these modules as the wire wants them, by operation name."""
    return {
        operation.name: _handler(store, operation, body, limits, page_secret)
        for operation, body in _operations(modules)
    }


def served(modules: Iterable[ModuleType]) -> frozenset[str]:
    """The names of the operations of these modules."""
    return frozenset(operation.name for operation, _ in _operations(modules))


def changes(modules: Iterable[ModuleType]) -> frozenset[str]:
    """The names of those operations of these modules that may change rows."""
    return frozenset(operation.name for operation, _ in _operations(modules) if operation.writes)


def _operations(modules: Iterable[ModuleType]) -> Iterator[tuple[_Operation, Body]]:
    for module in modules:
        for body in vars(module).values():
            operation = getattr(body, "__operation__", None)
            if isinstance(operation, _Operation) and body.__module__ == module.__name__:
                yield operation, body


def _handler(store: Store, operation: _Operation, body: Body, limits: Limits, page_secret: bytes) -> Handler:
    async def handle(call: WireCall, asked: dict[str, Any]) -> Mapping[str, Any] | None:
        scope = Scope(call.caller.account, call.caller.region)

        def work(tx: Transaction) -> Any:
            if operation.writes:
                audit.foresee(tx, scope.account)
            reply = body(
                Call(
                    tx=tx,
                    scope=scope,
                    caller=call.caller.arn,
                    now=call.now,
                    limits=limits,
                    page_secret=page_secret,
                    request=call,
                ),
                asked,
            )
            if operation.writes:
                audit.append(tx, recording.success(call, asked, reply))
            return reply

        reply: Mapping[str, Any] | None
        if operation.writes:
            ask = operation.foresee
            ahead = None if ask is None else lambda tx: ask(tx, scope, asked)
            reply = await store.submit(work, quick=operation.quick, foresee=ahead)
        else:
            reply = await store.fetch(work, quick=operation.quick)
        return reply

    return handle
