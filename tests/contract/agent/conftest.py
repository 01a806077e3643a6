from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_control_plane import Agent, ControlPlane


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    """A control plane on a free port."""
    made = ControlPlane()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def agent(plane: ControlPlane, tmp_path: Path) -> Iterator[Agent]:
    """A running agent of that control plane."""
    made = Agent(plane, tmp_path).start()
    yield made
    made.end()
