"""Log files stay small, however many processes write them."""

from __future__ import annotations

import os
from pathlib import Path

from longshore.agent.rotating import RotatingFile


def contents(path: Path) -> list[str]:
    names = [path, *(path.with_name(f"{path.name}.{number}") for number in range(9))]
    return [one.read_text() for one in names if one.exists()]


def test_a_large_file_is_put_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = RotatingFile(path, limit=10, files=3)
    for number in range(7):
        log.write(f"line {number}\n".encode())
    log.close()
    assert contents(path) == ["line 6\n", "line 4\nline 5\n", "line 2\nline 3\n"]


def test_an_old_file_that_is_large_already_is_put_aside_first(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("x" * 20)
    log = RotatingFile(tmp_path / "log", limit=10, files=2)
    log.write(b"new\n")
    log.close()
    assert contents(tmp_path / "log") == ["new\n", "x" * 20]


def test_of_several_writers_none_loses_a_line_or_moves_a_file_twice(tmp_path: Path) -> None:
    path = tmp_path / "log"
    children = []
    for writer in range(4):
        if (pid := os.fork()) == 0:
            log = RotatingFile(path, limit=4000, files=100)
            for number in range(500):
                log.write(f"{writer} {number}\n".encode())
            os._exit(0)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 4
    files = [one.read_text() for one in tmp_path.iterdir()]
    assert sorted(line for text in files for line in text.splitlines()) == sorted(
        f"{writer} {number}" for writer in range(4) for number in range(500)
    )
    assert max(map(len, files)) < 4100
    assert len(files) <= 6
