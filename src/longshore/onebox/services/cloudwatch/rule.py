"""Rules of composite alarms: ``ALARM("a") AND NOT (OK(b) OR INSUFFICIENT_DATA(c))``. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from longshore.onebox.services.cloudwatch.evaluation import State

#: States of alarms by name or ARN; None for one that is not there.
States = Callable[[str], State | None]

_TOKEN = re.compile(r'\s*(?:(?P<mark>[()])|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<word>[^\s()"]+))')
_DEEPEST = 50


class RuleError(ValueError):
    """A rule that is none; the message says why."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, read."""

    holds: Callable[[States], bool]
    #: The alarms it names, as it names them.
    names: frozenset[str]


def parse(text: str) -> Rule:
    """Read a rule; raises RuleError."""
    return _Parser(text).rule()


class _Parser:
    """NOT binds closest, then AND, then OR."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._names: set[str] = set()
        self._depth = 0

    def rule(self) -> Rule:
        holds = self._either()
        if self._at < len(self._tokens):
            raise RuleError(f"{self._tokens[self._at][1]!r} was not expected there")
        return Rule(holds, frozenset(self._names))

    def _either(self) -> Callable[[States], bool]:
        terms = [self._both()]
        while self._takes("OR"):
            terms.append(self._both())
        return lambda states: any(term(states) for term in terms)

    def _both(self) -> Callable[[States], bool]:
        terms = [self._one()]
        while self._takes("AND"):
            terms.append(self._one())
        return lambda states: all(term(states) for term in terms)

    def _one(self) -> Callable[[States], bool]:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise RuleError(f"it is nested deeper than {_DEEPEST}")
        try:
            if self._takes("NOT"):
                inner = self._one()
                return lambda states: not inner(states)
            if self._takes("(", kind="mark"):
                inner = self._either()
                self._require(")")
                return inner
            return self._function()
        finally:
            self._depth -= 1

    def _function(self) -> Callable[[States], bool]:
        kind, word = self._next("ALARM(…), OK(…), INSUFFICIENT_DATA(…), TRUE, FALSE, NOT or a parenthesis")
        if kind == "word" and word.upper() in ("TRUE", "FALSE"):
            is_true = word.upper() == "TRUE"
            return lambda _: is_true
        if kind != "word" or word.upper() not in State.__members__:
            raise RuleError(f"{word!r} is none of ALARM(…), OK(…), INSUFFICIENT_DATA(…), TRUE and FALSE")
        state = State(word.upper())
        self._require("(")
        kind, name = self._next("the name of an alarm")
        if kind == "mark":
            raise RuleError(f"an alarm's name was expected, not {name!r}")
        self._require(")")
        self._names.add(name)
        return lambda states: states(name) is state

    def _takes(self, word: str, kind: str = "word") -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == (kind, word):
            self._at += 1
            return True
        return False

    def _require(self, mark: str) -> None:
        if not self._takes(mark, kind="mark"):
            found = repr(self._tokens[self._at][1]) if self._at < len(self._tokens) else "the end"
            raise RuleError(f"{mark!r} was expected, not {found}")

    def _next(self, expected: str) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise RuleError(f"it ends where {expected} was expected")
        self._at += 1
        return self._tokens[self._at - 1]


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    text = text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise RuleError(f"a quotation mark opens at {text[at:].strip()[:20]!r} and does not close")
        at = found.end()
        kind = str(found.lastgroup)
        value = found[kind]
        yield kind, re.sub(r"\\(.)", r"\1", value) if kind == "quoted" else value
