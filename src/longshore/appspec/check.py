"""Everything that can be said of an AppSpec file, whether it can be used or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from longshore.appspec import document
from longshore.appspec.document import Node
from longshore.appspec.ecs import EcsAppSpec, read_ecs
from longshore.appspec.lambda_ import LambdaAppSpec, read_lambda
from longshore.appspec.place import Place, Problems
from longshore.appspec.problems import AppSpecError, Problem
from longshore.appspec.server import ServerAppSpec, read_server

AppSpec = ServerAppSpec | LambdaAppSpec | EcsAppSpec


class Platform(StrEnum):
    """Compute platforms, by the names the command line has for them."""

    SERVER = "server"
    LAMBDA = "lambda"
    ECS = "ecs"


_READERS: dict[Platform, Callable[[Node | None, Problems], AppSpec]] = {
    Platform.SERVER: read_server,
    Platform.LAMBDA: read_lambda,
    Platform.ECS: read_ecs,
}


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a check found."""

    platform: Platform
    #: None when the file cannot be used.
    spec: AppSpec | None
    #: Errors and warnings, in the order of the file.
    problems: tuple[Problem, ...]


def check(text: bytes, platform: Platform | None = None, *, is_json: bool = False) -> Checked:
    """Read the file for the platform, or for the one that it looks like. Raises nothing, whatever the bytes."""
    problems = Problems()
    try:
        root = document.compose_json(text) if is_json else document.compose(text)
    except AppSpecError as error:
        return Checked(platform=platform or Platform.SERVER, spec=None, problems=error.problems)
    platform = platform or _guessed(root)
    spec = _READERS[platform](root, problems)
    is_void = any(not problem.is_warning for problem in problems)
    found = sorted(problems, key=lambda problem: problem.line or 0)
    return Checked(platform=platform, spec=None if is_void else spec, problems=tuple(found))


def _guessed(root: Node | None) -> Platform:
    """Only Lambda and ECS have Resources; what a resource's Type or its properties look like tells the two apart."""
    top = Place(node=root, key="", problems=Problems(), folds=True)
    resources = top.at("Resources")
    if resources.is_absent:
        return Platform.SERVER
    for item in resources.items():
        for _, resource in item.entries():
            said = resource.at("Type").text() or ""
            if "ecs" in said.lower() or not resource.at("Properties").at("TaskDefinition").is_absent:
                return Platform.ECS
    return Platform.LAMBDA
