"""No call walks a table: what is asked of big ones is found by an index, and a page is entered where it begins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, insert

from longshore.domain.ids import Scope
from longshore.domain.revision import identity
from longshore.store import deployment_groups, deployments, tables
from longshore.store.database import Store, Transaction, dialect_of, sqlite_url
from longshore.store.wakeup import Wakeup
from tests.contract.wire.plane import Plane, plane

HERE = Scope("000000000000", "us-east-1")
#: Rows of each kind. To pass over one of them takes SQLite some ten steps of its machine.
ROWS = 20_000
#: Steps a call may take, whatever is stored: a page of a hundred takes some thousands.
MOST_STEPS = ROWS
TARGETS = 5_000
_STEPS_A_TICK = 50


class Steps:
    """Counts the steps that SQLite's machine takes, in all connections."""

    def __init__(self) -> None:
        self.taken = 0

    def tick(self) -> int:
        self.taken += _STEPS_A_TICK
        return 0


@pytest.fixture(scope="module")
def steps() -> Iterator[Steps]:
    counted = Steps()

    def count(connection: Any, _record: Any) -> None:
        connection.set_progress_handler(counted.tick, _STEPS_A_TICK)

    event.listen(Engine, "connect", count)
    yield counted
    event.remove(Engine, "connect", count)


