"""The audit: append-only, one hash chain an account.

A record is committed with the change that it is about or not at all. Its place in the chain is given right before the
commit, to all records of the commit at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Select, or_, select

from longshore.domain.audit import BEGINNING, BrokenChainError, Entry, Head, Outcome, Record, chain, verified
from longshore.store.database import Transaction
from longshore.store.tables import audit_heads, audit_records

#: Records read at once when all are.
_SLICE = 1000
#: Records written by one statement.
_AT_ONCE = 32


def foresee(tx: Transaction, account: str) -> None:
    """Have the end of this account's chain asked for along with something else: a record will follow."""
    if _end_of(account) not in tx.known:
        tx.known[_end_of(account)] = _asking_head(tx, account)


def append(tx: Transaction, entry: Entry) -> None:
    """Record this, if and only if the transaction's work is committed."""
    tx.at_commit(_seal, entry)


def _seal(tx: Transaction, entries: list[Entry]) -> None:
    by_account: dict[str, list[Entry]] = {}
    for entry in entries:
        by_account.setdefault(entry.account, []).append(entry)
    for account, of_account in by_account.items():
        # Nobody else writes before this is committed (docs/decisions/0012).
        asked = tx.known.get(_end_of(account)) or _asking_head(tx, account)
        records = list(chain(_head(asked.fetchone()), of_account))
        for some in (records[at : at + _AT_ONCE] for at in range(0, len(records), _AT_ONCE)):
            sql = _INSERT + ", ".join([_PLACES] * len(some))
            tx.hot(sql, tuple(value for record in some for value in _row(record)))
        last = records[-1]
        tx.hot(
            "INSERT INTO audit_heads (account, sequence, hash) VALUES (?, ?, ?)"
            " ON CONFLICT (account) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash",
            (account, last.sequence, last.hash),
        )


def head(tx: Transaction, account: str) -> Head:
    """Where the account's chain ends; sequence 0 where it has not begun."""
    return _head(_asking_head(tx, account).fetchone())


def _asking_head(tx: Transaction, account: str) -> Any:
    return tx.hot("SELECT sequence, hash FROM audit_heads WHERE account = ?", (account,))


def _head(row: Sequence[Any] | None) -> Head:
    return Head(sequence=row[0], hash=row[1]) if row else Head(sequence=0, hash=BEGINNING)


def _end_of(account: str) -> tuple[str, str]:
    """Where a transaction keeps what it has asked of it."""
    return ("audit", account)


def accounts(tx: Transaction) -> list[str]:
    """The accounts of which anything was recorded."""
    heads = select(audit_heads.c.account).union(select(audit_records.c.account))
    return sorted(tx.execute(heads).scalars())


def page(
    tx: Transaction,
    account: str,
    *,
    after: int,
    limit: int,
    since: float | None = None,
    until: float | None = None,
    principal: str | None = None,
    operation: str | None = None,
    outcome: str | None = None,
    resource: str | None = None,
) -> list[Record]:
    """An account's records after a place in its chain, oldest first; bounds are inclusive.

    `principal` is an ARN or the name at its end, `resource` a value that a call named, whole.
    """
    query = _after(account, after).limit(limit)
    if since is not None:
        query = query.where(audit_records.c.time >= since)
    if until is not None:
        query = query.where(audit_records.c.time <= until)
    if principal is not None:
        arn = audit_records.c.principal_arn
        query = query.where(
            or_(
                arn == principal,
                arn.endswith(f"/{principal}", autoescape=True),
                arn.endswith(f":{principal}", autoescape=True),
            )
        )
    if operation is not None:
        query = query.where(audit_records.c.operation == operation)
    if outcome is not None:
        query = query.where(audit_records.c.outcome == outcome)
    if resource is not None:
        # As the column spells the value of a [name, value].
        query = query.where(audit_records.c.resources.contains(f",{json.dumps(resource)}]", autoescape=True))
    return [_record(row) for row in tx.execute(query).mappings()]


def verify(tx: Transaction, account: str) -> Head:
    """Check the account's whole chain; returns its end. Raises domain.audit.BrokenChainError."""
    end = head(tx, account)
    for _ in verified(_all(tx, account), end):
        pass
    if beyond := page(tx, account, after=end.sequence, limit=1):
        raise BrokenChainError(f"Record {beyond[0].sequence} lies beyond the chain's end, {end.sequence}.")
    return end


def _all(tx: Transaction, account: str) -> Iterator[Record]:
    after = -1
    while rows := [_record(row) for row in tx.execute(_after(account, after).limit(_SLICE)).mappings()]:
        yield from rows
        after = rows[-1].sequence


def _after(account: str, sequence: int) -> Select[Any]:
    return (
        select(audit_records)
        .where(audit_records.c.account == account, audit_records.c.sequence > sequence)
        .order_by(audit_records.c.sequence)
    )


_FIELDS = [name for name in Entry.__dataclass_fields__ if name != "resources"]


_COLUMNS = [*_FIELDS, "sequence", "resources", "previous_hash", "hash"]
# Every change pays for this: through Core it would cost some 60 µs more.
_INSERT = f"INSERT INTO audit_records ({', '.join(_COLUMNS)}) VALUES "  # noqa: S608  # fixed names
_PLACES = f"({', '.join('?' * len(_COLUMNS))})"


def _row(record: Record) -> tuple[Any, ...]:
    entry = record.entry
    resources = json.dumps(entry.resources, separators=(",", ":"))
    values = [getattr(entry, name) for name in _FIELDS]
    values[_FIELDS.index("outcome")] = entry.outcome.value
    return (*values, record.sequence, resources, record.previous_hash, record.hash)


def _record(row: Any) -> Record:
    values = {name: row[name] for name in _FIELDS}
    values["outcome"] = Outcome(values["outcome"])
    resources = tuple((name, value) for name, value in json.loads(row["resources"]))
    return Record(
        sequence=row["sequence"],
        entry=Entry(**values, resources=resources),
        previous_hash=row["previous_hash"],
        hash=row["hash"],
    )
