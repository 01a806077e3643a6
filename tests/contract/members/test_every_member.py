"""Every operation and every member of CodeDeploy's model, over both protocols, against a real server and a real host.

A newer model fails these tests until each operation and member it adds is either shown by the scenario or has a line
in members.yml that says why nobody can see it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.acceptance.world import ControlPlane, Host
from tests.contract.members import deploying, groups, resources
from tests.contract.members.conversation import CODEDEPLOY, Conversation, Ledger, paths

#: Members that the scenario does not show, and why: `inputs` and `outputs`, by operation.
TABLE = yaml.safe_load((Path(__file__).parent / "members.yml").read_text())


@pytest.fixture(scope="module", params=["json", "cbor"])
def ledger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """What the whole scenario has shown, in one protocol."""
    folder = tmp_path_factory.mktemp(request.param)
    plane = ControlPlane(folder, options=("--limit", "page=5"))
    plane.start()
    resources.auto_scaling(plane)
    host = Host(name="live-1", folder=folder / "host", plane=plane).start()
    shown = Ledger()
    talk = Conversation(plane, request.param, shown)
    try:
        resources.applications(talk)
        resources.configs(talk)
        resources.revisions(talk)
        resources.instances(talk)
        resources.resource_tags(talk)
        resources.connections(talk, plane.client("longshore"))
        groups.groups(talk)
        deploying.deployments(talk, plane, host)
        yield shown
    finally:
        talk.close()
        host.remove()
        plane.stop()


def test_every_operation_is_answered_or_refused(ledger: Ledger) -> None:
    refused = {operation for operation, _ in ledger.refused}
    assert set(CODEDEPLOY.operation_names) == ledger.answered | refused


@pytest.mark.parametrize("operation", CODEDEPLOY.operation_names)
def test_every_member_of_an_input_is_honoured_or_refused(ledger: Ledger, operation: str) -> None:
    shown = {member for of, member in ledger.honoured | ledger.refused if of == operation}
    _complete(set(paths(CODEDEPLOY.operation_model(operation).input_shape)), shown, "inputs", operation)


@pytest.mark.parametrize("operation", CODEDEPLOY.operation_names)
def test_every_member_of_an_output_comes_filled(ledger: Ledger, operation: str) -> None:
    shown = {member for of, member in ledger.filled if of == operation}
    _complete(set(paths(CODEDEPLOY.operation_model(operation).output_shape)), shown, "outputs", operation)


def test_every_line_of_the_table_is_needed(ledger: Ledger) -> None:
    unshown = {
        path
        for operation in CODEDEPLOY.operation_names
        for path in paths(CODEDEPLOY.operation_model(operation).output_shape)
        if (operation, path) not in ledger.filled
    }
    assert [line for line in TABLE["anywhere"] if not any(_covers(line, path) for path in unshown)] == []


def _complete(known: set[str], shown: set[str], side: str, operation: str) -> None:
    """All that is known is shown or in the table, and nothing stands in the table that is shown or not known at all."""
    lines = TABLE[side].get(operation, {})
    anywhere = TABLE["anywhere"] if side == "outputs" else {}
    excused = {path: [line for line in (*lines, *anywhere) if _covers(line, path)] for path in known - shown}
    assert [path for path, by in excused.items() if not by] == []
    needed = {line for by in excused.values() for line in by}
    assert not set(lines) - needed, "these lines are not needed"


def _covers(line: str, path: str) -> bool:
    """A line is a member with all that is below it; with a star before it, wherever it stands."""
    return line[1:] in f"{path}." if line.startswith("*") else f"{path}.".startswith((f"{line}.", f"{line}[]"))
