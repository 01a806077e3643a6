"""The options of `longshore local`: those of codedeploy-local, and its defaults (agent.md 9.1)."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from longshore.agent.local.location import TYPES
from longshore.agent.version import VERSION

_GROUP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ -]{0,99}")

_DESCRIPTION = """\
Deploy a revision on this host, with no control plane and no account: what the agent does, by the same code.
"""
_EXAMPLES = """\
examples:
  longshore local                                        the directory you are in, as it is
  longshore local -l app.tgz -t tgz                      an archive
  longshore local -l 's3://releases/app.zip?versionId=3' -t zip
  longshore local -l https://github.com/octo/shop        GitHub's newest commit (GITHUB_TOKEN for a private one)
  longshore local -l bitbucket.org/team/shop#0123abcd…   one commit of any git repository, its id in full
  longshore local -e ApplicationStart,ValidateService    install, then these events and no others

events, in their order:
  BeforeBlockTraffic, AfterBlockTraffic, ApplicationStop (these run the scripts of the last revision),
  DownloadBundle, BeforeInstall, Install, AfterInstall, ApplicationStart, ValidateService, BeforeAllowTraffic,
  AfterAllowTraffic. With --events, a name of your own runs its scripts in the AppSpec file too.

Revisions and logs are kept in root_dir of the agent's configuration (/opt/codedeploy-agent/deployment-root without
one), each group's by itself; the agent's are too, and a host carries out one deployment of a group at a time.
Exits with 0 when every event succeeded, else with 1.
"""


class UsageError(Exception):
    """The options make no sense."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. See longshore local --help")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The options; raises `UsageError`, and SystemExit(0) after --help and --version."""
    parser = _Parser(
        prog="longshore local",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("-l", "--bundle-location", metavar="PLACE", help="where the revision is (the working directory)")
    add("-t", "--type", choices=TYPES, default="directory", help="what is there (directory)")
    add(
        *("-b", "--file-exists-behavior"),
        choices=("DISALLOW", "OVERWRITE", "RETAIN"),
        type=str.upper,
        default="DISALLOW",
        help="when a file that this group did not install is in the way (DISALLOW)",
    )
    add(
        *("-g", "--deployment-group"),
        metavar="ID",
        default="default-local-deployment-group",
        help="the directory that the group's revisions are kept in (default-local-deployment-group)",
    )
    add("-d", "--deployment-group-name", metavar="NAME", default="LocalFleet", help="told to scripts (LocalFleet)")
    add("-a", "--application-name", metavar="NAME", help="told to scripts (the bundle's location)")
    add("-e", "--events", metavar="EVENTS", action="append", help="lifecycle events in their order, with commas (all)")
    add("-c", "--agent-configuration-file", metavar="FILE", type=Path, help="the agent's configuration")
    add("-A", "--appspec-filename", metavar="NAME", help="the AppSpec file (appspec.yml, else appspec.yaml)")
    add("-v", "--version", action="version", version=f"longshore local {VERSION}, for codedeploy-local 1.0")
    asked = parser.parse_args(argv)
    asked.events = [name.strip() for part in asked.events or () for name in part.split(",") if name.strip()]
    asked.bundle_location = asked.bundle_location or os.getcwd()  # noqa: PTH109 - as text
    asked.application_name = asked.application_name or asked.bundle_location
    if not _GROUP.fullmatch(asked.deployment_group):
        raise UsageError(
            f"--deployment-group {asked.deployment_group!r} cannot name a directory; letters, digits, '.', '_', '-' can"
        )
    return asked
