"""The files that Envoy watches: one for each thing that changes by itself, each replaced at once or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Resource = dict[str, Any]


class Files:
    """The resources that the proxy was last told of."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, name: str, resources: Iterable[Resource]) -> str:
        """Say what the resources of a file are from now on; the version that they go by."""
        listed = sorted(resources, key=lambda one: one.get("name", ""))
        version = hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()[:16]
        content = json.dumps({"version_info": version, "resources": listed})
        path = self._directory / name
        if _read(path) != content:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write(path, content)
        return version

    def repeat(self, name: str) -> None:
        """Say the same again."""
        path = self._directory / name
        _write(path, path.read_text())

    def get(self, name: str) -> dict[str, Resource]:
        """The resources of a file by their names; none where there is no such file."""
        content = _read(self._directory / name)
        return {one["name"]: one for one in json.loads(content)["resources"]} if content else {}

    def keep(self, folder: str, names: Iterable[str]) -> None:
        """Forget the files of a folder but these."""
        kept = {f"{name}.json" for name in names}
        for path in (self._directory / folder).glob("*.json"):
            if path.name not in kept:
                path.unlink()

    def clear(self) -> None:
        """Forget everything: nobody reads these any more."""
        for path in (*self._directory.glob("*ds.json"), *self._directory.glob("*ds/*.json")):
            path.unlink()


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _write(path: Path, content: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(content)
    new.replace(path)
