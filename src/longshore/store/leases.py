"""Who does what one server does for all of a database."""

from __future__ import annotations

from longshore.store.database import Transaction


def take(tx: Transaction, name: str, owner: str, *, now: float, seconds: float) -> bool:
    """Take a lease for so many seconds from now, or keep it for at least half of them; False where it is another's."""
    row = tx.hot("SELECT owner, until FROM leases WHERE name = ?", (name,)).fetchone()
    if row is not None and row[0] != owner and row[1] > now:
        return False
    if row is not None and row[0] == owner and row[1] >= now + seconds / 2:
        return True  # costs no write
    tx.hot(
        "INSERT INTO leases (name, owner, until) VALUES (?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until",
        (name, owner, now + seconds),
    )
    return True


def drop_all(tx: Transaction) -> None:
    """Let whoever asks have any. The caller knows that nobody else uses this database."""
    tx.hot("DELETE FROM leases")


def give_up(tx: Transaction, name: str, owner: str) -> None:
    """Let the next who asks have it, if it is still this owner's."""
    tx.hot("DELETE FROM leases WHERE name = ? AND owner = ?", (name, owner))
