"""The control plane is asked to stop in mid-deployment: it hands everything back, and the next one goes on at once."""

from __future__ import annotations

import http.client
import io
import os
import signal
import sqlite3
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from tests import postgresql
from tests.acceptance.world import FINAL, ControlPlane, Host, Revision, Shop, wait_until
from tests.chaos.notes import SCRIPTED, Notes, each_once

Hosts = Callable[..., list[Host]]
Shops = Callable[..., Shop]

LEASED = "SELECT id FROM deployments WHERE lease_owner IS NOT NULL OR lease_until IS NOT NULL"


def leased(plane: ControlPlane) -> list[tuple[str]]:
    with closing(sqlite3.connect(plane.data_dir / "longshore.db")) as rows:
        return rows.execute(LEASED).fetchall()


def large_bundle(revision: Revision) -> bytes:
    """One that takes the engine a while to read."""
    large = io.BytesIO()
    with zipfile.ZipFile(large, "w") as bundle:
        for path, content, _ in revision.entries():
            bundle.writestr(path, content)
        bundle.writestr("noise", os.urandom(64 * 1024 * 1024))
    return large.getvalue()


def test_stopped_again_and_again_in_a_rollout_it_leaves_no_lease_and_no_hook_runs_twice(
    tmp_path: Path, own_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    notes = Notes(tmp_path / "notes")
    hosts = hosts_of(own_plane, 3)
    shop = shop_of(own_plane, hosts)
    revision = shop.push(Revision(hooks=dict.fromkeys(SCRIPTED, f"{notes.line}; sleep 0.1")))
    shop.run(revision)
    deployment_id = shop.start(revision, deploymentConfigName="CodeDeployDefault.OneAtATime")
    stops = 0
    while stops < 3 and shop.info(deployment_id)["status"] not in FINAL:
        # Not to wait for anything: it may come between any two lines.
        time.sleep(0.15 * stops)
        assert own_plane.stop() == 0
        assert leased(own_plane) == []
        own_plane.start()
        stops += 1
    assert shop.ended(deployment_id)["status"] == "Succeeded"
    assert notes.of(deployment_id) == each_once(hosts)
    assert stops >= 2


def test_stopped_in_the_middle_of_a_tick_it_gives_the_deployment_back(
    tmp_path: Path, own_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    """The engine reads a large bundle from this very server."""
    notes = Notes(tmp_path / "notes")
    hosts = hosts_of(own_plane)
    shop = shop_of(own_plane, hosts)
    deployment_id = shop.start(large_bundle(Revision(hooks={"AfterInstall": notes.line})))
    wait_until("the engine is at it", lambda: leased(own_plane))
    assert own_plane.stop() == 0
    assert leased(own_plane) == []
    own_plane.start()
    # Far less than a lease lasts.
    assert shop.ended(deployment_id, seconds=30)["status"] == "Succeeded"
    assert notes.of(deployment_id) == each_once(hosts, ["AfterInstall"])


def test_another_server_goes_on_without_waiting_for_a_lease(
    tmp_path: Path, cluster: postgresql.Cluster, shop_of: Shops
) -> None:
    """On PostgreSQL nobody may take what another holds before its lease ends: a minute."""
    url = cluster.database()
    address = url.render_as_string(hide_password=False)
    first, second = (ControlPlane(tmp_path / name, options=("--database-url", address)) for name in ("one", "two"))

    def held() -> list[tuple[str]]:
        with psycopg.connect(address) as connection:
            return connection.execute(LEASED).fetchall()

    try:
        for plane in (first, second):
            plane.data_dir.parent.mkdir()
        first.start()
        host = Host(name="web-r", folder=tmp_path / "web-r", plane=first)
        shop = shop_of(first, [host])
        deployment_id = shop.start(large_bundle(Revision()))
        wait_until("the engine is at it", held)
        assert first.stop() == 0
        assert held() == []
        second.start()
        deploy = second.client("codedeploy")
        deploy.stop_deployment(deploymentId=deployment_id)

        def is_stopped() -> bool:
            info = deploy.get_deployment(deploymentId=deployment_id)["deploymentInfo"]
            return bool(info["status"] == "Stopped")

        wait_until("the other one stops it", is_stopped, seconds=30)
    finally:
        first.stop()
        second.stop()
        cluster.drop(url)


def begun_upload(plane: ControlPlane) -> http.client.HTTPConnection:
    """A request that the server is at work on: half of an object."""
    s3 = plane.client("s3")
    s3.create_bucket(Bucket="uploads")
    url = urlsplit(s3.generate_presigned_url("put_object", Params={"Bucket": "uploads", "Key": "k"}))
    connection = http.client.HTTPConnection("127.0.0.1", plane.port, timeout=30)
    connection.putrequest("PUT", f"{url.path}?{url.query}")
    connection.putheader("Content-Length", "10")
    connection.endheaders()
    connection.send(b"hello")
    contents = plane.data_dir / "onebox" / "s3" / "content"
    wait_until("the server takes it", lambda: list(contents.glob("*/*.unfinished")))
    return connection


def test_a_request_at_work_is_answered_before_the_end(own_plane: ControlPlane) -> None:
    upload = begun_upload(own_plane)
    own_plane.process.send_signal(signal.SIGTERM)
    wait_until("nobody else is let in", lambda: _refuses(own_plane.port))
    upload.send(b"world")
    assert upload.getresponse().status == 200
    upload.close()
    assert own_plane.process.wait(timeout=30) == 0
    own_plane.stop()
    own_plane.start()
    assert own_plane.client("s3").get_object(Bucket="uploads", Key="k")["Body"].read() == b"helloworld"


def test_asked_twice_it_ends_at_once(own_plane: ControlPlane) -> None:
    upload = begun_upload(own_plane)
    own_plane.process.send_signal(signal.SIGTERM)
    wait_until("nobody else is let in", lambda: _refuses(own_plane.port))
    assert own_plane.stop() == -signal.SIGTERM
    upload.close()
    own_plane.start()
    assert own_plane.aws("deploy", "list-applications")["applications"] == []


def _refuses(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        connection.getresponse().read()
    except OSError:
        return True
    finally:
        connection.close()
    return False
