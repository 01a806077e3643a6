"""The three releases of the shop: the example as it is, a newer one, and one that cannot start."""

from __future__ import annotations

import shutil
from pathlib import Path

import longshore
from longshore.cli.demo.errors import DemoError
from longshore.cli.demo.hosts import Host

#: What is wrong with release 3: the comma that is missing makes its settings unreadable.
_BROKEN_SETTINGS = """\
{
  "name": "The corner shop"
  "goods": ["bread", "milk", "rope"]
}
"""
#: Python's word for it, which the failing script's log must show.
BROKEN_SAYS = "JSONDecodeError"


def make_revisions(directory: Path, host: Host) -> list[Path]:
    """Folders to push, for releases 1, 2 and 3."""
    example = Path(longshore.__file__).parents[2] / "examples" / "in-place"
    if not (example / "appspec.yml").exists():
        raise DemoError(f"The demo deploys examples/in-place of Longshore's repository; {example} is not there.")
    folders = [_copy(example, directory / f"shop-{version}", version) for version in (1, 2, 3)]
    (folders[2] / "shop.json").write_text(_BROKEN_SETTINGS)
    if host.view is None:
        for folder in folders:
            appspec = folder / "appspec.yml"
            appspec.write_text(appspec.read_text().replace("/opt/shop", str(host.directory / "opt" / "shop")))
    return folders


def _copy(example: Path, folder: Path, version: int) -> Path:
    shutil.copytree(example, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "VERSION").write_text(f"{version}\n")
    return folder
