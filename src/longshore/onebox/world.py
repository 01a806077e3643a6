"""onebox, wired once: AWS-shaped services over real things on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from longshore.onebox.machinery.records import Owner, Records
from longshore.onebox.services.elbv2 import Elbv2
from longshore.wire.service import Service


@dataclass(frozen=True, kw_only=True)
class Onebox:
    """The services that onebox adds to a control plane's port, beside S3."""

    services: Sequence[Service]
    records: Records
    load_balancers: Elbv2

    @property
    def changes(self) -> frozenset[str]:
        """Operations of these that may change something."""
        return frozenset[str]().union(*(service.unrecorded for service in self.services))

    def start(self) -> None:
        """Find again what ran when the last server of this data stopped, and go on with it."""
        self.load_balancers.start()

    def stop(self) -> None:
        """Do nothing more. What runs goes on running: instances and their traffic outlive the server."""
        self.load_balancers.stop()
        self.records.close()


def build(directory: Path) -> Onebox:
    """Open what is kept in `directory` and wire the services over it; nothing runs before `start`."""
    records = Records(directory / "onebox.db")
    load_balancers = Elbv2(records, directory / "proxy", _address, now=time.time)
    return Onebox(services=(load_balancers.service,), records=records, load_balancers=load_balancers)


def _address(_owner: Owner, _instance: str) -> str | None:
    """No instance runs."""
    return None
