"""`longshore backup` while a server is at work, and `longshore restore` on another machine's disk."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.world import ControlPlane, Host, Revision, Shop, wait_until
from tests.chaos.notes import SCRIPTED, Notes, each_once


def listed(plane: ControlPlane) -> list[str]:
    deployments: list[str] = plane.aws("deploy", "list-deployments")["deployments"]
    return deployments


def test_a_backup_of_a_busy_server_goes_on_elsewhere_as_if_nothing_had_happened(
    tmp_path: Path,
    own_plane: ControlPlane,
    hosts_of: Callable[..., list[Host]],
    shop_of: Callable[..., Shop],
) -> None:
    notes = Notes(tmp_path / "notes")
    hosts = hosts_of(own_plane, 2)
    shop = shop_of(own_plane, hosts)
    first, _ = shop.run(Revision(hooks=dict.fromkeys(SCRIPTED, notes.line)))
    at_work, go_on = tmp_path / "at-work", tmp_path / "go-on"
    hooks = dict.fromkeys(SCRIPTED, notes.line)
    hooks["AfterInstall"] += f"; echo >> {at_work}; while [ ! -e {go_on} ]; do sleep 0.05; done"
    second = shop.start(Revision(hooks=hooks))
    wait_until("both hosts are in the hook", lambda: at_work.exists() and len(at_work.read_text()) == 2)

    own_plane.client("sns").create_topic(Name="releases")

    # Others go on changing rows and objects all the while.
    done, changes = threading.Event(), []

    def change() -> None:
        deploy, s3 = own_plane.client("codedeploy"), own_plane.client("s3")
        while not done.is_set():
            name = f"load-{len(changes)}"
            deploy.create_application(applicationName=name)
            s3.put_object(Bucket="releases", Key=name, Body=b"x" * 1000)
            if len(changes) % 2:
                s3.delete_object(Bucket="releases", Key=name)
            changes.append(name)

    load = threading.Thread(target=change)
    load.start()
    file = tmp_path / "backup.tar"
    try:
        wait_until("there is load", lambda: len(changes) > 5)
        made = own_plane.run("longshore", "backup", file, "--data-dir", own_plane.data_dir, "--output", "json")
    finally:
        done.set()
        load.join()
    assert json.loads(made.stdout)["Bytes"] == file.stat().st_size
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = own_plane.run("longshore", "backup", file, "--data-dir", own_plane.data_dir, check=False)
    assert again.returncode == 1
    assert "--force" in again.stderr

    # The machine is lost; the backup goes to another, under the same name.
    owner = own_plane.owner
    own_plane.kill()
    shutil.rmtree(own_plane.data_dir)
    own_plane.data_dir = tmp_path / "elsewhere"
    own_plane.run("longshore", "restore", file, "--data-dir", own_plane.data_dir)
    own_plane.start()
    assert own_plane.owner == owner
    assert listed(own_plane) == [second, first]
    assert own_plane.run("longshore", "audit", "verify").stdout.startswith(tuple("123456789"))
    applications = own_plane.aws("deploy", "list-applications")["applications"]
    assert "load-3" in applications
    assert len(own_plane.client("sns").list_topics()["Topics"]) == 1
    assert own_plane.client("s3").get_object(Bucket="releases", Key="load-0")["Body"].read() == b"x" * 1000

    go_on.touch()
    info = shop.ended(second)
    assert info["status"] == "Succeeded"
    assert notes.of(second) == each_once(hosts)
    # The hosts had pinned who signs, and the next deployment is signed by the same.
    _, third = shop.run(Revision())
    assert third["deploymentOverview"]["Succeeded"] == 2


def test_restore_takes_no_ones_place_unasked(tmp_path: Path, own_plane: ControlPlane) -> None:
    own_plane.client("codedeploy").create_application(applicationName="before")
    file = tmp_path / "backup.tar"
    own_plane.run("longshore", "backup", file, "--data-dir", own_plane.data_dir)
    own_plane.client("codedeploy").create_application(applicationName="after")

    def restore(*words: str | Path) -> tuple[int, str]:
        done = own_plane.run("longshore", "restore", file, "--data-dir", own_plane.data_dir, *words, check=False)
        return done.returncode, done.stdout + done.stderr

    code, said = restore("--force")
    assert (code, "A server runs on" in said) == (1, True)
    own_plane.stop()
    code, said = restore()
    assert (code, "--force" in said) == (1, True)
    own_plane.start()
    assert len(own_plane.aws("deploy", "list-applications")["applications"]) == 2
    own_plane.stop()
    code, said = restore("--force", "--output", "json")
    assert code == 0
    replaced = Path(json.loads(said)["Replaced"])
    with sqlite3.connect(replaced / "longshore.db") as old:
        assert old.execute("SELECT count(*) FROM applications").fetchone() == (2,)
    own_plane.start()
    assert own_plane.aws("deploy", "list-applications")["applications"] == ["before"]


def test_a_restore_that_was_cut_off_is_not_taken_for_data(tmp_path: Path, own_plane: ControlPlane) -> None:
    own_plane.client("codedeploy").create_application(applicationName="kept")
    file = tmp_path / "backup.tar"
    own_plane.run("longshore", "backup", file, "--data-dir", own_plane.data_dir)
    own_plane.stop()
    # As a kill leaves it between moving the old data out and the new in.
    (own_plane.data_dir / "restoring").mkdir()
    (own_plane.data_dir / "longshore.db").unlink()
    started = own_plane.run(
        "longshore", "server", "--data-dir", own_plane.data_dir, "--listen", "127.0.0.1:0", check=False
    )
    assert started.returncode == 1
    assert "Run it again with --force" in started.stderr
    own_plane.run("longshore", "restore", file, "--data-dir", own_plane.data_dir, "--force")
    own_plane.start()
    assert own_plane.aws("deploy", "list-applications")["applications"] == ["kept"]


def test_a_newer_schema_and_other_databases_are_refused_with_the_way_out(
    tmp_path: Path, own_plane: ControlPlane
) -> None:
    with sqlite3.connect(own_plane.data_dir / "longshore.db") as database:
        (ours,) = database.execute("UPDATE alembic_version SET version_num = '9999' RETURNING version_num").fetchone()
    file = tmp_path / "backup.tar"
    done = own_plane.run("longshore", "backup", file, "--data-dir", own_plane.data_dir, check=False)
    assert done.returncode == 1
    assert f"schema {ours}, which this version of Longshore does not know" in done.stderr
    assert not file.exists()
    for words in (["backup", file], ["restore", own_plane.log]):
        done = own_plane.run("longshore", *words, "--database-url", "postgresql://db/longshore", check=False)
        assert done.returncode == 2
        assert "pg_dump" in done.stderr
    done = own_plane.run("longshore", "backup", file, "--data-dir", tmp_path / "nowhere", check=False)
    assert (done.returncode, "holds no embedded database" in done.stderr) == (1, True)
    done = own_plane.run("longshore", "restore", own_plane.log, "--data-dir", tmp_path / "nowhere", check=False)
    assert (done.returncode, "no backup of Longshore's" in done.stderr) == (1, True)
