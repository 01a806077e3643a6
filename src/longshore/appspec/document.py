"""A YAML or JSON document as nodes that know their place and their text.

Nodes instead of constructed values keep what those lose: the line for the message and the text of a scalar
(`mode: 0755` stays "0755", where YAML 1.1 makes it 493). They are built from the parser's events, so nesting costs no
stack, and an alias is one more reference to its anchor's node. What it would cost to walk them all is counted while
they are built: a file whose aliases expand without end is refused before anybody walks it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from longshore.appspec import scalars
from longshore.appspec.problems import AppSpecError, refusal

#: libyaml's parser when PyYAML was built with it, else the pure Python one: same grammar, YAML 1.1 either way.
_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: Largest AppSpec file: whoever reads one may stop a byte later. The largest in the corpus has 4 KiB.
MAX_BYTES = 1024 * 1024
#: Most values a file may hold once its aliases are followed.
MAX_NODES = 250_000
#: Deepest nesting read. A host AppSpec needs five levels.
MAX_DEPTH = 200

_TAG = "tag:yaml.org,2002:"


@dataclass(eq=False, kw_only=True, slots=True)
class Node:
    """A value of the document."""

    #: Both counted from 1; None in a JSON document that YAML cannot read.
    line: int | None = None
    column: int | None = None
    #: As resolved by the parser (`tag:yaml.org,2002:str` for `!!str`); None when the file gives none.
    tag: str | None = None
    #: How many values there are from here down, with aliases followed.
    size: int = 1


@dataclass(eq=False, kw_only=True, slots=True)
class Scalar(Node):
    """One value without parts."""

    text: str
    #: Written without quotes and without a tag, so that YAML may read more into it than text.
    is_plain: bool = True

    @property
    def is_typed(self) -> bool:
        """Whether YAML decides what the text means; not so for quoted text and for `!!str`."""
        return self.is_plain and self.tag not in (_TAG + "str", "!str", _TAG + "binary", "!binary")


@dataclass(eq=False, kw_only=True, slots=True)
class Sequence(Node):
    """A list."""

    items: list[Node] = field(default_factory=list)


@dataclass(eq=False, kw_only=True, slots=True)
class Mapping(Node):
    """Keys and values. A later value replaces an earlier one, merge keys (`<<`) included, as Psych has it."""

    pairs: dict[str, Node] = field(default_factory=dict)
    #: The node of each key, for its place.
    keys: dict[str, Node] = field(default_factory=dict)
    #: Keys given more than once.
    repeated: dict[str, Node] = field(default_factory=dict)
    #: Keys that are lists or mappings: no AppSpec has a use for them.
    odd_keys: list[Node] = field(default_factory=list)


def compose(text: bytes) -> Node | None:
    """The root of the first document, or None when the file holds none (agent.md 6.1, 6.2)."""
    source = _decode(text)
    try:
        return _Builder().build(yaml.parse(source, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise refusal(
            f"this is not valid YAML: {_said(error)}",
            _TABS if mark and _is_tab(source, mark) else _remedy(error),
            line=mark.line + 1 if mark else None,
            column=mark.column + 1 if mark else None,
        ) from None
    except yaml.reader.ReaderError as error:
        before = source.encode()[: error.position] if isinstance(error.position, int) else b""
        raise refusal(
            f"the file holds a character that YAML does not allow ({error.reason})",
            "Remove it; it may be invisible in an editor.",
            line=before.count(b"\n") + 1,
        ) from None
    except yaml.YAMLError as error:
        raise refusal(f"this is not valid YAML: {' '.join(str(error).split())}", "Correct the syntax.") from None


def compose_json(text: bytes) -> Node | None:
    """The root of a document that must be JSON to the letter (lambda_ecs_appspec.md A5)."""
    source = _decode(text)
    try:
        value = json.loads(source)
    except json.JSONDecodeError as error:
        raise refusal(
            f"this is not valid JSON: {error.msg}",
            "Correct the syntax there or on the line above.",
            line=error.lineno,
            column=error.colno,
        ) from None
    except (RecursionError, ValueError):
        raise refusal("this JSON is nested too deep or holds too long a number", "Write a plain AppSpec.") from None
    try:
        # Nearly all JSON is YAML, which tells the places.
        return compose(text)
    except AppSpecError:
        return _from_json(value)


def describe(node: Node | None) -> str:
    """What a node is, in words for a message."""
    if isinstance(node, Mapping):
        return "a mapping (key: value)"
    if isinstance(node, Sequence):
        return "a list"
    if isinstance(node, Scalar) and not is_null(node):
        return f"the text {shortened(node.text)!r}"
    return "empty"


def shortened(text: str) -> str:
    """The text as far as a message has room for it."""
    return text if len(text) <= 80 else text[:77] + "..."


def is_null(node: Node | None) -> bool:
    """Whether a value is absent or YAML's null."""
    return node is None or (isinstance(node, Scalar) and node.is_typed and scalars.is_null(node.text))


