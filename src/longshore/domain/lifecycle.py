"""The lifecycle events of each kind of deployment, in order (server.md S3.8–S3.15)."""

from __future__ import annotations

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

#: Events whose failure does not end a target under `ignoreApplicationStopFailures` (S6.15).
FORGIVABLE = frozenset({"ApplicationStop", "BeforeBlockTraffic", "AfterBlockTraffic"})
