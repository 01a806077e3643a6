"""A host for the table of what an Install does: its disk is a directory, its agent the real one, as a worker has it."""

from __future__ import annotations

import grp
import io
import os
import pwd
import stat
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from acl_text import acl_of
from tests.bundle_host import Answer, BundleHost

from longshore.agent.config import HostConfig
from longshore.agent.errors import CommandError
from longshore.agent.executor import Executor
from longshore.agent.layout import Layout
from longshore.agent.log import Log
from longshore.agent.script import Observer
from longshore.agent.specification import Revision, Specification

EVENTS = ("ApplicationStop", "DownloadBundle", "BeforeInstall", "Install", "AfterInstall")
HEAD = "version: 0.0\nos: linux\n"


class TableHost:
    """`$T` in an AppSpec is where the disk is."""

    def __init__(self, directory: Path, bundles: BundleHost) -> None:
        self.disk = directory / "disk"
        self.disk.mkdir()
        self._layout = Layout(root=directory / "root")
        self._config = HostConfig(root_dir=self._layout.root)
        self._log = Log(directory / "log", "agent")
        self._bundles = bundles
        self._number = 0

    def put(self, entries: Mapping[str, Any]) -> None:
        """What is on the host before. An entry is its content, or says more; a directory's name ends in a slash."""
        for name, said in entries.items():
            path = self.disk / name
            entry = said if isinstance(said, Mapping) else {"content": said or ""}
            path.parent.mkdir(parents=True, exist_ok=True)
            if "link" in entry:
                path.symlink_to(self._told(entry["link"]))
                continue
            if name.endswith("/"):
                path.mkdir(exist_ok=True)
            else:
                path.write_text(entry.get("content", ""))
            if "owner" in entry:
                owner, group = entry["owner"].split(":")
                os.chown(path, pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid)
            path.chmod(int(str(entry.get("mode", 755 if name.endswith("/") else 644)), 8))

    def deploy(self, deployment: Mapping[str, Any]) -> list[str]:
        """Carry out its events; which had something to do, and of one that failed why."""
        self._number += 1
        archive = self._bundle(deployment)
        self._bundles.answer = lambda _: Answer(body=archive)
        executor = Executor(self._config, self._layout, self._specification(deployment), self._log)
        nobody = Observer(started=lambda _: None, ended=lambda: None)
        ran = []
        for event in EVENTS:
            try:
                if executor.is_noop(event):
                    continue
                executor.execute(event, nobody, os.environ)
            except CommandError as error:
                return [*ran, f"{event}: {str(error).replace(str(self.disk), '$T')}"]
            ran.append(event)
        return ran

    def tree(self) -> dict[str, str]:
        """Every path of the disk: mode, owner unless it is root, content or target, lists."""
        return dict(self._seen())

    def cleanup(self, group: str = "g") -> list[str]:
        """The paths in the group's cleanup file."""
        lines = (self._layout.instructions / f"{group}-cleanup").read_text().splitlines()
        return [line.removeprefix(f"{self.disk}/") for line in lines]

    def _seen(self) -> Iterator[tuple[str, str]]:
        for path in sorted(self.disk.rglob("*")):
            name = str(path.relative_to(self.disk))
            there = path.lstat()
            if stat.S_ISLNK(there.st_mode):
                yield name, f"-> {str(path.readlink()).replace(str(self.disk), '$T')}"
                continue
            said = f"{stat.S_IMODE(there.st_mode):o}"
            if (there.st_uid, there.st_gid) != (0, 0):
                said += f" {path.owner()}:{path.group()}"
            access, default = acl_of(path)
            if len(access.split()) > 3:
                said += f" acl {access}"
            if default:
                said += f" default {default}"
            if stat.S_ISDIR(there.st_mode):
                yield f"{name}/", said
            else:
                content = path.read_text()
                yield name, f"{said} = {'(AppSpec)' if content.startswith(HEAD) else content}"

    def _bundle(self, deployment: Mapping[str, Any]) -> bytes:
        made = io.BytesIO()
        appspec = {deployment.get("name", "appspec.yml"): self._told(HEAD + deployment.get("appspec", ""))}
        with tarfile.open(fileobj=made, mode="w") as writer:
            for name, said in (deployment.get("bundle", {}) | appspec).items():
                given = said if isinstance(said, Mapping) else {"content": said or ""}
                entry = tarfile.TarInfo(name.rstrip("/"))
                content = given.get("content", "").encode()
                entry.mode = int(str(given.get("mode", 755 if name.endswith("/") else 644)), 8)
                entry.mtime = given.get("mtime", 0)
                if name.endswith("/"):
                    entry.type = tarfile.DIRTYPE
                elif "link" in given:
                    entry.type, entry.linkname = tarfile.SYMTYPE, given["link"]
                else:
                    entry.size = len(content)
                writer.addfile(entry, io.BytesIO(content) if entry.isreg() else None)
        return made.getvalue()

    def _told(self, text: str) -> str:
        return text.replace("$T", str(self.disk))

    def _specification(self, deployment: Mapping[str, Any]) -> Specification:
        return Specification(
            deployment_id=f"d-{self._number}",
            group_id=deployment.get("group", "g"),
            group_name="group",
            application="application",
            revision=Revision(kind="S3", bundle_type="tar", bucket="bucket", key="key"),
            bundle_url=f"{self._bundles.url}/bucket/key",
            bundle_sha256=None,
            bundle_size=None,
            creator="user",
            deployment_type="IN_PLACE",
            appspec_filename=deployment.get("appspec_filename"),
            file_exists_behavior=deployment.get("behavior", "DISALLOW"),
            restarts=None,
            possible_events=tuple(deployment["possible"]) if "possible" in deployment else None,
        )
