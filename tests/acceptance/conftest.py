"""Fixtures of the acceptance tests."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from longshore.onebox.machinery.host_view import HostView, why_not
from tests.acceptance.world import ControlPlane, Host, Shop, self_signed

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def shared_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One control plane for the tests that do not kill it."""
    plane = ControlPlane(tmp_path_factory.mktemp("plane"))
    plane.start()
    yield plane
    plane.stop()


@pytest.fixture
def own_plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane of the test's own, to be killed as it likes."""
    plane = ControlPlane(tmp_path)
    plane.start()
    yield plane
    plane.stop()


@pytest.fixture
def hosts_of(tmp_path: Path) -> Iterator[Callable[..., list[Host]]]:
    """Makes hosts whose agents run; with `views`, each has a file system of its own."""
    made: list[Host] = []

    def make(plane: ControlPlane, count: int = 1, *, views: bool = False, **settings: Any) -> list[Host]:
        if views and (reason := why_not(tmp_path)):
            assert not os.environ.get("CI"), reason
            pytest.skip(reason)
        hosts = []
        for _ in range(count):
            name = f"web-{next(_numbers)}"
            view = HostView(directory=tmp_path / f"{name}-view", name=name) if views else None
            hosts.append(Host(name=name, folder=tmp_path / name, plane=plane, view=view, settings=settings))
            made.append(hosts[-1])
            hosts[-1].start()
        return hosts

    yield make
    for host in made:
        host.remove()


@pytest.fixture
def shop_of() -> Callable[..., Shop]:
    """Makes an application and group of its own for the test, with these hosts in it."""

    def make(plane: ControlPlane, hosts: list[Host]) -> Shop:
        shop = Shop(plane, f"shop-{next(_numbers)}")
        for host in hosts:
            shop.join(host)
        return shop

    return make


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate for localhost, and its key."""
    return self_signed(tmp_path)
