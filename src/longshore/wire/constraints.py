"""What a service model demands of an input beyond its types: presence, sizes, ranges, patterns, enumerations.

SDKs check only presence and minimum lengths before they send, so the server checks everything.
"""

from __future__ import annotations

import functools
import re
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from longshore.wire.shapes import Plans

if TYPE_CHECKING:
    from longshore.wire.service import AwsError, Explainer

Kind = Literal["required", "min", "max", "pattern", "enum"]

#: Constraints a service documents and its model leaves out, in the model's own words (``min``, ``max``, ``pattern``,
#: ``enum``, ``required``), by shape (``DeploymentId``) or by a member (``GetDeploymentInput.deploymentId``).
#: A shape's win over the model's; a member's come on top of its shape's.
Overlay = Mapping[str, Mapping[str, Any]]

#: What every text must match unless an overlay gives its shape the pattern "": not every database can store a NUL.
_NO_NUL = r"[^\u0000]*"

_SHOWN_VALUE_LENGTH = 100
_SHOWN_ENUM_VALUES = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """One constraint that one value of an input breaks."""

    #: From the input's member down: member names, list positions, map keys.
    path: tuple[str | int, ...]
    kind: Kind
    #: The shape that carries the constraint; for ``required`` the shape of the missing member.
    shape: str
    #: The structure member the value is, or is inside of.
    member: str
    #: The value as a message may show it: cut short, and safe to print.
    value: str
    #: The bound, the pattern, or the allowed values.
    limit: Any

    @property
    def is_absence(self) -> bool:
        """Is a member of the input itself missing? An empty text or list counts as none given."""
        return len(self.path) == 1 and (self.kind == "required" or self.is_empty)

    @property
    def is_empty(self) -> bool:
        """Is this an empty text, list or map where something must be?"""
        return self.kind == "min" and self.value in ("''", "[]", "{}")

    @property
    def where(self) -> str:
        """The path as people write it, e.g. ``alarmConfiguration.alarms[0].name``."""
        return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path).lstrip(".")


Check = Callable[[Any], Sequence[Violation]]


def anything_goes(_value: Any) -> Sequence[Violation]:
    """The check of a shape that constrains nothing; structures and lists leave it out of their plans."""
    return ()


class Checks(Plans[Sequence[Violation]]):
    """Checks of one model's inputs. A check returns what is broken, in the order the shape lists its members."""

    def __init__(self, overlay: Overlay) -> None:
        super().__init__()
        self._overlay = overlay

    def structure(self, shape: StructureShape, members: Mapping[str, Check]) -> Check:
        members = {name: self._member(shape, name, check) for name, check in members.items()}
        required = {*shape.required_members, *self._overlay.get(shape.name, {}).get("required", ())}
        wanted = tuple(
            (
                name,
                shape.members[name].name if name in required else None,
                check if check is not anything_goes else None,
            )
            for name, check in members.items()
            if name in required or check is not anything_goes
        )
        if not wanted:
            return anything_goes

        def check_structure(value: Any) -> Sequence[Violation]:
            broken: list[Violation] = []
            for name, required_shape, check in wanted:
                item = value.get(name)
                if item is None:
                    if required_shape is not None:
                        broken.append(_missing(name, required_shape))
                elif check is not None and (found := check(item)):
                    broken += [_below(violation, name) for violation in found]
            return broken

        return check_structure

    def _member(self, shape: StructureShape, name: str, check: Check) -> Check:
        own = self._overlay.get(f"{shape.name}.{name}")
        return check if own is None else _together(check, _bounds(shape.members[name], own))

    def list(self, shape: ListShape, member: Check) -> Check:
        def check_items(value: Any) -> Sequence[Violation]:
            return [_below(v, index) for index, item in enumerate(value) for v in member(item)]

        return _together(
            check_items if member is not anything_goes else anything_goes,
            _bounds(shape, self._constraints(shape)),
        )

    def map(self, shape: MapShape, key: Check, value: Check) -> Check:
        def check_entries(entries: Any) -> Sequence[Violation]:
            return [_below(v, name) for name, item in entries.items() for v in (*key(name), *value(item))]

        return _together(
            check_entries if not (key is value is anything_goes) else anything_goes,
            _bounds(shape, self._constraints(shape)),
        )

    def scalar(self, shape: Shape) -> Check:
        return _bounds(shape, self._constraints(shape))

    def _constraints(self, shape: Shape) -> dict[str, Any]:
        return {**shape.metadata, **self._overlay.get(shape.name, {})}


def _together(inner: Check, outer: Check) -> Check:
    if inner is anything_goes:
        return outer
    if outer is anything_goes:
        return inner
    return lambda value: [*outer(value), *inner(value)]


