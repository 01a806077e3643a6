"""Many callers on several servers want the same group at once."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import URL

from longshore.api import deployment_parameters, deployments
from longshore.store import deployments as deployment_rows
from longshore.store import tables
from longshore.store.database import Store, Transaction
from longshore.store.wakeup import Wakeup
from longshore.wire.service import AwsError
from tests.integration.engine.rollout import REVISION, SCOPE, Rollout

CALLERS, CALLS = 6, 5


def test_a_group_never_has_two_active_deployments(database: URL) -> None:
    """One call of all gets it; every other is told that it is held."""
    first = Rollout(database, hosts=0, minimum="CodeDeployDefault.AllAtOnce")
    second = copy.copy(first)
    second.store = Store(database, Wakeup())
    servers = [first, second]
    made: list[str] = []
    refused: list[str] = []
    surprises: list[BaseException] = []

    def call(server: Rollout) -> None:
        for _ in range(CALLS):
            try:
                group = {"applicationName": "shop", "deploymentGroupName": "prod"}
                made.append(server.call(deployments.create_deployment, **group, revision=REVISION)["deploymentId"])
            except AwsError as error:
                refused.append(error.code)
            except Exception as error:
                surprises.append(error)

    threads = [threading.Thread(target=call, args=(servers[number % 2],)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not surprises
    assert len(made) == 1
    assert refused == ["DeploymentLimitExceededException"] * (CALLERS * CALLS - 1)
    active = select(tables.deployments.c.id).where(tables.deployments.c.wake_at.is_not(None))
    assert servers[0].store.read(lambda tx: tx.execute(active).scalars().all()) == made
    for server in servers:
        server.close()


def test_deployments_that_share_a_commit_count_each_other(database: URL) -> None:
    """The account's limit is on all of them; one that fails is none."""
    rollout = Rollout(database, hosts=0, minimum="CodeDeployDefault.AllAtOnce")
    deployment_id = rollout.deploy()
    first = rollout.store.read(lambda tx: deployment_rows.get(tx, deployment_id))
    assert first is not None

    def one_more(tx: Transaction, name: str) -> int:
        active = deployment_rows.counting_active(tx, SCOPE)()
        deployment_rows.add(tx, replace(first, id=f"d-{name}"))
        if name == "FAILS":
            raise ValueError(name)
        return active

    outcomes = rollout.store.write_each([lambda tx, name=name: one_more(tx, name) for name in ("A", "B", "FAILS", "C")])
    assert [outcomes[at] for at in (0, 1, 3)] == [1, 2, 3]
    assert rollout.store.read(lambda tx: deployment_rows.counting_active(tx, SCOPE)()) == 4
    rollout.close()


def test_who_shares_a_commit_with_a_change_that_fails_gets_all_that_it_asked_for(database: URL) -> None:
    """It is found out late on PostgreSQL, and those behind it are done again."""
    rollout = Rollout(database, hosts=0, minimum="CodeDeployDefault.AllAtOnce")

    class Crowded(Store):
        def write(self, work: Callable[[Transaction], Any]) -> Any:
            _, outcome = self.write_each([fails_late, work])
            return outcome

    def fails_late(tx: Transaction) -> None:
        for _ in range(2):
            tx.hot("INSERT INTO server_secrets (name, value) VALUES ('taken', 'x')")

    rollout.close()
    rollout.store = Crowded(database, Wakeup())
    group = {"applicationName": "shop", "deploymentGroupName": "prod", "revision": REVISION}
    colour = {"name": "COLOUR", "value": "green"}
    made = rollout.call(deployment_parameters.create_deployment, **group, parameters=[colour])
    told = rollout.call(deployment_parameters.get_deployment_parameters, deploymentId=made["deploymentId"])
    assert told["parameters"] == [colour]
    rollout.close()
