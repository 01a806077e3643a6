"""What the AppSpecs for AWS Lambda and Amazon ECS have in common (lambda_ecs_appspec.md A1–A7, A80, A82).

Structural keys are found in any mixture of cases, since the guide writes both `Resources` and `resources`. Values and
the names of lifecycle events are taken to the letter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from longshore.appspec import document
from longshore.appspec.document import Node, Scalar
from longshore.appspec.place import Place, Problems


@dataclass(frozen=True, kw_only=True)
class Form:
    """What one compute platform asks of the file."""

    #: As a title: "AWS Lambda".
    platform: str
    #: The one value of `Type`.
    type: str
    #: Events that a function can be called in.
    hooks: tuple[str, ...]
    #: Events of the platform's life in which nothing of the user's runs.
    unhooked: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Resource:
    """The one resource of the file, whose properties the platform reads."""

    #: Its logical name; it has no meaning.
    name: str
    properties: Place


def read_resource(root: Node | None, form: Form, problems: Problems) -> tuple[Resource | None, Mapping[str, str]]:
    """The file's resource and its hooks (event → function); None when no resource could be read."""
    top = Place(node=root, key="", problems=problems, folds=True)
    if top.is_absent:
        top.error("the file is empty", "It needs at least version and Resources.")
        return None, {}
    if not top.is_mapping("version", "Resources", "Hooks"):
        return None, {}
    _refuse_tags(root, problems)
    _check_version(top.at("version"))
    return _resource(top, form), _hooks(top.at("Hooks"), form)


def text_of(place: Place, remedy: str) -> str:
    """The value, which must be there; as written, so that an unquoted number is its digits (A81)."""
    said = place.text()
    if place.is_absent:
        place.error("is missing", remedy)
    elif said == "":
        place.error("is empty", remedy)
    return said or ""


def _check_version(place: Place) -> None:
    # The host's AppSpec has it as a number; here the quoted form is used, too (A3).
    quoted = isinstance(place.node, Scalar) and place.node.text == "0.0"
    if document.number(place.node) != 0 and not quoted:
        place.error(
            f"is {document.describe(place.node)}" if place.node is not None else "is missing", "Write 'version: 0.0'."
        )


def _resource(top: Place, form: Form) -> Resource | None:
    listed = top.at("Resources")
    if listed.is_absent:
        is_for_hosts = not top.at("os").is_absent or not top.at("files").is_absent
        listed.error(
            "is missing",
            "This is an AppSpec for hosts (EC2/On-Premises)."
            if is_for_hosts
            else f"Name the one resource to deploy, of Type {form.type}.",
        )
        return None
    items = list(listed.items("Begin the resource with '- '."))
    if isinstance(listed.node, document.Sequence) and len(items) != 1:
        listed.error(f"has {len(items)} resources", "A revision deploys exactly one; make a revision for each.")
    found = None
    for item in items:
        if not item.is_mapping():
            continue
        entries = list(item.entries())
        if len(entries) != 1:
            item.error(
                f"has {len(entries)} keys where the resource's one name belongs",
                "Indent Type and Properties below the name.",
            )
            continue
        found = found or _named(*entries[0], form)
    return found


def _named(name: str, place: Place, form: Form) -> Resource | None:
    if not place.is_mapping("Type", "Properties"):
        return None
    type_ = text_of(place.at("Type"), f"Write Type: {form.type}")
    if type_ and type_ != form.type:
        place.at("Type").error(
            f"is {document.shortened(type_)!r}, which {form.platform} does not deploy", f"Write Type: {form.type}"
        )
    properties = place.at("Properties")
    if properties.is_absent:
        properties.error("is missing", "It says what to deploy; see docs/appspec.md.")
        return None
    return Resource(name=name, properties=properties)


def _hooks(listed: Place, form: Form) -> dict[str, str]:
    """Event → function. A list of `event: function`, or, as people also write it, one mapping (A82)."""
    if listed.is_absent:
        return {}
    places = [listed] if isinstance(listed.node, document.Mapping) else list(listed.items("Write '- Event: function'."))
    found: dict[str, str] = {}
    for place in places:
        # Names of events are values rather than keys: their case counts.
        if not place.is_mapping():
            continue
        for event, value in place.entries():
            if event not in form.hooks:
                value.error(*_no_hook(event, form))
                continue
            if event in found:
                value.error("is given a second time", "An event calls one function; let it call the others.")
            found[event] = text_of(value, "Give the name or ARN of a Lambda function, or remove the hook.")
    return found


def _no_hook(event: str, form: Form) -> tuple[str, str]:
    known = ", ".join(form.hooks)
    if event in form.unhooked:
        return f"is an event in which no function can be called on {form.platform}", f"Use one of: {known}."
    meant = next((name for name in form.hooks if name.lower() == event.lower()), None)
    if meant:
        return f"is no lifecycle event of {form.platform}: upper and lower case count", f"Write {meant}."
    return f"is no lifecycle event of {form.platform}", f"Use one of: {known}."


def _refuse_tags(root: Node | None, problems: Problems) -> None:
    """`!Sub` and its kind belong to templates; here nobody would carry them out (A5)."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if node.tag is not None and node.tag not in ("!",) and not node.tag.startswith("tag:yaml.org,2002:"):
            Place(node=node, key="", problems=problems).error(
                f"the tag {document.shortened(node.tag)} means nothing in an AppSpec", "Write the value itself."
            )
        if isinstance(node, document.Sequence):
            waiting.extend(node.items)
        elif isinstance(node, document.Mapping):
            waiting.extend(node.pairs.values())
