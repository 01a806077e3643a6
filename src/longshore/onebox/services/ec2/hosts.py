"""The hosts behind instances: each a view of this machine with our agent inside, and a metadata service to ask."""

from __future__ import annotations

import base64
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from longshore.onebox.machinery import peers
from longshore.onebox.machinery.host_view import HostView, HostViewError, this_program, why_not
from longshore.onebox.machinery.metadata_server import PORT, AddressTakenError, MetadataServer
from longshore.onebox.machinery.records import Owner, Records
from longshore.onebox.services.ec2 import images, metadata, rows
from longshore.onebox.services.ec2.ports import ControlPlane, HostFailedError, RoleCredentials, RoleRefusedError, Roles
from longshore.onebox.services.ec2.values import Instance

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: The files of ours that a host has, where nothing stays from one boot to the next.
_RUN: Final = "/run/longshore"
#: What the agent that has them is called with.
_AGENT: Final = f"\0--config\0{_RUN}/agent.yml\0".encode()
#: An image's own settings of the agent come before ours.
_OWN_CONFIG: Final = "/etc/longshore/agent.yml"
_COPY_SECONDS: Final = 600
#: What programs have to end in when their instance is stopped or terminated.
_SHUT_DOWN_SECONDS: Final = 10.0
#: Keys are given out anew when so many seconds are left of their time.
_RENEW_BEFORE: Final = 3600.0

#: Runs as the host comes up; what it starts ends with the host. User data is a script that runs once in a host's life,
#: beside the agent, as with cloud-init; the agent is started again whenever it ends.
_BOOT = """#!/bin/sh
{environment}
umask 022
cd /
done=/var/lib/cloud/instances/{instance}/user-data
if [ -e {run}/user-data ] && [ ! -e "$done" ]; then
  mkdir -p "$(dirname "$done")"
  : >"$done"
  setsid {run}/user-data </dev/null >>/var/log/cloud-init-output.log 2>&1 &
fi
config={own_config}
[ -e "$config" ] || config={run}/agent.yml
while :; do
  {longshore} agent run --config "$config" </dev/null >>/var/log/longshore-agent.log 2>&1
  sleep 5
done
"""


