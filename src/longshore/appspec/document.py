"""A YAML document as nodes that know their line and their text.

Composing instead of constructing keeps three things the constructed value loses: the line for the error message,
the text of a scalar (`mode: 0755` stays "0755", where YAML 1.1 makes it 493), and the alias graph, which is walked
only where the AppSpec has meaning, so an alias bomb is never expanded.
"""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from longshore.appspec.errors import AppSpecError

#: libyaml's loader when PyYAML was built with it, else the pure Python one: same grammar, YAML 1.1 either way.
_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: Largest AppSpec file read. The largest in the corpus has 4 KiB.
MAX_BYTES = 1024 * 1024
#: Deepest nesting read. A host AppSpec needs five levels.
MAX_DEPTH = 64
#: Most items a list may have once aliases are followed.
MAX_ITEMS = 10_000

_TAG = "tag:yaml.org,2002:"


def compose(text: bytes) -> yaml.Node | None:
    """The root of the first document, or None when the file holds none (agent.md 6.1, 6.2)."""
    source = _decode(text)
    try:
        _check_depth(source)
        loader = _Loader(source)
        try:
            return loader.get_node() if loader.check_node() else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise AppSpecError(
            f"this is not valid YAML: {error.problem or error.context}. Correct the syntax there or on the line above.",
            line=mark.line + 1 if mark else None,
        ) from None
    except yaml.YAMLError as error:
        raise AppSpecError(f"this is not valid YAML: {' '.join(str(error).split())}") from None


def is_null(node: yaml.Node | None) -> bool:
    """Whether a value is absent or YAML's null."""
    return node is None or (isinstance(node, yaml.ScalarNode) and node.tag == _TAG + "null")


def kind(node: yaml.Node) -> str:
    """What a node is, in words for a message."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping (key: value)"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return f"the text {node.value!r}" if not is_null(node) else "empty"


def line(node: yaml.Node) -> int:
    """The node's line, counted from 1."""
    return int(node.start_mark.line) + 1


def mapping(node: yaml.Node, what: str) -> dict[str, yaml.Node]:
    """The node's keys and values; later duplicates win and merge keys (`<<`) are followed, as Psych does."""
    if not isinstance(node, yaml.MappingNode):
        raise AppSpecError(
            f"{what} must be a mapping (key: value), but it is {kind(node)}. Check the indentation.", line=line(node)
        )
    found: dict[str, yaml.Node] = {}
    _merge(node, found, depth=0)
    return found


def items(node: yaml.Node | None, what: str) -> Iterator[yaml.Node]:
    """The node's items; none when it is absent or null."""
    if is_null(node):
        return
    assert node is not None
    if not isinstance(node, yaml.SequenceNode):
        raise AppSpecError(
            f"{what} must be a list (lines that start with '- '), but it is {kind(node)}", line=line(node)
        )
    if len(node.value) > MAX_ITEMS:
        raise AppSpecError(f"{what} has more than {MAX_ITEMS} items", line=line(node))
    yield from node.value


def text(node: yaml.Node | None, what: str) -> str | None:
    """The scalar's text as written, None when it is absent or null."""
    if is_null(node):
        return None
    assert node is not None
    if not isinstance(node, yaml.ScalarNode):
        raise AppSpecError(f"{what} must be one plain value, but it is {kind(node)}", line=line(node))
    return str(node.value)


def number(node: yaml.Node | None) -> float | None:
    """The scalar's value when YAML reads it as a number (so not when it is quoted), else None."""
    if not isinstance(node, yaml.ScalarNode) or node.tag not in (_TAG + "int", _TAG + "float"):
        return None
    try:
        return float(node.value.replace("_", ""))
    except ValueError:
        return None


def is_true(node: yaml.Node | None) -> bool:
    """Ruby's truth, which the official agent applies to `sudo`: everything but null and false."""
    if is_null(node):
        return False
    assert node is not None
    return not (node.tag == _TAG + "bool" and str(node.value).lower() in ("false", "no", "off", "n"))


def _decode(text: bytes) -> str:
    if len(text) > MAX_BYTES:
        raise AppSpecError(f"the file has {len(text)} bytes; an AppSpec file may have {MAX_BYTES}")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AppSpecError(
            f"the file is not UTF-8 text (byte {text[error.start]:#04x} at offset {error.start}). Save it as UTF-8.",
            line=text[: error.start].count(b"\n") + 1,
        ) from None


def _check_depth(source: str) -> None:
    # Composing recurses in C: thousands of "[" would end the process, not raise.
    depth = 0
    for event in yaml.parse(source, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise AppSpecError(f"lists and mappings are nested more than {MAX_DEPTH} deep", line=line_of(event))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def line_of(event: yaml.Event) -> int | None:
    """The event's line, counted from 1."""
    return event.start_mark.line + 1 if event.start_mark else None


def _merge(node: yaml.MappingNode, into: dict[str, yaml.Node], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise AppSpecError("merge keys (<<) refer to each other in a circle", line=line(node))
    own: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if key.tag == _TAG + "merge":
            merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for other in reversed(merged):
                if not isinstance(other, yaml.MappingNode):
                    raise AppSpecError("a merge key (<<) must name a mapping", line=line(other))
                _merge(other, into, depth + 1)
        elif isinstance(key, yaml.ScalarNode):
            own[key.value] = value
        else:
            raise AppSpecError(f"a key must be plain text, but it is {kind(key)}", line=line(key))
    into.update(own)
