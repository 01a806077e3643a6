"""Which lifecycle events a local deployment has, and in which order (agent.md 9.5, 9.6)."""

from __future__ import annotations

from collections.abc import Sequence

#: In their order.
DEFAULT = (
    "BeforeBlockTraffic",
    "AfterBlockTraffic",
    "ApplicationStop",
    "DownloadBundle",
    "BeforeInstall",
    "Install",
    "AfterInstall",
    "ApplicationStart",
    "ValidateService",
    "BeforeAllowTraffic",
    "AfterAllowTraffic",
)
#: These run the scripts of the revision before, so they may come before there is a new one.
OF_THE_LAST_REVISION = frozenset(DEFAULT[:3])


class EventsError(ValueError):
    """The events cannot come in this order."""


def in_order(asked: Sequence[str]) -> tuple[str, ...]:
    """The events to run: those asked for, DownloadBundle and Install put in front where they were not; else all.

    Raises:
        EventsError: something comes before the download or the installation that it needs.
    """
    if not asked:
        return DEFAULT
    _check_before("DownloadBundle", asked, OF_THE_LAST_REVISION)
    _check_before("Install", asked, OF_THE_LAST_REVISION | {"DownloadBundle", "BeforeInstall"})
    events = list(asked)
    if "DownloadBundle" not in events:
        events.insert(0, "DownloadBundle")
    if "Install" not in events:
        events.insert(events.index("DownloadBundle") + 1, "Install")
    return tuple(events)


def possible(asked: Sequence[str]) -> tuple[str, ...]:
    """Every event that the AppSpec file may have scripts for; one that is asked for must have some."""
    return (*DEFAULT, *dict.fromkeys(event for event in asked if event not in DEFAULT))


def _check_before(needed: str, asked: Sequence[str], allowed: frozenset[str]) -> None:
    if needed not in asked:
        return
    if early := [event for event in asked[: asked.index(needed)] if event not in allowed]:
        raise EventsError(
            f"{early[0]} cannot come before {needed}; only {', '.join(sorted(allowed))} can. "
            "Change the order of --events."
        )
