"""Many deployments ticked with one look and one commit: each comes to what it would have come to alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.engine import URL

from longshore.api import deployment_groups, deployments
from longshore.engine.tick import tick_by_rows
from longshore.store import deployments as deployment_rows
from longshore.store.deployments import LeaseLostError
from tests.integration.engine.rollout import LEASE, REVISION, Rollout

GITHUB = {"revisionType": "GitHub", "gitHubLocation": {"repository": "o/r", "commitId": "a" * 40}}


@pytest.fixture
def rollout(database: URL) -> Iterator[Rollout]:
    made = Rollout(database, hosts=1, minimum="CodeDeployDefault.AllAtOnce")
    yield made
    made.close()


def deploy(rollout: Rollout, group: str, revision: dict[str, object] = GITHUB) -> str:
    """To a group of its own that means no host."""
    about = {"applicationName": "shop", "deploymentGroupName": group}
    rollout.call(
        deployment_groups.create_deployment_group, **about, serviceRoleArn="arn:aws:iam::111122223333:role/deploy"
    )
    made: str = rollout.call(deployments.create_deployment, **about, revision=revision)["deploymentId"]
    return made


def status(rollout: Rollout, deployment_id: str) -> str:
    told: str = rollout.call(deployments.get_deployment, deploymentId=deployment_id)["deploymentInfo"]["status"]
    return told


def claims(rollout: Rollout) -> dict[str, deployment_rows.Claim]:
    found = rollout.store.write(
        lambda tx: deployment_rows.claiming_due(tx, owner="test", now=rollout.now, lease=LEASE, limit=16)()
    )
    return {claim.deployment_id: claim for claim in found}


def test_each_ends_as_it_would_alone_and_what_must_ask_outside_is_left(rollout: Rollout) -> None:
    ended = [deploy(rollout, f"nobody-{number}") for number in range(5)]
    begun = rollout.deploy(GITHUB)
    bundled = deploy(rollout, "bundled", dict(REVISION))
    held = claims(rollout)
    outcomes = tick_by_rows(rollout.world, list(held.values()), rollout.now)
    assert outcomes == {held[one]: None for one in ended} | {held[begun]: rollout.now}
    assert [status(rollout, one) for one in ended] == ["Failed"] * 5
    assert [status(rollout, begun), status(rollout, bundled)] == ["InProgress", "Created"]
    # Given back: the one that has begun wants its hosts started at once.
    assert set(claims(rollout)) == {begun}


def test_one_that_was_lost_meanwhile_hinders_no_other(rollout: Rollout) -> None:
    first, lost, last = (deploy(rollout, name) for name in ("first", "lost", "last"))
    held = claims(rollout)
    rollout.store.write(lambda tx: tx.hot("UPDATE deployments SET fence = fence + 1 WHERE id = ?", (lost,)) and None)
    outcomes = tick_by_rows(rollout.world, [held[one] for one in (first, lost, last)], rollout.now)
    assert isinstance(outcomes.pop(held[lost]), LeaseLostError)
    assert outcomes == {held[first]: None, held[last]: None}
    assert [status(rollout, one) for one in (first, lost, last)] == ["Failed", "Created", "Failed"]


def test_one_that_has_ended_or_is_gone_is_over(rollout: Rollout) -> None:
    ended, gone = deploy(rollout, "ended"), deploy(rollout, "gone")
    held = claims(rollout)
    tick_by_rows(rollout.world, [held[ended]], rollout.now)
    rollout.store.write(lambda tx: tx.hot("DELETE FROM deployments WHERE id = ?", (gone,)) and None)
    assert tick_by_rows(rollout.world, list(held.values()), rollout.now) == {held[ended]: None, held[gone]: None}
