"""The official agent's state on a host, written and read as it does it (agent.md 2.4, 4.1)."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path


class OfficialAgent:
    """Installs releases of one group, under the same root as ours."""

    def __init__(self, root: Path, group: str = "g") -> None:
        self._root = root
        self._group = group
        self._instructions = root / "deployment-instructions"

    def install(
        self, deployment: str, files: dict[str, str], destination: Path, *, stop_after: int | None = None
    ) -> None:
        """DownloadBundle and Install; with `stop_after`, it is killed when it has made that many paths."""
        home = self._root / self._group / deployment
        archive = home / "deployment-archive"
        for name, content in files.items():
            path = archive / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            path.chmod(0o755 if name.endswith(".sh") else 0o644)
        (home / "bundle.tar").write_bytes(b"")
        (home / "logs").mkdir()
        (home / "logs" / "scripts.log").write_text("2026-11-26 03:00:00 LifecycleEvent - AfterInstall\n")
        self._instructions.mkdir(parents=True, exist_ok=True)
        # Pointers are absolute paths without a newline.
        (self._instructions / f"{self._group}_most_recent_install").write_text(str(home))
        self.clean_up()
        steps = self._plan(archive / "app", destination)
        (self._instructions / f"{self._group}-install.json").write_text(json.dumps({"instructions": steps}))
        with (self._instructions / f"{self._group}-cleanup").open("w") as cleanup:
            for number, step in enumerate(steps):
                if step["type"] == "mkdir":
                    Path(step["directory"]).mkdir()
                    cleanup.write(f"{step['directory']}\n")
                    continue
                cleanup.write(f"{step['destination']}\n")
                if number == stop_after:
                    # Killed: the file is half there, and what was buffered of the next line.
                    Path(step["destination"]).write_text("hal")
                    cleanup.write(step["destination"][:-1])
                    return
                shutil.copy2(step["source"], step["destination"])
        (self._instructions / f"{self._group}_last_successful_install").write_text(str(home))

    def clean_up(self) -> None:
        """Take the last release away by its cleanup file, backwards; what is missing or not empty is passed over."""
        cleanup = self._instructions / f"{self._group}-cleanup"
        if not cleanup.exists():
            return
        lines = cleanup.read_text().splitlines(keepends=True)
        for line in reversed([line.strip() for line in lines if line.endswith("\n")]):
            if line.startswith("semanage\0"):
                continue
            path = Path(line)
            if path.is_symlink() or path.is_file():
                path.unlink()
            elif path.is_dir():
                with suppress(OSError):
                    path.rmdir()
        cleanup.unlink()

    def last_successful(self) -> Path:
        """The deployment whose ApplicationStop it would run next."""
        return Path((self._instructions / f"{self._group}_last_successful_install").read_text().removesuffix("\n"))

    def _plan(self, source: Path, destination: Path) -> list[dict[str, str]]:
        steps: list[dict[str, str]] = []
        if not destination.is_dir():
            steps.append({"type": "mkdir", "directory": str(destination)})
        for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
            if entry.is_dir():
                steps += self._plan(Path(entry.path), destination / entry.name)
            else:
                steps.append({"type": "copy", "source": entry.path, "destination": str(destination / entry.name)})
        return steps
