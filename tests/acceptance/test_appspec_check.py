"""`longshore appspec check`, by the real command: what a user is told of a revision before it is pushed."""

# ruff: noqa: E501 - a case is read as one line of its table
from __future__ import annotations

import json
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.world import BIN

TOP = "version: 0.0\nos: linux\n"
GOOD = TOP + "files:\n  - source: app\n    destination: /opt/app\nhooks:\n  AfterInstall:\n    - location: run.sh\n"


def check(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "longshore", "appspec", "check", *words], text=True, capture_output=True, timeout=60, check=False
    )


def told(*words: str | Path) -> dict[str, Any]:
    done = check(*words, "--output", "json")
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if found["deployable"] else 1), done.stderr
    return found


@pytest.fixture
def revision(tmp_path: Path) -> Path:
    """A revision that can be deployed."""
    root = tmp_path / "revision"
    (root / "app").mkdir(parents=True)
    (root / "app" / "page.html").write_text("hello")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "appspec.yml").write_text(GOOD)
    return root


def test_a_good_revision_in_every_form(revision: Path, tmp_path: Path) -> None:
    bundle, flat, wrapped = tmp_path / "b.zip", tmp_path / "b.tar", tmp_path / "b.tgz"
    with zipfile.ZipFile(bundle, "w") as writer:
        for path in revision.rglob("*"):
            writer.write(path, path.relative_to(revision))
    with tarfile.open(flat, "w") as tar:
        tar.add(revision, ".")
    with tarfile.open(wrapped, "w:gz") as tar:
        tar.add(revision, "release-7")
    for path in (revision, revision / "appspec.yml", bundle, flat, wrapped):
        done = check(path)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert done.stdout.endswith("appspec.yml: can be deployed to hosts.\n")
        assert len(done.stdout.splitlines()) == 1


def test_every_problem_is_told_at_once_with_line_key_and_remedy(revision: Path) -> None:
    (revision / "appspec.yml").write_text(
        "version: 1\nos: Linux\nfiles:\n  - source: app\nhooks:\n  AfterInstall:\n    - location: run.sh\n      timeout: soon\n"
    )
    done = check(revision)
    assert done.returncode == 1
    file = f"{revision}/appspec.yml"
    assert done.stdout.splitlines() == [
        f"{file}:1: error: version is the text '1'. Write 'version: 0.0', without quotes.",
        f"{file}:2: error: os is 'Linux'. Write 'os: linux' or 'os: windows', in lower case.",
        f"{file}:4: error: files[0].destination is missing for the source 'app'. Say which directory of the host to copy it to.",
        f"{file}:8: error: hooks.AfterInstall[0].timeout is 'soon', not a number of seconds above 0. Write seconds: 300.",
        f"{file}: cannot be deployed to hosts (4 errors).",
    ]


def test_scripts_that_will_not_start(revision: Path) -> None:
    script = revision / "run.sh"
    script.chmod(0o644)
    script.write_bytes(b"#!/bin/sh\r\nexit 0\r\n")
    (not_executable, line_ending) = told(revision)["problems"]
    assert (not_executable["severity"], "chmod +x" in not_executable["remedy"]) == ("warning", True)
    assert (line_ending["severity"], "Windows line ending" in line_ending["what"]) == ("error", True)


def test_a_link_that_leads_outside_and_what_the_finder_adds(revision: Path) -> None:
    (revision / "app" / "etc").symlink_to("/etc")
    (revision / "__MACOSX").mkdir()
    words = [problem["what"] for problem in told(revision)["problems"]]
    assert any("a symbolic link that leads outside (/etc)" in each for each in words)
    assert any("__MACOSX" in each for each in words)


def test_what_is_no_file_and_a_second_appspec(revision: Path) -> None:
    os.mkfifo(revision / "app" / "pipe")
    (revision / "appspec.yaml").write_text(GOOD)
    words = [problem["what"] for problem in told(revision)["problems"]]
    assert any("holds app/pipe, a device, pipe or socket" in each for each in words)
    assert any("stands beside appspec.yaml" in each for each in words)


def test_what_needs_no_files_is_told_of_an_appspec_alone(tmp_path: Path) -> None:
    file = tmp_path / "appspec.yml"
    file.write_text(
        GOOD.replace("/opt", "opt").replace("AfterInstall", "AfterInstal")
        + "      timeout: 3000\n"
        + "  ApplicationStart: [{location: a, timeout: 3000}, {location: b, timeout: 3000}]\n"
    )
    assert [(problem["line"], problem["key"], problem["severity"]) for problem in told(file)["problems"]] == [
        (4, "files[0].destination", "warning"),
        (8, "hooks.AfterInstal", "warning"),
        (10, "hooks.ApplicationStart", "warning"),
    ]


def test_an_archive_that_agents_refuse(tmp_path: Path) -> None:
    bundle = tmp_path / "b.zip"
    with zipfile.ZipFile(bundle, "w") as writer:
        writer.writestr("appspec.yml", GOOD)
        writer.writestr("../evil", "x")
    (problem,) = told(bundle)["problems"]
    assert "'../evil' leads outside the bundle" in problem["what"]
    assert not (tmp_path / "evil").exists()


def test_a_platform_may_be_named(revision: Path) -> None:
    assert told(revision, "--platform", "server")["platform"] == "server"
    found = told(revision, "--platform", "ecs")
    assert (found["platform"], found["deployable"]) == ("ecs", False)


def test_what_comes_through_a_pipe_and_has_no_end() -> None:
    words = [BIN / "longshore", "appspec", "check", "/dev/stdin"]
    done = subprocess.run(words, input=GOOD, text=True, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "/dev/stdin: can be deployed to hosts.\n")
    endless = check("/dev/zero")
    assert (endless.returncode, "the file has more than 1048576 bytes" in endless.stdout) == (1, True)


def test_names_of_the_appspec(revision: Path) -> None:
    file = revision / "appspec.yml"
    file.rename(revision / "appspec.yaml")
    (problem,) = told(revision)["problems"]
    assert (problem["severity"], "`aws deploy push` takes appspec.yml only" in problem["what"]) == ("warning", True)
    (revision / "appspec.yaml").rename(revision / "host.yml")
    assert not told(revision)["deployable"]
    assert told(revision, "--appspec-filename", "host.yml")["deployable"]
    (problem,) = told(revision, "-A", "other.yml")["problems"]
    assert "has no other.yml at its root" in problem["what"]


def test_nothing_to_check(tmp_path: Path) -> None:
    done = check(tmp_path / "absent")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"longshore: there is no {tmp_path}/absent.\n"
    file = tmp_path / "appspec.yml"
    file.write_text(GOOD)
    assert check(file, "-A", "x.yml").returncode == 2
    assert check(tmp_path, "--platform", "mainframe").returncode == 2
    assert check().returncode == 2
