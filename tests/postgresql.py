"""A PostgreSQL of the tests' own: a cluster on a free port, in a temporary directory, gone with them."""

from __future__ import annotations

import itertools
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy.engine import URL

from tests import ports

_INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)


def why_not() -> str | None:
    """What stands against running PostgreSQL here, and what to do; None when nothing does."""
    if _bin() is None:
        return (
            "PostgreSQL's server is not installed. `make setup` installs it on Debian as root; else install it by hand"
        )
    return None


def _bin() -> Path | None:
    if _INSTALLED:
        return _INSTALLED[0]
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


class Cluster:
    """One PostgreSQL server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._password = secrets.token_hex(8)
        # PostgreSQL refuses to be root.
        self._user = (
            next((name for name in ("postgres", "nobody") if _exists(name)), None) if os.geteuid() == 0 else None
        )
        self._numbers = itertools.count(1)
        self.port = ports.kept()
        if self._user:
            shutil.chown(folder, self._user)
        password = folder / "password"
        password.write_text(self._password)
        if self._user:
            shutil.chown(password, self._user)
        # A language in which names do not sort as their bytes do: what lists are ordered by must not depend on it.
        language = ("--locale", "C.UTF-8", "--locale-provider", "icu", "--icu-locale", "en-US")
        self._run(
            *(
                "initdb",
                "--pgdata",
                self._data,
                "--username",
                "longshore",
                "--pwfile",
                password,
                "--auth",
                "scram-sha-256",
            ),
            *("--encoding", "UTF8", *language),
        )
        self.start()

    def start(self) -> None:
        options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories={self._folder}"
        self._run(
            "pg_ctl", "start", "--wait", "--pgdata", self._data, "--log", self._folder / "log", "--options", options
        )

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "stop", "--wait", "--pgdata", self._data, "--mode", mode)

    def restart(self, mode: str = "immediate") -> None:
        """End every connection without a word and start again, recovering what was committed."""
        self.stop(mode)
        self.start()

    def database(self, *, like: URL | None = None) -> URL:
        """A fresh database; with `like`, a copy of another."""
        name = f"test_{next(self._numbers)}"
        template = f" TEMPLATE {like.database}" if like is not None else ""
        with psycopg.connect(self.address(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}{template}")
        return self.url(name)

    def drop(self, url: URL) -> None:
        with psycopg.connect(self.address(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {url.database} WITH (FORCE)")

    def url(self, database: str = "postgres") -> URL:
        return URL.create(
            "postgresql",
            username="longshore",
            password=self._password,
            host="127.0.0.1",
            port=self.port,
            database=database,
        )

    def address(self, database: str = "postgres") -> str:
        """The same, as psycopg and the command line take it."""
        return self.url(database).render_as_string(hide_password=False)

    def _run(self, command: str, *words: str | Path) -> None:
        directory = _bin()
        assert directory is not None
        with (self._folder / f"{command}.out").open("ab") as out:
            done = subprocess.run(
                [directory / command, *map(str, words)],
                user=self._user,
                group=pwd.getpwnam(self._user).pw_gid if self._user else None,
                extra_groups=[] if self._user else None,
                cwd=self._folder,
                env=os.environ | {"HOME": str(self._folder), "LC_MESSAGES": "C"},
                stdout=out,
                stderr=out,
                timeout=120,
                check=False,
            )
        assert done.returncode == 0, (self._folder / f"{command}.out").read_text() + self.log

    @property
    def log(self) -> str:
        path = self._folder / "log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""


@contextmanager
def cluster() -> Iterator[Cluster]:
    # Not in pytest's own directory: the user that the server runs as may not enter that.
    with tempfile.TemporaryDirectory(prefix="longshore-postgresql-") as folder:
        made = Cluster(Path(folder))
        try:
            yield made
        finally:
            made.stop()


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
