"""Runs pytest as CI does: a test that was skipped there is a test that is missing, so the run fails."""

from __future__ import annotations

import sys

import pytest


class NoSkips:
    """Fails a run that passed only because tests were left out; `-ra` has named them and why."""

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        skipped = reporter.stats.get("skipped", []) if reporter else []
        if skipped and exitstatus == pytest.ExitCode.OK:
            reporter.write_line(f"\n{len(skipped)} skipped, and in CI nothing may be.", red=True)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


if __name__ == "__main__":
    sys.exit(pytest.main(sys.argv[1:], plugins=[NoSkips()]))
