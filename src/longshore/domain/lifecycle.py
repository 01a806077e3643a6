"""The lifecycle events of each kind of deployment, in order (server.md S3.8–S3.15)."""

from __future__ import annotations

from enum import StrEnum


class Label(StrEnum):
    """Which side of a blue/green deployment a host is on (`instanceLabel`, S3.23)."""

    #: An original.
    BLUE = "Blue"
    #: A replacement.
    GREEN = "Green"


#: What an in-place deployment without a load balancer does on each host (S3.8).
IN_PLACE = (
    "ApplicationStop",
    "DownloadBundle",
    "BeforeInstall",
    "Install",
    "AfterInstall",
    "ApplicationStart",
    "ValidateService",
)

#: Takes a host off its load balancers, and puts it back (S3.9).
BLOCK_TRAFFIC = ("BeforeBlockTraffic", "BlockTraffic", "AfterBlockTraffic")
ALLOW_TRAFFIC = ("BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic")

#: What an in-place deployment with a load balancer does on each host (S3.9).
IN_PLACE_WITH_TRAFFIC = (*BLOCK_TRAFFIC, *IN_PLACE, *ALLOW_TRAFFIC)

#: What a blue/green deployment does on each side (S3.10, S3.11).
BLUE_GREEN = {Label.GREEN: (*IN_PLACE, *ALLOW_TRAFFIC), Label.BLUE: BLOCK_TRAFFIC}
#: Where a replacement waits, Ready, to be given traffic.
READY_AT = len(IN_PLACE)
#: The same when one is rolled back: traffic moves, nothing is installed (S3.12).
BLUE_GREEN_ROLLBACK = {Label.BLUE: ALLOW_TRAFFIC, Label.GREEN: BLOCK_TRAFFIC}

#: What a deployment to one instance does when its Auto Scaling group launches it, and when that terminates it (S3.13).
LAUNCH = (*IN_PLACE, *ALLOW_TRAFFIC)
TERMINATION = (*BLOCK_TRAFFIC, "ApplicationStop")

#: What the control plane does itself, at the load balancers; no agent is asked (S3.15).
ENGINES = frozenset({"BlockTraffic", "AllowTraffic"})

#: Events whose failure does not end a target under `ignoreApplicationStopFailures` (S6.15).
FORGIVABLE = frozenset({"ApplicationStop", "BeforeBlockTraffic", "AfterBlockTraffic"})
