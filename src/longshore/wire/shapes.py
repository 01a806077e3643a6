"""The one walk over a service model's shapes, shared by everything that is done with a shape.

A codec or a checker says what it makes of a structure, a list, a map and a scalar; the walk calls it once for each
shape and keeps what it made: its *plan*, a function of one value. Requests then run plans and never touch the model.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from botocore.model import ListShape, MapShape, Shape, StructureShape

Result = TypeVar("Result")


class Plans(ABC, Generic[Result]):
    """Plans for the shapes of one model, each made on first use and safe to share between threads."""

    def __init__(self) -> None:
        self._plans: dict[tuple[str, ...], Callable[[Any], Result]] = {}
        self._in_progress: set[tuple[str, ...]] = set()
        self._making = threading.RLock()

    def plan(self, shape: Shape) -> Callable[[Any], Result]:
        """What to do with a value of this shape."""
        key = self.key(shape)
        made = self._plans.get(key)
        if made is not None:
            return made
        with self._making:
            if key in self._in_progress:
                return self._of_itself(key)
            self._in_progress.add(key)
            try:
                made = self._plans[key] = self._make(shape)
            finally:
                self._in_progress.discard(key)
        return made

    def key(self, shape: Shape) -> tuple[str, ...]:
        """What two references to a shape must share to share a plan; a reference may set a time format of its own."""
        return (shape.name, shape.serialization.get("timestampFormat", ""))

    @abstractmethod
    def structure(
        self, shape: StructureShape, members: Mapping[str, Callable[[Any], Result]]
    ) -> Callable[[Any], Result]: ...

    @abstractmethod
    def list(self, shape: ListShape, member: Callable[[Any], Result]) -> Callable[[Any], Result]: ...

    @abstractmethod
    def map(
        self, shape: MapShape, key: Callable[[Any], Result], value: Callable[[Any], Result]
    ) -> Callable[[Any], Result]: ...

    @abstractmethod
    def scalar(self, shape: Shape) -> Callable[[Any], Result]: ...

    def _make(self, shape: Shape) -> Callable[[Any], Result]:
        if isinstance(shape, StructureShape) and not shape.is_document_type:
            members = {name: self.plan(member) for name, member in shape.members.items()}
            return self.structure(shape, members)
        if isinstance(shape, ListShape):
            return self.list(shape, self.plan(shape.member))
        if isinstance(shape, MapShape):
            return self.map(shape, self.plan(shape.key), self.plan(shape.value))
        return self.scalar(shape)

    def _of_itself(self, key: tuple[str, ...]) -> Callable[[Any], Result]:
        """The plan of a shape met inside itself: looked up when it runs, since it is not made yet."""
        plans = self._plans
        return lambda value: plans[key](value)