def _bounds(shape: Shape, constraints: Mapping[str, Any]) -> Check:
    """The check of one value by itself: its size or range, then its pattern, then its enumeration."""
    smallest, largest = constraints.get("min"), constraints.get("max")
    enum = frozenset(constraints["enum"]) if constraints.get("enum") else None
    matches = compiled_pattern(constraints["pattern"]).fullmatch if constraints.get("pattern") else None
    if not smallest:  # every size is at least 0; a number's range may start there and is kept
        smallest = smallest if shape.type_name in _NUMBERS else None
    has_no_nul = shape.type_name == "string" and constraints.get("pattern") != ""
    if smallest is None and largest is None and enum is None and matches is None and not has_no_nul:
        return anything_goes
    measure: Callable[[Any], Any] = _itself if shape.type_name in _NUMBERS else len

    def broken(kind: Kind, value: Any, limit: Any) -> tuple[Violation]:
        return (Violation(path=(), kind=kind, shape=shape.name, member="", value=_shown(value), limit=limit),)

    def check_value(value: Any) -> Sequence[Violation]:
        if smallest is not None and measure(value) < smallest:
            return broken("min", value, smallest)
        if largest is not None and measure(value) > largest:
            return broken("max", value, largest)
        if matches is not None and matches(value) is None:
            return broken("pattern", value, constraints["pattern"])
        if has_no_nul and "\0" in value:
            return broken("pattern", value, _NO_NUL)
        if enum is not None and value not in enum:
            return broken("enum", value, tuple(constraints["enum"]))
        return ()

    return check_value


_NUMBERS = frozenset({"integer", "long", "float", "double", "short", "byte", "bigdecimal", "biginteger"})


def _itself(value: Any) -> Any:
    return value


def _missing(name: str, shape: str) -> Violation:
    return Violation(path=(name,), kind="required", shape=shape, member=name, value="None", limit=None)


def _below(violation: Violation, part: str | int) -> Violation:
    member = violation.member or (part if isinstance(part, str) else "")
    return replace(violation, path=(part, *violation.path), member=member)


def _shown(value: Any) -> str:
    """A value as an error message quotes it: never long, whatever was sent."""
    if isinstance(value, (str, bytes)):
        value = value if len(value) <= _SHOWN_VALUE_LENGTH else value[:_SHOWN_VALUE_LENGTH]
        return repr(value)
    if isinstance(value, (list, dict)) and value:
        return f"{len(value)} items"
    return repr(value)[:_SHOWN_VALUE_LENGTH]


def first_error(operation: OperationModel, violations: Sequence[Violation], explain: Explainer) -> AwsError:
    """The error to answer a broken input with.

    What is missing comes before what is malformed; among equals, the order in which the operation lists its errors
    decides, then the order of the members.
    """
    listed = {shape.name: position for position, shape in enumerate(operation.error_shapes)}

    def rank(candidate: tuple[Violation, AwsError]) -> tuple[bool, int]:
        violation, error = candidate
        return (not violation.is_absence, listed.get(error.code, len(listed)))

    # Every broken item of a long list would be explained alike; the first few hundred decide.
    candidates = [(violation, explain(operation, violation)) for violation in violations[:200]]
    return min(candidates, key=rank)[1]


def explain_as(code: str) -> Explainer:
    """An Explainer for a service that has one error for every malformed input."""

    def explain(_operation: OperationModel, violation: Violation) -> AwsError:
        # Imported late: service.py names Violation, so it imports this module.
        from longshore.wire.service import AwsError

        return AwsError(code, describe(violation))

    return explain


def describe(violation: Violation) -> str:
    """A broken constraint as a sentence: which member, what it was, what it may be."""
    where, value, limit = violation.where, violation.value, violation.limit
    match violation.kind:
        case "required":
            return f"{where} is required."
        case "min" if violation.is_empty:
            return f"{where} must not be empty."
        case "min" | "max":
            amount = f"at {'least' if violation.kind == 'min' else 'most'} {limit}"
            if value.endswith(" items"):
                return f"{where} has {value}; it must have {amount}."
            if value[0] in "'\"b":
                return f"{where} is {value}; it must have {amount} characters."
            return f"{where} is {value}; it must be {amount}."
        case "pattern":
            return f"{where} is {value}, which does not match {limit}."
        case "enum":
            shown = ", ".join(limit[:_SHOWN_ENUM_VALUES]) + (", …" if len(limit) > _SHOWN_ENUM_VALUES else "")
            return f"{where} is {value}; it must be one of {shown}."


@functools.cache
def compiled_pattern(pattern: str) -> re.Pattern[str]:
    r"""A model's pattern as Python's ``re`` reads it; match with ``fullmatch``, as AWS matches the whole value.

    Models are written for Java: ``\w`` and ``\d`` mean ASCII, ``\p{L}`` a Unicode category, characters beyond the BMP
    are pairs of surrogates, and a dash after a class is a plain dash.
    """
    translated = pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF")
    translated = re.sub(
        r"\\p\{(\w+)\}", lambda found: _category_ranges(found[1], in_class=_in_class(found)), translated
    )
    translated = re.sub(r"(\\[wdsWDS])-(?!\])", r"\1\\-", translated)
    return re.compile(translated, re.ASCII)


def _in_class(found: re.Match[str]) -> bool:
    """Does this escape stand inside brackets? Then its ranges must come without brackets of their own."""
    before = re.sub(r"\\.", "", found.string[: found.start()])
    return before.rfind("[") > before.rfind("]")


@functools.cache
def _category_ranges(category: str, *, in_class: bool) -> str:
    """All characters of a Unicode category (``L``, ``Zs``) as ranges of a character class."""
    ranges: list[list[int]] = []
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)).startswith(category):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    inside = "".join(rf"\U{first:08X}-\U{last:08X}" for first, last in ranges)
    return inside if in_class else f"[{inside}]"
