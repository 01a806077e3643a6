"""Every operation that changes something is marked so: the mark makes it run in a transaction that is audited."""

from __future__ import annotations

import importlib
import pkgutil

from longshore import api

#: What the names of operations begin with that change nothing, in all of AWS's services and in ours.
LOOKS = ("BatchGet", "Get", "List", "Plan", "Simulate")
#: Called a look, and gives out credentials.
NO_LOOKS = {"GetFederationToken", "GetSessionToken"}


def marked() -> dict[str, bool]:
    """Operations by name: whether they are marked as changing something."""
    found = {}
    for module in pkgutil.walk_packages(api.__path__, f"{api.__name__}."):
        for body in vars(importlib.import_module(module.name)).values():
            if operation := getattr(body, "__operation__", None):
                found[operation.name] = operation.writes
    return found


def test_what_changes_something_is_marked_as_such() -> None:
    operations = marked()
    assert len(operations) > 30
    wrong = {name for name, writes in operations.items() if writes == (name.startswith(LOOKS) and name not in NO_LOOKS)}
    assert wrong == set()
