"""What every test is run with, and databases for those that store something."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy.engine import URL

from longshore.store.database import Store, sqlite_url
from longshore.store.wakeup import Wakeup
from tests import postgresql

# How long an example takes tells how busy the machine is, and nothing of what is tested.
settings.register_profile("longshore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("longshore")


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgresql.Cluster]:
    """A PostgreSQL server for all the tests that do not break it."""
    if reason := postgresql.why_not():
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    with postgresql.cluster() as made:
        yield made


@pytest.fixture(scope="session")
def migrated(cluster: postgresql.Cluster) -> URL:
    """A PostgreSQL database with the tables and nothing in them, to be copied."""
    url = cluster.database()
    Store(url, Wakeup()).close()
    return url


#: Makes databases, each empty but for its tables on PostgreSQL, where making them takes a while.
Databases = Callable[[], URL]


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Databases]:
    """Runs a test on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        numbers = itertools.count(1)
        yield lambda: sqlite_url(tmp_path / f"longshore-{next(numbers)}.db")
        return
    made: list[URL] = []
    cluster: postgresql.Cluster = request.getfixturevalue("cluster")
    migrated: URL = request.getfixturevalue("migrated")

    def make() -> URL:
        made.append(cluster.database(like=migrated))
        return made[-1]

    yield make
    for url in made:
        cluster.drop(url)


@pytest.fixture
def database(databases: Databases) -> URL:
    """An empty database, of each kind in turn."""
    return databases()


@pytest.fixture
def store(database: URL) -> Iterator[Store]:
    opened = Store(database, Wakeup())
    yield opened
    opened.close()
