"""What `longshore appspec check` finds, case by case; tests/acceptance/test_appspec_check.py runs the command itself."""

# ruff: noqa: E501 - a case is read as one line of its table
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from longshore.cli.app import command_line

TOP = "version: 0.0\nos: linux\n"
GOOD = TOP + "files:\n  - source: app\n    destination: /opt/app\nhooks:\n  AfterInstall:\n    - location: run.sh\n"
LAMBDA = "version: 0.0\nResources:\n  - f:\n      Type: AWS::Lambda::Function\n      Properties: {Name: n, Alias: a, CurrentVersion: 1, TargetVersion: 2}\n"


def told(*words: str | Path) -> dict[str, Any]:
    done = CliRunner().invoke(command_line(), ["appspec", "check", *map(str, words), "--output", "json"])
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.exit_code == (0 if found["deployable"] else 1)
    return found


@pytest.fixture
def revision(tmp_path: Path) -> Path:
    """A revision that can be deployed."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "page.html").write_text("hello")
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    (tmp_path / "appspec.yml").write_text(GOOD)
    return tmp_path


#: What is changed in the good revision → severity, line, key, words.
FINDINGS: list[tuple[str, str, str, str, int | None, str, str]] = [
    ("a source that is not there", "source: app", "source: apps", "error", 4, "files[0]", "source 'apps' is not in the revision"),
    ("a source outside", "source: app", "source: ../app", "error", 4, "files[0]", "leads outside the revision"),
    ("one destination twice", "hooks:", "  - {source: app/page.html, destination: /opt/app}\nhooks:", "error", 6, "files[1]", "copies two files to /opt/app/page.html"),
    ("a relative destination", "/opt/app", "opt/app", "warning", 4, "files[0].destination", "not absolute"),
    ("a script that is not there", "run.sh", "Run.sh", "error", 8, "hooks.AfterInstall[0].location", "not in the revision"),
    ("a script outside", "run.sh", "../run.sh", "error", 8, "hooks.AfterInstall[0].location", "outside the revision"),
    ("a script that is a directory", "run.sh", "app", "error", 8, "hooks.AfterInstall[0].location", "which is no file"),
    ("an event without scripts", "AfterInstall", "Install", "warning", 8, "hooks.Install", "in which no script runs"),
    ("an unknown event", "AfterInstall", "AfterInstal", "warning", 8, "hooks.AfterInstal", "is no lifecycle event of a host"),
    ("too long an event", "run.sh", "run.sh\n      timeout: 3601", "warning", 8, "hooks.AfterInstall", "the event ends after 3600"),
    ("a misspelt key", "os: linux", "os: linux\nFiles: []", "warning", 3, "Files", "Write files"),
    ("permissions of nothing", "hooks:", "permissions:\n  - {object: /srv, mode: 644}\nhooks:", "warning", 7, "permissions[0]", "applies to nothing that this revision installs"),
    ("permissions twice", "hooks:", "permissions:\n  - {object: /opt/app, mode: 644}\n  - {object: /opt/app, owner: x}\nhooks:", "error", 8, "permissions[1]", "so does the entry at line 7"),
    ("a pattern for a file", "hooks:", "permissions:\n  - {object: /opt/app/page.html, pattern: 'x*'}\nhooks:", "error", 7, "permissions[0]", "is a file, so pattern must be"),
    ("a default entry for a file", "hooks:", "permissions:\n  - {object: /opt/app, acls: ['d:u:x:r']}\nhooks:", "error", 7, "permissions[0].acls", "applies to the file /opt/app/page.html"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "severity", "line", "key", "words"), [pytest.param(*case[1:], id=case[0]) for case in FINDINGS]
)
def test_what_is_wrong_between_the_appspec_and_the_files(
    revision: Path, old: str, new: str, severity: str, line: int, key: str, words: str
) -> None:
    (revision / "appspec.yml").write_text(GOOD.replace(old, new, 1))
    found = told(revision)
    (problem,) = [each for each in found["problems"] if words in each["what"] + each["remedy"]]
    assert (problem["severity"], problem["line"], problem["key"]) == (severity, line, key)
    assert found["deployable"] == all(each["severity"] == "warning" for each in found["problems"])


@pytest.mark.parametrize(
    ("name", "text", "words", "platform", "code"),
    [
        ("a.yml", LAMBDA, [], "lambda", 0),
        ("a.yml", LAMBDA, ["--platform", "ecs"], "ecs", 1),
        ("a.yml", LAMBDA, ["--platform", "server"], "server", 1),
        ("a.json", LAMBDA, ["--platform", "lambda"], "lambda", 1),
        ("a.json", json.dumps({"version": 0.0, "os": "linux"}), ["--platform", "server"], "server", 0),
        ("a.yml", LAMBDA.replace("Lambda::Function", "ECS::Service"), [], "ecs", 1),
        ("a.yml", "\t", [], "server", 1),
    ],
)
def test_the_platform_is_given_or_known_by_the_file(
    tmp_path: Path, name: str, text: str, words: list[str], platform: str, code: int
) -> None:
    (tmp_path / name).write_text(text)
    found = told(tmp_path / name, *words)
    assert (found["platform"], found["deployable"]) == (platform, code == 0)
