"""Many callers on several servers want the same group at once."""

from __future__ import annotations

import copy
import threading

from sqlalchemy import select
from sqlalchemy.engine import URL

from longshore.api import deployments
from longshore.store import tables
from longshore.store.database import Store
from longshore.store.wakeup import Wakeup
from longshore.wire.service import AwsError
from tests.integration.engine.rollout import REVISION, Rollout

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
