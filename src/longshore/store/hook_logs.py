"""What the scripts of lifecycle events said, as their hosts sent it. It goes when the deployment goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, text

from longshore.store.database import Transaction
from longshore.store.tables import hook_logs

#: The number of a chunk after which none comes.
END = 2_000_000_001
#: Characters that a row costs beside its text, about.
ROW_CHARACTERS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """Some lines that one host said in one event."""

    deployment_id: str
    target_id: str
    #: Of the event among the host's.
    position: int
    #: Counts the chunks of the event from 0.
    sequence: int
    event: str
    #: Epoch seconds at which it came.
    time: float
    #: Whole lines, each with its newline.
    text: str
    #: Lines before them that were not kept.
    dropped_lines: int


def add(tx: Transaction, chunks: Sequence[Chunk]) -> None:
    """Keep these; one that was kept already is left as it is."""
    # One statement for all: a fleet's hooks speak at once.
    tx.execute(_INSERT, [{name: getattr(chunk, name) for name in _FIELDS} for chunk in chunks])


def add_end(tx: Transaction, chunk: Chunk) -> None:
    """Keep this, unless something of its event is kept; at every completion of a hook, so straight by the driver."""
    values = tuple(getattr(chunk, name) for name in _FIELDS)
    event = (chunk.deployment_id, chunk.target_id, chunk.position)
    found = tx.hot(
        "SELECT 1 FROM hook_logs WHERE deployment_id = ? AND target_id = ? AND position = ? LIMIT 1", event
    ).fetchone()
    if found is None:
        tx.hot(
            f"INSERT INTO hook_logs ({', '.join(_FIELDS)}) VALUES ({', '.join('?' * len(_FIELDS))})"  # noqa: S608  # fixed names
            " ON CONFLICT DO NOTHING",
            values,
        )


def kept(tx: Transaction, deployment_id: str, target_id: str, position: int) -> tuple[int, int]:
    """The number of the next chunk of an event on a host, and how many characters those before take."""
    row = tx.hot(
        "SELECT coalesce(max(sequence) + 1, 0), coalesce(sum(length(text) + ?), 0) FROM hook_logs"
        " WHERE deployment_id = ? AND target_id = ? AND position = ?",
        (ROW_CHARACTERS, deployment_id, target_id, position),
    ).fetchone()
    return int(row[0]), int(row[1])


def page(
    tx: Transaction, deployment_id: str, *, after: int, limit: int, target_id: str | None, event: str | None
) -> list[tuple[int, Chunk]]:
    """Chunks of a deployment in the order in which they came, each with its place, after a place."""
    query = (
        select(hook_logs)
        .where(hook_logs.c.deployment_id == deployment_id, hook_logs.c.id > after)
        .order_by(hook_logs.c.id)
        .limit(limit)
    )
    if target_id is not None:
        query = query.where(hook_logs.c.target_id == target_id)
    if event is not None:
        query = query.where(hook_logs.c.event == event)
    return [(row["id"], Chunk(**{name: row[name] for name in _FIELDS})) for row in tx.execute(query).mappings()]


_FIELDS = tuple(Chunk.__dataclass_fields__)
_INSERT = text(
    f"INSERT INTO hook_logs ({', '.join(_FIELDS)}) VALUES ({', '.join(f':{name}' for name in _FIELDS)})"  # noqa: S608  # fixed names
    " ON CONFLICT DO NOTHING"
)
