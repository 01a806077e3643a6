"""What a target is told of an event: all of it, a part, or a text with parts in it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_PATH = re.compile(r"\$(\.[A-Za-z0-9_-]+(\[\d+\])?)*")
_PLACE = re.compile(r"<([A-Za-z0-9_-]+)>")
_STEP = re.compile(r"\.([A-Za-z0-9_-]+)(?:\[(\d+)\])?")
_INPUTS = ("Input", "InputPath", "InputTransformer")


class TellingError(ValueError):
    """A target that cannot be told so; the message says why."""


def require(target: Mapping[str, Any]) -> None:
    """Check how a target is to be told; raises TellingError."""
    given = [name for name in _INPUTS if name in target]
    if len(given) > 1:
        raise TellingError(f"give only one of {' and '.join(given)}")
    transformer = target.get("InputTransformer", {})
    paths = transformer.get("InputPathsMap", {})
    for path in [*paths.values(), *([target["InputPath"]] if "InputPath" in target else [])]:
        if not _PATH.fullmatch(path):
            raise TellingError(f"{path} is no path of this server's: it takes such as $.detail.state")
    template = transformer.get("InputTemplate", "")
    if unknown := sorted({name for name in _PLACE.findall(template) if name not in paths}):
        raise TellingError(f"the InputTemplate has <{unknown[0]}>, which the InputPathsMap does not have")
    if "Input" in target:
        _require_json(target["Input"], "the Input")


def told(target: Mapping[str, Any], event: Mapping[str, Any]) -> str:
    """What the target is told of this event."""
    if "Input" in target:
        text: str = target["Input"]
        return text
    if "InputPath" in target:
        return json.dumps(_at(event, target["InputPath"]), ensure_ascii=False)
    transformer = target.get("InputTransformer")
    if transformer is None:
        return json.dumps(event, ensure_ascii=False)
    values = {name: _at(event, path) for name, path in transformer.get("InputPathsMap", {}).items()}
    template: str = transformer["InputTemplate"]
    return _PLACE.sub(lambda place: _shown(values[place[1]]), template)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _at(event: Any, path: str) -> Any:
    """What stands at a path; None where there is nothing."""
    found = event
    for name, number in _STEP.findall(path):
        found = found.get(name) if isinstance(found, dict) else None
        if number:
            found = found[int(number)] if isinstance(found, list) and int(number) < len(found) else None
    return found


def _require_json(text: str, what: str) -> None:
    try:
        json.loads(text)
    except ValueError:
        raise TellingError(f"{what} must be JSON") from None
