"""The AppSpec of an AWS Lambda revision (lambda_ecs_appspec.md A80–A84)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from longshore.appspec import document
from longshore.appspec.document import Node
from longshore.appspec.place import Place, Problems
from longshore.appspec.resources import Form, read_resource, text_of

_FORM = Form(
    platform="AWS Lambda",
    type="AWS::Lambda::Function",
    hooks=("BeforeAllowTraffic", "AfterAllowTraffic"),
    unhooked=("Start", "AllowTraffic", "End"),
)


@dataclass(frozen=True, kw_only=True)
class LambdaAppSpec:
    """A checked AppSpec file for AWS Lambda: shift an alias from one version of a function to another."""

    #: Logical name of the resource.
    resource: str
    #: Name or ARN of the function, as given.
    name: str
    alias: str
    #: The version that the alias points at now, as digits.
    current_version: str
    #: The version to shift to, as digits; not the current one.
    target_version: str
    #: Event → name or ARN of the function that validates.
    hooks: Mapping[str, str]


def parse_lambda(text: bytes, *, is_json: bool = False) -> LambdaAppSpec:
    """Read and check an AppSpec file; raises `AppSpecError` and nothing else, whatever the bytes.

    `is_json`: it must be JSON to the letter, as with bundleType JSON (A5); else YAML, which JSON is too.
    """
    problems = Problems()
    spec = read_lambda(document.compose_json(text) if is_json else document.compose(text), problems)
    problems.refuse()
    return spec


def read_lambda(root: Node | None, problems: Problems) -> LambdaAppSpec:
    """What the document says; every problem goes to `problems`, and with an error there the result is void."""
    resource, hooks = read_resource(root, _FORM, problems)
    name = alias = current = target = ""
    if resource is not None:
        said = resource.properties
        if said.is_mapping("Name", "Alias", "CurrentVersion", "TargetVersion"):
            name = text_of(said.at("Name"), "Give the function's name.")
            alias = text_of(said.at("Alias"), "Name the alias whose traffic is shifted.")
            current = _version(said.at("CurrentVersion"), "Give the version that the alias points at now.")
            target = _version(said.at("TargetVersion"), "Give the version to shift traffic to.")
            if current and current == target:
                said.at("TargetVersion").error(
                    f"is {target}, which CurrentVersion is too, so there is nothing to shift",
                    "Publish a new version and name it here.",
                )
    return LambdaAppSpec(
        resource=resource.name if resource else "",
        name=name,
        alias=alias,
        current_version=current,
        target_version=target,
        hooks=hooks,
    )


def _version(place: Place, remedy: str) -> str:
    said = text_of(place, remedy)
    if said and not re.fullmatch(r"[1-9][0-9]{0,18}", said):
        why = " An alias cannot share its traffic with $LATEST." if said == "$LATEST" else ""
        place.error(
            f"is {document.shortened(said)!r}, not the number of a published version", f"Write its digits: '4'.{why}"
        )
        return ""
    return said
