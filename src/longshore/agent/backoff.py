"""How long to wait before trying again."""

from __future__ import annotations

import os

from longshore.agent.errors import WireError

FIRST_SECONDS = 0.3
#: Cap when the server is away: it should be found again soon after it is back.
AWAY_CAP = 30.0
#: Cap when the server refuses us for what new keys do not cure: something must be changed by hand first.
REFUSED_CAP = 90.0


def delay(failures: int, error: WireError | None = None, *, spread: float | None = None) -> float:
    """Seconds to wait after that many failures in a row: exponential, with jitter, at least what was asked."""
    refused = error is not None and not error.is_transient
    first = 1.0 if refused or (error is not None and error.is_throttled) else FIRST_SECONDS
    cap = REFUSED_CAP if refused else AWAY_CAP
    jitter = 0.75 + int.from_bytes(os.urandom(4)) / 2**33 if spread is None else spread
    wait: float = min(cap, first * 2.0 ** float(min(failures - 1, 16)) * jitter)
    asked = error.retry_after if error is not None else None
    return max(wait, min(asked, REFUSED_CAP)) if asked else wait