@pytest.fixture(scope="module")
def big(steps: Steps, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A control plane whose every table is full."""
    with plane(tmp_path_factory.mktemp("big")) as made:
        made.control.store.write(fill)
        yield made


def fill(tx: Transaction) -> None:
    """Rows as years of use would have left them."""
    scope = {"account": HERE.account, "region": HERE.region}
    location = {"revisionType": "GitHub", "gitHubLocation": {"repository": "o/r", "commitId": "c"}}
    tx.execute(
        insert(tables.applications),
        [
            scope | {"id": f"a-{n:05}", "name": f"app-{n:05}", "compute_platform": "Server", "create_time": float(n)}
            for n in range(ROWS)
        ],
    )
    group = {
        **scope,
        "application_id": "a-00000",
        "deployment_config_name": "CodeDeployDefault.OneAtATime",
        "service_role_arn": "arn:aws:iam::000000000000:role/r",
        "create_time": 1.0,
        "document": {"deploymentStyle": {"deploymentType": "IN_PLACE", "deploymentOption": "WITHOUT_TRAFFIC_CONTROL"}},
    }
    tx.execute(
        insert(tables.deployment_groups),
        [
            group | {"id": f"g-{n:05}", "name": f"group-{n:05}", "target_revision_identity": f"identity-{n}"}
            for n in range(ROWS)
        ],
    )
    revision = {"application_id": "a-00000", "revision_type": "GitHub", "location": location}
    tx.execute(
        insert(tables.revisions),
        [revision | {"identity": f"identity-{n}", "register_time": float(n)} for n in range(ROWS)],
    )
    tx.execute(
        insert(tables.instances),
        [
            scope | {"name": f"host-{n:05}", "arn": f"arn-{n}", "iam_user_arn": f"user-{n}", "register_time": 1.0}
            for n in range(ROWS)
        ],
    )
    deployment = {
        **scope,
        "application_id": "a-00000",
        "group_id": "g-00000",
        "application_name": "app-00000",
        "group_name": "group-00000",
        "compute_platform": "Server",
        "config_name": "CodeDeployDefault.OneAtATime",
        "creator": "user",
        "revision": location,
        "revision_identity": identity(location),
        "document": {},
    }
    tx.execute(
        insert(tables.deployments),
        [
            deployment
            | {
                "id": f"d-{n:09}",
                "status": "InProgress" if n == 7 else "Succeeded",
                "create_time": float(n),
                "wake_at": 1e12 if n == 7 else None,
            }
            for n in range(ROWS)
        ],
    )
    target = {
        "deployment_id": "d-000000007",
        "target_arn": "arn",
        "host": "nobody",
        "status": "Pending",
        "turn": 0,
        "position": 0,
        "event": "ApplicationStop",
        "command": "",
        "attempt": "",
        "events": "[]",
    }
    tx.execute(insert(tables.targets), [target | {"target_id": f"host-{n:05}"} for n in range(TARGETS)])


APP = {"applicationName": "app-00000"}
GROUP = APP | {"deploymentGroupName": "group-00000"}
S3 = {"revisionType": "S3", "s3Location": {"bucket": "bucket", "key": "key", "bundleType": "zip"}}
GITHUB = {"revisionType": "GitHub", "gitHubLocation": {"repository": "o/r", "commitId": "c"}}
D = {"deploymentId": "d-000000007"}
LISTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ListApplications", {}),
    ("ListDeploymentGroups", APP),
    ("ListDeployments", {}),
    ("ListDeployments", GROUP),
    ("ListDeployments", {"createTimeRange": {"start": 100, "end": 19_000}}),
    ("ListDeployments", {"includeOnlyStatuses": ["Succeeded", "Failed"]}),
    ("ListApplicationRevisions", APP),
    ("ListApplicationRevisions", APP | {"sortBy": "registerTime", "sortOrder": "ascending"}),
    ("ListApplicationRevisions", APP | {"sortBy": "registerTime", "sortOrder": "descending"}),
    ("ListOnPremisesInstances", {}),
    ("ListOnPremisesInstances", {"registrationStatus": "Registered"}),
    ("ListDeploymentTargets", D),
    ("ListDeploymentInstances", D),
)
CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    *LISTS,
    ("ListDeployments", {"includeOnlyStatuses": ["InProgress", "Queued"]}),
    ("ListDeployments", GROUP | {"includeOnlyStatuses": ["InProgress"]}),
    ("ListDeploymentConfigs", {}),
    ("GetApplication", APP),
    ("BatchGetApplications", {"applicationNames": [f"app-{n:05}" for n in range(0, ROWS, 200)]}),
    ("GetDeploymentGroup", GROUP),
    ("BatchGetDeploymentGroups", APP | {"deploymentGroupNames": [f"group-{n:05}" for n in range(0, ROWS, 200)]}),
    ("GetApplicationRevision", APP | {"revision": GITHUB}),
    ("BatchGetApplicationRevisions", APP | {"revisions": [GITHUB] * 25}),
    ("GetDeployment", {"deploymentId": "d-000012345"}),
    ("BatchGetDeployments", {"deploymentIds": [f"d-{n:09}" for n in range(10_000, 10_025)]}),
    ("GetDeploymentTarget", D | {"targetId": "host-00100"}),
    ("BatchGetDeploymentTargets", D | {"targetIds": [f"host-{n:05}" for n in range(25)]}),
    ("GetDeploymentInstance", D | {"instanceId": "host-00100"}),
    ("BatchGetDeploymentInstances", D | {"instanceIds": [f"host-{n:05}" for n in range(25)]}),
    ("GetOnPremisesInstance", {"instanceName": "host-00100"}),
    ("BatchGetOnPremisesInstances", {"instanceNames": [f"host-{n:05}" for n in range(25)]}),
    ("ListTagsForResource", {"ResourceArn": f"arn:aws:codedeploy:us-east-1:{HERE.account}:application:app-00001"}),
    ("CreateDeployment", APP | {"deploymentGroupName": "group-00009", "revision": S3}),
    ("RegisterApplicationRevision", APP | {"revision": S3}),
    ("GetApplicationRevision", APP | {"revision": S3}),
    ("BatchGetApplicationRevisions", APP | {"revisions": [S3]}),
    ("RegisterOnPremisesInstance", {"instanceName": "new", "iamUserArn": "arn:aws:iam::000000000000:user/new"}),
    ("DeleteDeploymentConfig", {"deploymentConfigName": "of-nobody"}),
    ("StopDeployment", {"deploymentId": "d-000000007"}),
)


@pytest.mark.parametrize(("operation", "asked"), CALLS, ids=lambda part: json.dumps(part)[:60])
def test_a_call_passes_over_no_table(big: Plane, steps: Steps, operation: str, asked: dict[str, Any]) -> None:
    steps.taken = 0
    answer = big.json(operation, asked)
    assert answer.status in (200, 400), answer
    assert steps.taken < MOST_STEPS, answer


@pytest.mark.parametrize(("operation", "asked"), LISTS, ids=lambda part: json.dumps(part)[:60])
def test_the_last_page_costs_what_the_first_does(
    big: Plane, steps: Steps, operation: str, asked: dict[str, Any]
) -> None:
    most, token, pages = 0, None, 0
    while token is not None or not pages:
        steps.taken = 0
        answer = big.json(operation, asked | ({"nextToken": token} if token else {}))
        assert answer.status == 200, answer
        most, pages, token = max(most, steps.taken), pages + 1, answer.document.get("nextToken")
    assert pages > 40
    assert most < MOST_STEPS


@pytest.mark.parametrize("after", [None, ("app-00000", "group-00000"), ("app-00000", "group-19000"), ("app-10000", "")])
def test_what_a_host_may_ask_for_walks_no_further_than_it_is_answered(
    big: Plane, steps: Steps, after: tuple[str, str] | None
) -> None:
    store = big.control.store
    steps.taken = 0
    found = store.read(lambda tx: deployment_groups.documents(tx, HERE, after=after, count=250))
    assert steps.taken < (MOST_STEPS if found else 10 * ROWS)
    assert found == sorted(found, key=lambda row: row[:2])
    assert len(found) == (0 if after and after[0] != "app-00000" else 250)


@pytest.mark.parametrize("group_id", [None, "a-group"])
@pytest.mark.parametrize("statuses", [(), ("InProgress",)])
@pytest.mark.parametrize("before", [None, (5.0, "d-ABCDEFGHI")])
def test_a_page_of_deployments_is_read_by_an_index(
    tmp_path: Path, group_id: str | None, statuses: tuple[str, ...], before: tuple[float, str] | None
) -> None:
    plans: list[str] = []

    class Explaining(Transaction):
        def hot(self, sql: str, parameters: Any = ()) -> Any:
            plans.extend(row[3] for row in super().hot(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall())
            return super().hot(sql, parameters)

    store = Store(sqlite_url(tmp_path / "longshore.db"), Wakeup())
    try:
        store.read(
            lambda tx: deployments.page(
                Explaining(tx.connection, dialect_of("sqlite:///")),
                HERE,
                group_id=group_id,
                statuses=statuses,
                since=1.0,
                until=9.0,
                before=before,
                limit=101,
            )
        )
    finally:
        store.close()
    (step,) = plans
    assert step.startswith("SEARCH deployments USING COVERING INDEX"), step
    bounds = "(create_time,id)<(?,?)" if before else "create_time>? AND create_time<?"
    assert bounds in step, step
    assert ("status=?" in step) == bool(statuses), step