class RealHosts:
    """Hosts below one directory."""

    def __init__(
        self,
        records: Records,
        directory: Path,
        roles: Roles,
        plane: ControlPlane,
        *,
        hidden: Path,
        now: Callable[[], float],
    ) -> None:
        """`hidden` is the data of the server, which no host needs to see."""
        self._records = records
        self._directory = directory
        self._roles = roles
        self._plane = plane
        self._hidden = hidden
        self._programs = this_program()
        self._now = now
        self._metadata = MetadataServer()
        self._attended: set[str] = set()
        self._keys: dict[str, RoleCredentials] = {}
        self._keys_lock = threading.Lock()

    def why_not(self) -> str | None:
        return why_not(self._directory / "instances")

    def is_running(self, instance: Instance) -> bool:
        return self._view(instance).process_id() is not None

    def is_attended(self, instance: Instance) -> bool:
        return instance.id in self._attended

    def boot(self, owner: Owner, instance: Instance) -> None:
        view = self._view(instance)
        try:
            # Before the host is there: the first thing it does is to ask.
            self.attend(owner, instance)
            if view.process_id() is None:
                self._lay_out(owner, instance, view)
                view.start()
        except (HostViewError, OSError, subprocess.SubprocessError) as error:
            raise HostFailedError(str(error)) from error

    def attend(self, owner: Owner, instance: Instance) -> None:
        view = self._view(instance)
        if instance.has_metadata and instance.private_ip is not None:
            try:
                self._metadata.open(
                    instance.private_ip, lambda path: self._answer(owner, instance.id, path), view.process_id
                )
            except AddressTakenError as error:
                raise HostFailedError(str(error)) from error
        if (first := view.process_id()) is not None:
            self._refresh(first)
        self._attended.add(instance.id)

    def halt(self, instance: Instance) -> None:
        self._view(instance).shut_down(_SHUT_DOWN_SECONDS)
        if instance.private_ip is not None:
            self._metadata.close(instance.private_ip)
        self._attended.discard(instance.id)

    def remove(self, owner: Owner, instance: Instance) -> None:
        self.halt(instance)
        self._roles.end_sessions(owner, instance.id)
        self._keys.pop(instance.id, None)
        self._view(instance).remove()

    def sweep(self, known: Callable[[], set[str]]) -> None:
        """End and forget hosts that no record knows: trials of a server that was killed. Nobody may launch meanwhile.

        `known` tells the instances there are; it is asked after the look, since a record is there before its host.
        """
        found = [one for one in (self._directory / "instances").glob("*") if one.is_dir()]
        ids = known()
        for directory in found:
            if directory.name not in ids:
                HostView(directory=directory, name=directory.name).remove()

    def stop(self) -> None:
        self._metadata.stop()

    def keep_files(self, instance: Instance, folder: Path) -> None:
        """Copy what an instance has written to a new folder; raises HostFailedError."""
        _copy(self._view(instance).directory / "upper", folder)

    def console(self, instance: Instance) -> str:
        """What the host's user data said, as far as it has got."""
        try:
            return self._view(instance).written("/var/log/cloud-init-output.log").read_text(errors="replace")
        except OSError:
            return ""

    def folder_of_image(self, image_id: str) -> Path:
        """Where the files of an image that CreateImage makes are kept."""
        return self._directory / "images" / image_id

    def folder_named(self, location: str) -> Path:
        """The folder that RegisterImage means by a location; raises ValueError for none below ours."""
        folder = (self._directory / "images" / location).resolve()
        if not folder.is_relative_to((self._directory / "images").resolve()) or location in ("", "."):
            raise ValueError(location)
        return folder

    def _view(self, instance: Instance) -> HostView:
        return HostView(
            directory=self._directory / "instances" / instance.id,
            name=instance.private_dns_name,
            shared=self._programs,
            hidden=(self._hidden,),
            boot=("sh", f"{_RUN}/boot"),
        )

    def _lay_out(self, owner: Owner, instance: Instance, view: HostView) -> None:
        """Put the files there that the host finds as it comes up."""
        if not (view.directory / "upper").exists():
            self._put_image(owner, instance, view)
        # What a host that stopped has left there is not for the next boot: process ids, sockets.
        for volatile in ("/run", "/tmp"):  # noqa: S108 - the host's own
            if view.written(volatile).exists():
                shutil.rmtree(view.written(volatile))
        etc = view.written("/etc")
        etc.mkdir(parents=True, exist_ok=True, mode=0o755)
        (etc / "hostname").write_text(f"{instance.private_dns_name}\n")
        _name_in_hosts(etc / "hosts", instance)
        run = view.written(_RUN)
        run.mkdir(parents=True, mode=0o755)
        run.parent.chmod(0o755)
        (run / "agent.yml").write_text(self._agent_settings())
        (run / "boot").write_text(self._boot_script(instance))
        if instance.user_data is not None:
            script = base64.b64decode(instance.user_data)
            if script.startswith(b"#!"):
                (run / "user-data").write_bytes(script)
                (run / "user-data").chmod(0o700)

    def _refresh(self, first: int) -> None:
        """Let the agent of a host that another server started find this one, at another address perhaps."""
        settings = Path(f"/proc/{first}/root{_RUN}/agent.yml")
        wanted = self._agent_settings()
        with suppress(FileNotFoundError):
            if settings.read_text() == wanted:
                return
        if not settings.parent.exists():
            return  # it is just coming up
        try:
            fresh = settings.with_suffix(".new")
            fresh.write_text(wanted)
            fresh.rename(settings)
        except OSError as error:
            raise HostFailedError(f"the agent's settings cannot be written: {error.strerror}") from error
        for process in peers.inside(first):
            with suppress(OSError):
                if _AGENT in (process / "cmdline").read_bytes():
                    # It reads them when it is started again, which happens whenever it ends.
                    os.kill(int(process.name), signal.SIGTERM)

    def _put_image(self, owner: Owner, instance: Instance, view: HostView) -> None:
        with self._records.transaction() as tx:
            image = images.every(tx, owner).get(instance.image)
        if image is None:
            raise HostFailedError(f"the image {instance.image} is gone")
        view.directory.mkdir(parents=True, exist_ok=True)
        if image["folder"] is not None:
            # Whole or not at all: a copy that was broken off is begun again.
            half = view.directory / "upper.new"
            shutil.rmtree(half, ignore_errors=True)
            _copy(Path(image["folder"]), half)
            half.rename(view.directory / "upper")

    def _agent_settings(self) -> str:
        settings = {
            "deploy_control_endpoint": self._plane.url,
            "specification_signer": self._plane.specification_signer,
            "log_dir": "/var/log/aws/codedeploy-agent",
        }
        if self._plane.certificate_sha256:
            settings["server_certificate_sha256"] = self._plane.certificate_sha256
        return "".join(f"{name}: {value}\n" for name, value in settings.items())

    def _boot_script(self, instance: Instance) -> str:
        programs = Path(sys.executable).parent
        environment = {
            "PATH": f"{programs}:{_PATH}",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "AWS_ENDPOINT_URL": self._plane.url,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{instance.private_ip}:{PORT}",
        }
        return _BOOT.format(
            environment="\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items()),
            instance=instance.id,
            run=_RUN,
            own_config=_OWN_CONFIG,
            longshore=shlex.quote(str(programs / "longshore")),
        )

    def _answer(self, owner: Owner, instance_id: str, path: str) -> str | bytes | None:
        with self._records.transaction() as tx:
            instance = rows.instance(tx, owner, instance_id)
            if instance is None:
                return None
            known = tx.all(rows.SECURITY_GROUP, owner)
            groups = tuple(known[group]["name"] for group in instance.security_groups if group in known)
        profile = None if instance.profile is None else self._roles.profile(owner.account, instance.profile)
        role = None if profile is None else profile.role
        told = metadata.paths(
            owner,
            instance,
            groups=groups,
            profile=profile,
            credentials=lambda: self._credentials(owner, instance_id, role or ""),
        )
        return metadata.at(told, path)

    def _credentials(self, owner: Owner, instance_id: str, role: str) -> str:
        """The instance's keys: the same until they near their end, then others."""
        with self._keys_lock:
            keys = self._keys.get(instance_id)
            if keys is None or keys.role != role or self._now() > keys.expires_at - _RENEW_BEFORE:
                try:
                    keys = self._keys[instance_id] = self._roles.begin_session(owner, instance_id, role)
                except RoleRefusedError as refused:
                    return metadata.refused_credentials(str(refused), self._now())
        return metadata.shown_credentials(keys)


def _name_in_hosts(path: Path, instance: Instance) -> None:
    """Let the host's own name mean its own address."""
    said = path if path.exists() else Path("/etc/hosts")
    lines = said.read_text(errors="replace").splitlines() if said.exists() else []
    short = instance.private_dns_name.partition(".")[0]
    own = f"{instance.private_ip} {instance.private_dns_name} {short}"
    if own not in lines:
        path.write_text("\n".join([own, *lines]) + "\n")


def _copy(source: Path, target: Path) -> None:
    """Copy a tree with all that overlayfs keeps in it: marks of what was deleted, extended attributes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(  # noqa: S603 - our own folders
        ["cp", "-a", "--reflink=auto", f"{source}/.", str(target)],  # noqa: S607 - coreutils
        capture_output=True,
        text=True,
        timeout=_COPY_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        shutil.rmtree(target, ignore_errors=True)
        raise HostFailedError(f"copying {source} failed: {done.stderr.strip()[:500]}")
