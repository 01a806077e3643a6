"""Rules and their targets, in the records; and what comes of an event."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from typing import Any, Protocol

import structlog

from longshore.onebox.machinery.records import Document, Owner, Records, Transaction
from longshore.onebox.services.events import errors, pattern
from longshore.onebox.services.events.telling import told

log = structlog.get_logger()

RULE = "events.rule"
#: The one bus that there is.
BUS = "default"


class Topics(Protocol):
    """SNS."""

    def publish_in(
        self, tx: Transaction, owner: Owner, topic_arn: str, *, subject: str | None, message: str, now: float
    ) -> str | None:
        """Tell a topic's subscribers something once the transaction is committed; why not, if it cannot be."""


class Rules:
    """The rules of everybody."""

    def __init__(self, records: Records, topics: Topics) -> None:
        self._records = records
        self._topics = topics
        self._lock = threading.Lock()
        with records.transaction() as tx:
            #: Who has rules: asked of at every change of a deployment.
            self._listening = {owner for owner, _, _ in tx.everyones(RULE)}

    def is_listened_to(self, account: str, region: str) -> bool:
        """Whether some rule there may be about what happens."""
        with self._lock:
            return Owner(account, region) in self._listening

    def put(self, tx: Transaction, owner: Owner, name: str, rule: Document) -> None:
        tx.put(RULE, owner, name, rule)
        with self._lock:
            self._listening.add(owner)

    def delete(self, tx: Transaction, owner: Owner, name: str) -> None:
        tx.delete(RULE, owner, name)
        if not tx.count(RULE, owner):
            with self._lock:
                self._listening.discard(owner)

    def happened(self, tx: Transaction, owner: Owner, event: Mapping[str, Any], now: float) -> None:
        """Tell an event to the targets of the rules that it matches, once the transaction is committed."""
        for name, rule in tx.all(RULE, owner).items():
            if rule["state"] != "ENABLED" or not pattern.matches(pattern.read(rule["pattern"]), event):
                continue
            for target in rule["targets"].values():
                why = self._topics.publish_in(
                    tx, owner, target["Arn"], subject=None, message=told(target, event), now=now
                )
                if why is not None:
                    log.warning("event_not_told", rule=name, target=target["Arn"], reason=why)


def existing(tx: Transaction, owner: Owner, name: str) -> Document:
    """A rule by its name; raises AwsError."""
    rule = tx.get(RULE, owner, name)
    if rule is None:
        raise errors.not_found(f"Rule {name} does not exist on EventBus {BUS}.")
    return rule


def new_id() -> str:
    return str(uuid.uuid4())
