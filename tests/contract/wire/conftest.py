"""A control plane of this process for the tests of one module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.wire.plane import Plane, plane


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    with plane(tmp_path_factory.mktemp("here")) as made:
        yield made
