"""`longshore migrate` as an operator runs it, and a server that meets what a newer one wrote."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from sqlalchemy.engine import URL

from longshore.store import migrations
from longshore.store.database import dialect_of
from tests.acceptance.world import BIN, ControlPlane, wait_until
from tests.integration.store.test_migrations import bring_to, empty

__all__ = ["empty"]


def longshore(*words: str | Path, database: URL, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command, told of the database as an operator tells it."""
    environ = dict(os.environ)
    if database.get_backend_name() == "sqlite":
        words = (*words, "--data-dir", Path(database.database or "").parent)
    else:
        environ["LONGSHORE_DATABASE_URL"] = database.render_as_string(hide_password=False)
        words = (*words, "--data-dir", folder / "data") if "server" in words else words
    command = [BIN / "longshore", *words]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def old(empty: URL, tmp_path: Path) -> URL:
    """A database as an old version left it."""
    database = empty
    if empty.get_backend_name() == "sqlite":
        (tmp_path / "data").mkdir()
        database = empty.set(database=str(tmp_path / "data" / "longshore.db"))
    engine = dialect_of(database).writing()
    with engine.begin() as connection:
        bring_to(connection, "0002")
    engine.dispose()
    return database


def test_it_says_from_where_to_where(old: URL, tmp_path: Path) -> None:
    newest = migrations.newest()

    def migrate(*words: str) -> tuple[int, str]:
        done = longshore("migrate", *words, database=old, folder=tmp_path)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout

    code, said = migrate("--check")
    assert code == 1
    assert f"at schema 0002; this version's is {newest}" in said
    code, said = migrate("--check", "--output", "json")
    assert (code, json.loads(said)) == (1, {"From": "0002", "To": "0002", "Newest": newest, "IsCurrent": False})
    code, said = migrate()
    assert (code, said) == (0, f"The database was at schema 0002 and is at {newest} now.\n")
    code, said = migrate("--check", "--output", "json")
    assert (code, json.loads(said)) == (0, {"From": newest, "To": newest, "Newest": newest, "IsCurrent": True})
    assert migrate() == (0, f"The database is at schema {newest}, this version's.\n")


@pytest.mark.parametrize("words", [("migrate",), ("migrate", "--check"), ("server", "--listen", "127.0.0.1:0")])
def test_what_a_newer_version_wrote_is_refused_with_a_sentence(
    old: URL, tmp_path: Path, words: tuple[str, ...]
) -> None:
    engine = dialect_of(old).writing()
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    done = longshore(*words, database=old, folder=tmp_path)
    assert done.returncode == 1
    assert "The database is at schema 9999, which this version of Longshore does not know." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["migrate", "--database-url", "mysql://u:secret@h/d"], 2, "There is no support for 'mysql' databases."),
        (["migrate", "--database-url", "postgresql//u:secret@h"], 2, "The database's URL cannot be read."),
        (["migrate", "--database-url", "postgresql://u:secret@127.0.0.1:1/d"], 1, "The database is out of reach"),
        (["server", "--database-url", "postgresql://u:secret@127.0.0.1:1/d"], 1, "The database is out of reach"),
        (["server", "--database-url", "mysql://u:secret@h/d"], 2, "There is no support for 'mysql' databases."),
        (["migrate", "--data-dir", "nowhere"], 1, "There is no database in nowhere"),
    ],
)
def test_what_cannot_be_is_a_sentence_without_the_password(
    tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    listen = ["--listen", "127.0.0.1:0"] if words[0] == "server" else []
    done = subprocess.run(
        [BIN / "longshore", *words, *listen], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert "secret" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_server_that_is_overtaken_stops_writing_and_says_why(empty: URL, tmp_path: Path) -> None:
    """While it runs, somebody brings the database to a schema it does not know."""
    options: tuple[str, ...] = ()
    database = empty.set(database=str(tmp_path / "data" / "longshore.db"))
    if empty.get_backend_name() == "postgresql":
        database, options = empty, ("--database-url", empty.render_as_string(hide_password=False))
    plane = ControlPlane(tmp_path, options=options)
    plane.start()
    try:
        client = plane.client("codedeploy")
        client.create_application(applicationName="before")
        engine = dialect_of(database).writing()
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        engine.dispose()
        with pytest.raises(ClientError) as refused:
            client.create_application(applicationName="after")
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        assert refused.value.response["Error"]["Code"] == "ServiceUnavailable"
        # Reads are answered as long as they can be.
        assert client.list_applications()["applications"] == ["before"]
        status, obstacles = wait_until("its engine has stopped", lambda: _ready(plane, obstacles=2))
        assert status == 503
        assert "The database's schema is not the one this version was made for." in obstacles
        assert "which this version of Longshore does not know" in plane.log.read_text()
    finally:
        assert plane.stop() == 0


def _ready(plane: ControlPlane, *, obstacles: int) -> tuple[int, list[str]] | None:
    connection = http.client.HTTPConnection("127.0.0.1", plane.port, timeout=10)
    connection.request("GET", "/readyz")
    answer = connection.getresponse()
    found = json.loads(answer.read())["obstacles"]
    connection.close()
    return (answer.status, found) if len(found) >= obstacles else None
