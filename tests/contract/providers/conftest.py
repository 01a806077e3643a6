"""An AWS for each test, of each kind in turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.providers import places
from tests.contract.providers.places import Place


@pytest.fixture(params=["moto"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with getattr(places, request.param)() as made:
        yield made
