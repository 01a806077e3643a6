"""errors.yml holds every error shape of the model, and what it says can be raised is raised by some test."""

from __future__ import annotations

from pathlib import Path

import yaml

import longshore
from longshore import models

HERE = Path(__file__).parent
CODEDEPLOY = models.load("codedeploy")
#: Raised where no model lists it, as its row says.
BEYOND_THE_MODEL = {"OperationNotSupportedException"}
ROWS: dict[str, dict[str, str]] = yaml.safe_load((HERE / "errors.yml").read_text())


def test_every_error_shape_has_one_row_that_says_how_or_why_not() -> None:
    assert set(ROWS) == {shape.name for shape in CODEDEPLOY.error_shapes}
    assert all(set(row) in ({"raised"}, {"never"}) for row in ROWS.values())


def test_what_is_raised_is_listed_by_the_operation_named() -> None:
    for error, row in ROWS.items():
        if "raised" in row:
            operation = CODEDEPLOY.operation_model(row["raised"].partition(",")[0])
            assert error in {shape.name for shape in operation.error_shapes}, row


def test_what_is_raised_is_raised_by_a_test_over_the_wire() -> None:
    tests = "".join(path.read_text() for path in (HERE.parent / "integration" / "api").glob("test_*.py"))
    untested = [error for error in ROWS if "raised" in ROWS[error] and f'"{error[: -len("Exception")]}"' not in tests]
    assert untested == []


def test_what_is_never_raised_is_raised_nowhere() -> None:
    """A reason grows old when the thing is built."""
    source = Path(longshore.__file__).parent
    api = "".join(path.read_text() for path in sorted((source / "api").glob("*.py")))
    never = {error for error in ROWS if "never" in ROWS[error]} - BEYOND_THE_MODEL
    assert [error for error in sorted(never) if f'"{error}"' in api or f'"{error[: -len("Exception")]}"' in api] == []
