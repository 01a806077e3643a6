"""What the scenario asserts is told in full when it fails."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    *(f"tests.contract.members.{part}" for part in ("conversation", "resources", "groups", "deploying"))
)