def number(node: Node | None) -> int | float | None:
    """The scalar's value when YAML reads it as a number (so not when it is quoted), else None."""
    if not isinstance(node, Scalar):
        return None
    # `!!int "0"` is a number in spite of its quotes.
    is_asked_for = node.tag in (_TAG + "int", _TAG + "float", "!int", "!float")
    return scalars.number(node.text) if node.is_typed or is_asked_for else None


def boolean(node: Node | None) -> bool | None:
    """The scalar's truth value when YAML reads it as one, else None."""
    return scalars.boolean(node.text) if isinstance(node, Scalar) and node.is_typed else None


class _Builder:
    """Nodes from events, without recursion."""

    def __init__(self) -> None:
        self._anchors: dict[str, Node] = {}
        #: Collections under way, each with the anchor it will have, and for a mapping the key that waits for its value.
        self._open: list[tuple[Node, str | None]] = []
        self._waiting: list[Node | None] = []

    def build(self, events: Iterator[yaml.Event]) -> Node | None:
        root: Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentEndEvent):
                # Later documents are not looked at, as in the official agent: not even for their syntax.
                break
            node: Node | None = None
            if isinstance(event, yaml.ScalarEvent):
                node = Scalar(text=event.value, is_plain=not event.implicit[1], **_place(event))
                if event.anchor:
                    self._anchors[event.anchor] = node
            elif isinstance(event, yaml.AliasEvent):
                node = self._anchored(event)
            elif isinstance(event, yaml.CollectionStartEvent):
                self._start(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                node, anchor = self._open.pop()
                self._waiting.pop()
                if anchor:
                    self._anchors[anchor] = node
            if node is not None:
                if self._open:
                    self._add(node)
                else:
                    root = node
        return root

    def _start(self, event: yaml.CollectionStartEvent) -> None:
        made = Sequence if isinstance(event, yaml.SequenceStartEvent) else Mapping
        node = made(**_place(event))
        if len(self._open) == MAX_DEPTH:
            raise refusal(
                f"lists and mappings are nested more than {MAX_DEPTH} deep", "Write a plain AppSpec.", line=node.line
            )
        self._open.append((node, event.anchor))
        self._waiting.append(None)

    def _anchored(self, event: yaml.AliasEvent) -> Node:
        node = self._anchors.get(event.anchor or "")
        if node is None:
            # A glob without quotes is the usual way to get here (`pattern: *js*`).
            raise refusal(
                f"this is not valid YAML: *{event.anchor} refers to an anchor that is not there",
                "Quote a value that begins with a star: '*.txt'.",
                **_mark(event),
            )
        return node

    def _add(self, node: Node) -> None:
        into, _ = self._open[-1]
        into.size += node.size
        if into.size > MAX_NODES:
            raise refusal(
                f"the file holds more than {MAX_NODES} values, aliases (*name) followed",
                "Write it without aliases.",
                line=into.line,
            )
        if isinstance(into, Sequence):
            into.items.append(node)
            return
        assert isinstance(into, Mapping)
        key = self._waiting[-1]
        if key is None:
            self._waiting[-1] = node
            return
        self._waiting[-1] = None
        if not isinstance(key, Scalar):
            into.odd_keys.append(key)
        elif key.text == "<<" and key.tag != _TAG + "str" and (given := _mergeable(node)) is not None:
            # Of several mappings the first wins; all replace what stands before (Psych; in YAML own keys win).
            for other in reversed(given):
                into.pairs.update(other.pairs)
                into.keys.update(other.keys)
        else:
            if key.text in into.pairs:
                into.repeated[key.text] = key
            into.pairs[key.text] = node
            into.keys[key.text] = key


def _mergeable(node: Node) -> list[Mapping] | None:
    listed = node.items if isinstance(node, Sequence) else [node]
    found = [item for item in listed if isinstance(item, Mapping)]
    return found if len(found) == len(listed) else None


def _place(event: Any) -> dict[str, Any]:
    tag: str | None = event.tag
    if tag is not None and tag.startswith("!ruby/"):
        raise refusal(f"the tag {tag} asks for an object of Ruby", "Remove it.", **_mark(event))
    return {**_mark(event), "tag": tag}


def _mark(event: Any) -> dict[str, int]:
    return {"line": event.start_mark.line + 1, "column": event.start_mark.column + 1}


def _from_json(value: object) -> Node:
    if isinstance(value, dict):
        node = Mapping(
            pairs={key: _from_json(item) for key, item in value.items()},
            keys={key: Scalar(text=key) for key in value},
        )
        node.size += sum(item.size for item in node.pairs.values())
        return node
    if isinstance(value, list):
        items = [_from_json(item) for item in value]
        return Sequence(items=items, size=1 + sum(item.size for item in items))
    if isinstance(value, str):
        return Scalar(text=value, is_plain=False)
    return Scalar(text=json.dumps(value))


def _decode(text: bytes) -> str:
    if len(text) > MAX_BYTES:
        raise refusal(f"the file has more than {MAX_BYTES} bytes", "No AppSpec file needs so many; shorten it.")
    if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise refusal("the file is UTF-16 text", "Save it as UTF-8.")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refusal(
            f"the file is not UTF-8 text (byte {text[error.start]:#04x} at offset {error.start})",
            "Save it as UTF-8.",
            line=text[: error.start].count(b"\n") + 1,
        ) from None


_TABS = "Indent with spaces; YAML allows no tabs there."
#: Words in the parser's message → what to do. The messages differ between libyaml and the pure Python parser, so a
#: message that is not found here gets the general advice.
_REMEDIES = (
    (r"'\\t'|\\t|tab", _TABS),
    (r"mapping values are not allowed", "Quote a value that holds ': ', or correct the indentation."),
    (r"scanning an alias|alias", "Quote a value that begins with a star: '*.txt'."),
    (r"cannot start any token", "Quote a value that begins with @, %, or a backquote."),
    (r"scanning a quoted scalar|end of stream", "Close the quotes."),
    (r"flow (mapping|sequence)", "Close every bracket, and put a comma between the parts."),
    (r"block (mapping|collection)", "Give all lines of a list or a mapping the same indentation."),
)


def _said(error: yaml.MarkedYAMLError) -> str:
    parts = [error.problem, error.context]
    said = ", ".join(part for part in parts if part)
    if error.context and error.context_mark and error.problem:
        said += f" that begins on line {error.context_mark.line + 1}"
    return said


def _is_tab(source: str, mark: Any) -> bool:
    """Whether a tab is where the parser gave up; libyaml does not say so."""
    lines = source.splitlines()
    line: str = lines[mark.line] if mark.line < len(lines) else ""
    return line.startswith("\t", mark.column)


def _remedy(error: yaml.MarkedYAMLError) -> str:
    said = f"{error.context or ''} {error.problem or ''}"
    for words, remedy in _REMEDIES:
        if re.search(words, said):
            return remedy
    return "Correct the syntax there or on the line above."
