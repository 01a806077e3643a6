"""One server for all tables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.authorisation import world


@pytest.fixture(scope="package")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[world.World]:
    with world.world(tmp_path_factory.mktemp("authorisation")) as made:
        yield made
