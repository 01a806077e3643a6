"""Two servers on one PostgreSQL, one address before them, and the history that they leave."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

from tests import postgresql
from tests.acceptance.world import REGION, ControlPlane, Host, Shop

S3_KEYS = {"AWS_ACCESS_KEY_ID": "bundles", "AWS_SECRET_ACCESS_KEY": "bundles"}


class Balancer:
    """What stands before the servers: a connection goes to the first that takes it."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()
        self.hang_up()

    def hang_up(self) -> None:
        """End every connection there is: what a balancer does when a server fails its health check."""
        held, self._open = self._open, []
        for each in held:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = self._connected()
                if server is None:
                    client.close()
                    continue
                self._open += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=pass_on, args=pair, daemon=True).start()

    def _connected(self) -> socket.socket | None:
        for port in self.ports:
            with contextlib.suppress(OSError):
                return socket.create_connection(("127.0.0.1", port), timeout=5)
        return None


def pass_on(source: socket.socket, sink: socket.socket) -> None:
    source.settimeout(None)
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
    source.close()


class Replicas:
    """Two servers, the database and object storage they share, and one address for both."""

    def __init__(self, folder: Path, cluster: postgresql.Cluster, s3_url: str) -> None:
        self.cluster = cluster
        self.database = cluster.database()
        self.s3_url = s3_url
        self.front = Balancer()
        options = (
            *("--database-url", self.database.render_as_string(hide_password=False), "--s3-endpoint", s3_url),
            *("--url", f"http://127.0.0.1:{self.front.port}"),
        )
        self.ports: dict[ControlPlane, int] = {}
        for name in ("one", "two"):
            (folder / name).mkdir()
            plane = ControlPlane(folder / name, options=options)
            self.ports[plane] = plane.port
        self.one, self.two = self.ports
        self.front.ports = list(self.ports.values())

    def start(self, *planes: ControlPlane) -> Replicas:
        for plane in planes:
            plane.start()
        return self

    def close(self) -> None:
        for plane in self.ports:
            plane.stop()
        self.front.close()

    def client(self, service: str, url: str) -> Any:
        """A client that tries again, as clients do."""
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=url,
            aws_access_key_id=self.one.owner[0],
            aws_secret_access_key=self.one.owner[1],
            config=Config(retries={"mode": "standard", "total_max_attempts": 10}, connect_timeout=5, read_timeout=20),
        )

    def shop(self, hosts: list[Host]) -> Shop:
        """An application and group with these hosts, its bundles in the storage that both servers read."""
        shop = Shop(self.one, "shop")
        shop.s3 = self.client("s3", self.s3_url)
        shop.s3.create_bucket(Bucket=shop.bucket)
        shop.deploy = self.client("codedeploy", self.one.url)
        for host in hosts:
            shop.join(host)
        return shop

    def rows(self, query: str, *values: Any) -> list[Any]:
        with psycopg.connect(self.cluster.address(str(self.database.database)), autocommit=True) as connection:
            done = connection.execute(query, values)
            return done.fetchall() if done.description else []

    def check_history(self) -> None:
        """No two deployments ever held the group at once, and nobody holds it or any lease now."""
        assert not self.rows(
            "SELECT a.id, b.id FROM deployments a JOIN deployments b ON a.group_id = b.group_id AND a.id <> b.id"
            " WHERE a.create_time <= b.create_time AND b.create_time < a.complete_time"
        )
        assert not self.rows("SELECT id FROM deployments WHERE complete_time IS NULL OR lease_owner IS NOT NULL")
        assert not self.rows("SELECT name FROM deployment_groups WHERE active_deployment_id IS NOT NULL")


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[postgresql.Cluster]:
    """A PostgreSQL to be broken."""
    if reason := postgresql.why_not():
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    with postgresql.cluster() as made:
        yield made


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    """Object storage of somebody else's."""
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def replicas(
    tmp_path: Path, own_cluster: postgresql.Cluster, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Replicas]:
    for name, value in S3_KEYS.items():
        monkeypatch.setenv(name, value)
    made = Replicas(tmp_path, own_cluster, s3_url)
    yield made
    made.close()
