"""Outages of the control plane: what a host could not report to anybody is no fault of its own."""

from __future__ import annotations

import structlog

from longshore.domain.deployment import START_TIMEOUT
from longshore.store import deployments, server_secrets, targets
from longshore.store.database import Transaction

log = structlog.get_logger()

#: How often a server says that it is at work, seconds.
SIGN_EVERY = 10.0
#: Nobody was at work when the last sign is older than this, seconds: no server that lives is so late.
AWAY = 30.0


def note_presence(tx: Transaction, now: float) -> None:
    """Say that a server is at work; where none was for a while, be it stopped, frozen or cut off from the database, let
    no open command count as lost before agents have had the time to come back."""
    if deployments.finding_first_wake_at(tx, now)() is None:
        return  # no command is open, and an idle server writes nothing
    last = server_secrets.find(tx, server_secrets.LAST_AT_WORK)
    away = now - float(last) if last else None
    server_secrets.put(tx, server_secrets.LAST_AT_WORK, repr(now))
    if away is None or away > AWAY:
        targets.grant_grace(tx, now + START_TIMEOUT)
        log.info("hosts_given_time", seconds_away=away and round(away), until=now + START_TIMEOUT)
