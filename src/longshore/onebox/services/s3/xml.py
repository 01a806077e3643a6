"""S3's XML: writing it, and reading what clients send without trusting it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat

#: What stands inside an element: text, or more elements in order.
Content = str | Sequence[tuple[str, "Content"]]

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_DEEPEST = 8
#: Enough for ten thousand parts with a checksum each.
_MOST_ELEMENTS = 100_000
_UNSAFE = re.compile('[&<>"\\x00-\\x1f\\x7f\ufffe\uffff]')
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def document(name: str, content: Content, *, namespace: bool = True) -> bytes:
    """A whole document."""
    attribute = f' xmlns="{_NAMESPACE}"' if namespace else ""
    parts = ['<?xml version="1.0" encoding="UTF-8"?>\n']
    _write(name, content, attribute, parts)
    return "".join(parts).encode()


def _write(name: str, content: Content, attribute: str, parts: list[str]) -> None:
    parts.append(f"<{name}{attribute}>")
    if isinstance(content, str):
        # As S3 does for keys XML has no way to say; a client that stores such keys asks for encoding-type=url.
        parts.append(_UNSAFE.sub(lambda found: _NAMED.get(found[0], f"&#x{ord(found[0]):x};"), content))
    else:
        for child, inner in content:
            _write(child, inner, "", parts)
    parts.append(f"</{name}>")


class BadXmlError(ValueError):
    """Not the XML of a request: malformed, too deep, or with a document type."""


@dataclass(slots=True)
class Element:
    """An element as read, its name without namespace."""

    name: str
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def all(self, name: str) -> Iterable[Element]:
        """The children of that name."""
        return (child for child in self.children if child.name == name)

    def get(self, name: str) -> str | None:
        """The text of the first child of that name."""
        return next((child.text for child in self.all(name)), None)


def parse(body: bytes, root: str) -> Element:
    """Read a document whose outermost element must be `root`. Raises BadXmlError.

    A document type is refused, and with it every way to define an entity.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    top = Element("")
    open_elements = [top]

    count = 0

    def started(name: str, _attributes: object) -> None:
        nonlocal count
        count += 1
        if count > _MOST_ELEMENTS or len(open_elements) > _DEEPEST:
            raise BadXmlError("too many elements, or nested too deeply")
        element = Element(name.rpartition(":")[2])
        open_elements[-1].children.append(element)
        open_elements.append(element)

    def ended(_name: str) -> None:
        open_elements.pop()

    def text(data: str) -> None:
        open_elements[-1].text += data

    def doctype(*_args: object) -> NoReturn:
        raise BadXmlError("a document type is not allowed")

    parser.StartElementHandler = started
    parser.EndElementHandler = ended
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, UnicodeError, LookupError) as error:
        raise BadXmlError(str(error)) from error
    if top.children[0].name != root:
        raise BadXmlError(f"expected <{root}>")
    return top.children[0]
