"""A place in a document: the value there, the key that leads to it, and where to say what is wrong with it.

Readers of all three platforms go through the file with it. A read that fails has recorded why and returns a stand-in,
so that one reading finds every problem; what was read counts only when none was found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from longshore.appspec import document
from longshore.appspec.document import Mapping, Node, Scalar, Sequence
from longshore.appspec.problems import AppSpecError, Problem

#: More is not recorded: nobody reads on.
MAX_PROBLEMS = 1_000


class Problems(list[Problem]):
    """What was found, in the order it was met."""

    def refuse(self) -> None:
        """Raise what was found, unless it is warnings only."""
        if any(not problem.is_warning for problem in self):
            raise AppSpecError(sorted(self, key=lambda problem: problem.line or 0))


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where the reader is."""

    node: Node | None
    #: `files[0].destination`; empty at the root.
    key: str
    problems: Problems
    #: The node whose line is told when there is no value here.
    near: Node | None = None
    #: Keys are found in any mixture of cases (lambda_ecs_appspec.md A4).
    folds: bool = False

    @property
    def line(self) -> int:
        """The line of the value; 0 when it is not known."""
        node = self.node or self.near
        return (node.line if node is not None else None) or 0

    @property
    def is_absent(self) -> bool:
        """Whether nothing is here, or null."""
        return document.is_null(self.node)

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is here, null, or false: what the official agent takes for nothing."""
        return self.is_absent or document.boolean(self.node) is False

    def error(self, what: str, remedy: str) -> None:
        """Record that the file cannot be used."""
        self._record(what, remedy, is_warning=False)

    def warning(self, what: str, remedy: str) -> None:
        """Record what is legal but surely not meant."""
        self._record(what, remedy, is_warning=True)

    def at(self, name: str) -> Place:
        """The value of a key of the mapping here; absent when there is none."""
        found = self.node.pairs.get(self._spelled(name)) if isinstance(self.node, Mapping) else None
        return self._child(found, f"{self.key}.{name}" if self.key else name)

    def entries(self) -> Iterator[tuple[str, Place]]:
        """Every key of the mapping here and its value."""
        if isinstance(self.node, Mapping):
            for name in list(self.node.pairs):
                yield name, self.at(name)

    def is_mapping(self, *known: str) -> bool:
        """Whether a mapping is here, else an error. If `known` keys are given, any other gets a warning."""
        if not isinstance(self.node, Mapping):
            self.error(
                f"must be a mapping (key: value), but it is {document.describe(self.node)}",
                "Put a space after each colon, and check the indentation.",
            )
            return False
        for name, key in self.node.repeated.items():
            self._at_key(name, key).warning("is given twice; the last one counts", "Keep one of them.")
        if self.folds:
            self._refuse_spellings(self.node)
        for key in self.node.odd_keys:
            self._at_key("?", key).warning("is a key that is no plain text; it is ignored", "Remove it.")
        if known:
            self._warn_of_unknown(self.node, known)
        return True

    def items(self, remedy: str = "Begin each item with '- '.") -> Iterator[Place]:
        """The items of the list here; none when nothing is here."""
        if self.is_nothing or (isinstance(self.node, Mapping) and not self.node.pairs):
            return
        if not isinstance(self.node, Sequence):
            self.error(f"must be a list, but it is {document.describe(self.node)}", remedy)
            return
        for number, item in enumerate(self.node.items):
            yield self._child(item, f"{self.key}[{number}]")

    def text(self) -> str | None:
        """The scalar's text as written; None when it is absent or null."""
        if self.is_absent:
            return None
        if not isinstance(self.node, Scalar):
            self.error(f"must be one plain value, but it is {document.describe(self.node)}", "Write one value.")
            return None
        if "\0" in self.node.text:
            self.error("holds a NUL character", "Remove it.")
        return self.node.text

    def _spelled(self, name: str) -> str:
        if not self.folds or not isinstance(self.node, Mapping) or name in self.node.pairs:
            return name
        return next((given for given in self.node.pairs if given.lower() == name.lower()), name)

    def _child(self, node: Node | None, key: str) -> Place:
        return Place(node=node, key=key, problems=self.problems, near=self.node or self.near, folds=self.folds)

    def _at_key(self, name: str, key: Node) -> Place:
        return self._child(key, f"{self.key}.{name}" if self.key else name)

    def _refuse_spellings(self, node: Mapping) -> None:
        """The same key in two mixtures of cases: which one counts is anybody's guess (lambda_ecs_appspec.md A4)."""
        spelled: dict[str, str] = {}
        for name, key in node.keys.items():
            first = spelled.setdefault(name.lower(), name)
            if first != name:
                self._at_key(name, key).error(f"is the key {first} once more", "Keep one of them.")

    def _warn_of_unknown(self, node: Mapping, known: tuple[str, ...]) -> None:
        plain = {_plain(name): name for name in known}
        for name, key in node.keys.items():
            if name in known or (self.folds and name.lower() in (each.lower() for each in known)):
                continue
            meant = plain.get(_plain(name))
            self._at_key(name, key).warning(
                "is not a key of an AppSpec here; it is ignored",
                f"Write {meant}."
                if meant
                else f"Remove it, or move it where it belongs. Known here: {', '.join(known)}.",
            )

    def _record(self, what: str, remedy: str, *, is_warning: bool) -> None:
        if len(self.problems) >= MAX_PROBLEMS:
            return
        node = self.node or self.near
        self.problems.append(
            Problem(
                what=what,
                remedy=remedy,
                key=self.key,
                line=node.line if node is not None else None,
                column=node.column if node is not None else None,
                is_warning=is_warning,
            )
        )


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")
