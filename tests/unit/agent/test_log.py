"""The agent's log: no secret in it, and never too large."""

from __future__ import annotations

from pathlib import Path

import pytest

from longshore.agent import log as agent_log
from longshore.agent.log import Log, without_secrets


@pytest.mark.parametrize(
    "text",
    [
        "GET https://b.s3.amazonaws.com/k?X-Amz-Signature=sosecret&X-Amz-Date=1 failed",
        "git clone https://user:sosecret@git.example.com/shop.git",
        "proxy http://me:sosecret@proxy:3128 refused",
        "Authorization: token sosecret",
        "authorization: Bearer sosecret",
        "aws_secret_access_key: sosecret",
        '{"password": "sosecret"}',
        "SecretAccessKey=sosecret",
        "the token=sosecret was refused",
        "it was ghp_sosecret",
        "nor github_pat_11sosecret",
        "PASSWORD = sosecret",
        "ToKeN: sosecret",
        "AUTHORIZATION: BASIC sosecret",
    ],
)
def test_a_secret_is_cut_out(text: str) -> None:
    assert "sosecret" not in without_secrets(text)


@pytest.mark.parametrize(
    "text",
    [
        "poll.failed try=3 next in 1.0s: cannot reach http://127.0.0.1:8420",
        "the script s/a.sh failed: user@host",
        "d-1",
    ],
)
def test_the_rest_stays_as_it_is(text: str) -> None:
    assert without_secrets(text) == text


def test_a_large_log_is_put_aside_and_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_log, "LOG_BYTES", 300)
    for day in range(10, 19):
        (tmp_path / f"agent.202601{day}.log").write_text("old\n")
    log = Log(tmp_path, "agent")
    for number in range(12):
        log.info(f"line {number} " + "x" * 60)
    now = (tmp_path / "agent.log").read_text()
    assert "line 11" in now
    assert len(now) < 450
    earlier = sorted(tmp_path.glob("agent.[0-9]*.log"))
    assert len(earlier) == agent_log.KEPT
    assert earlier[0].name > "agent.20260112"
    said = "".join(path.read_text() for path in earlier) + now
    assert all(f"line {number} " in said for number in range(12))
