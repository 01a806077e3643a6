"""The revisions that are deployed, and where they go."""

from __future__ import annotations

import random
import tarfile
from dataclasses import dataclass
from pathlib import Path

#: Where the AppSpec file puts the files. Each host sees a directory of its own there.
DESTINATION = Path("/opt/longshore-bench")
#: Each has one script.
HOOKS = ("BeforeInstall", "AfterInstall", "ValidateService")

_APPSPEC = f"""\
version: 0.0
os: linux
files:
  - source: files
    destination: {DESTINATION}/app
hooks:
""" + "".join(f"  {hook}:\n    - location: scripts/{hook}.sh\n      timeout: 30\n" for hook in HOOKS)


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A gzipped tar, and the AppSpec file, files and scripts it was made of."""

    path: Path
    files: int
    size: int


def make(directory: Path, *, files: int, size: int) -> Bundle:
    """A bundle of `files` files with `size` bytes in all, and one trivial script a hook; the same at every call."""
    source = directory / f"revision-{files}"
    (source / "files").mkdir(parents=True)
    (source / "scripts").mkdir()
    (source / "appspec.yml").write_text(_APPSPEC)
    for hook in HOOKS:
        script = source / "scripts" / f"{hook}.sh"
        script.write_text(f"#!/bin/sh\necho {hook} done\n")
        script.chmod(0o755)
    content = random.Random(1)
    for number in range(files):
        place = source / "files" / f"part-{number % 10}"
        place.mkdir(exist_ok=True)
        # Hexadecimal packs to about half, as programs do.
        (place / f"file-{number}.txt").write_text(content.randbytes(size // files // 2).hex())
    path = directory / f"revision-{files}.tgz"
    with tarfile.open(path, "w:gz", compresslevel=6) as tar:
        tar.add(source, arcname=".", filter=whole_seconds)
    return Bundle(path=path, files=files, size=size)


def whole_seconds(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """As GNU tar writes it; fractions would give every entry a second header."""
    entry.mtime = int(entry.mtime)
    return entry
