"""Lists of thousands, walked page by page while others are added: whoever was there is seen, and nobody twice."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import insert
from sqlalchemy.engine import URL

from longshore.domain.revision import identity
from longshore.server import credentials
from longshore.store import tables
from longshore.store.database import Store, Transaction, sqlite_url
from longshore.store.wakeup import Wakeup
from tests import postgresql
from tests.acceptance.world import ACCOUNT, REGION, ControlPlane, wait_until

ROWS = 2500
PAGE = 100
HERE = {"account": ACCOUNT, "region": REGION}
OTHER_ACCOUNT = "222222222222"
APP = {"applicationName": "app-00000"}
GROUP = APP | {"deploymentGroupName": "group-00000"}
ROLE = f"arn:aws:iam::{ACCOUNT}:role/deploy"
DEPLOYMENT = "d-000000000"
_fresh = itertools.count(1)


@pytest.fixture(scope="module")
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> URL:
    """Where the rows are."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path_factory.mktemp("walking") / "data" / "longshore.db")
    cluster: postgresql.Cluster = request.getfixturevalue("cluster")
    return cluster.database()


@pytest.fixture(scope="module")
def plane(url: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A server that takes long lists."""
    limits = ("applications", "groups-per-application", "custom-configs", "active-deployments")
    options = [word for name in limits for word in ("--limit", f"{name}=1000000")]
    if url.database and url.get_backend_name() == "sqlite":
        folder = Path(url.database).parent.parent
    else:
        folder = tmp_path_factory.mktemp("walking")
        options += ["--database-url", url.render_as_string(hide_password=False)]
    made = ControlPlane(folder, options=tuple(options))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def store(url: URL, plane: ControlPlane) -> Iterator[Store]:
    """The server's rows, which are put there at once; all else goes over the wire."""
    opened = Store(url, Wakeup())
    opened.write(fill)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def codedeploy(plane: ControlPlane) -> Any:
    return plane.client("codedeploy")


def revision(number: int) -> dict[str, Any]:
    return {"revisionType": "GitHub", "gitHubLocation": {"repository": "o/r", "commitId": f"{number:040}"}}


def fill(tx: Transaction) -> None:
    chance = random.Random(3)
    now = time.time() - 1000
    tx.execute(
        insert(tables.applications),
        [
            HERE | {"id": f"a-{n}", "name": f"app-{n:05}", "compute_platform": "Server", "create_time": now}
            for n in range(ROWS)
        ],
    )
    group: dict[str, Any] = {
        **HERE,
        "application_id": "a-0",
        "deployment_config_name": "CodeDeployDefault.OneAtATime",
        "service_role_arn": ROLE,
        "create_time": now,
        "document": {"deploymentStyle": {"deploymentType": "IN_PLACE", "deploymentOption": "WITHOUT_TRAFFIC_CONTROL"}},
    }
    tx.execute(
        insert(tables.deployment_groups), [group | {"id": f"g-{n}", "name": f"group-{n:05}"} for n in range(ROWS)]
    )
    tx.execute(
        insert(tables.revisions),
        [
            {
                "application_id": "a-0",
                "identity": identity(revision(n)),
                "location": revision(n),
                "revision_type": "GitHub",
                # Many at the same moment, and many that were never used.
                "register_time": now + chance.randrange(50),
                "first_used_time": chance.choice((None, now + chance.randrange(50))),
                "last_used_time": chance.choice((None, now + chance.randrange(50))),
            }
            for n in range(ROWS)
        ],
    )
    deployment = {
        **HERE,
        "application_id": "a-0",
        "group_id": "g-0",
        "application_name": "app-00000",
        "group_name": "group-00000",
        "compute_platform": "Server",
        "config_name": "CodeDeployDefault.OneAtATime",
        "creator": "user",
        "revision": revision(0),
        "revision_identity": identity(revision(0)),
        "document": {},
    }
    tx.execute(
        insert(tables.deployments),
        [
            deployment
            | {
                "id": f"d-{n:09}",
                "status": chance.choice(("Succeeded", "Failed")),
                # Several in each moment: their ids decide then.
                "create_time": now + chance.randrange(200),
            }
            for n in range(ROWS)
        ],
    )
    tx.execute(insert(tables.targets), [target(f"host-{n:05}") for n in range(ROWS)])
    tx.execute(
        insert(tables.instances),
        [
            HERE | {"name": f"host-{n:05}", "arn": f"arn-{n}", "iam_user_arn": f"user-{n}", "register_time": now}
            for n in range(ROWS)
        ],
    )
    minimum = {"minimumHealthyHosts": {"type": "HOST_COUNT", "value": 1}}
    config = HERE | {"compute_platform": "Server", "create_time": now, "document": minimum}
    tx.execute(
        insert(tables.deployment_configs), [config | {"id": f"c-{n}", "name": f"config-{n:05}"} for n in range(ROWS)]
    )
    token = HERE | {"token": "secret", "create_time": now}
    tx.execute(insert(tables.github_tokens), [token | {"name": f"token-{n:05}"} for n in range(ROWS)])


def target(name: str) -> dict[str, Any]:
    return {
        "deployment_id": DEPLOYMENT,
        "target_id": name,
        "target_arn": f"arn:{name}",
        "host": "nobody",
        "status": "Succeeded",
        "turn": 0,
        "position": 0,
        "event": "ApplicationStop",
        "command": "",
        "attempt": "",
        "events": "[]",
    }


def somewhere(kind: str) -> str:
    """A new name that stands anywhere among those that there are."""
    number = next(_fresh)
    return f"{kind}-{number * 7919 % ROWS:05}-{number}"


def add_application(codedeploy: Any, _store: Store) -> None:
    codedeploy.create_application(applicationName=somewhere("app"))


def add_group(codedeploy: Any, _store: Store) -> None:
    codedeploy.create_deployment_group(
        applicationName="app-00000", deploymentGroupName=somewhere("group"), serviceRoleArn=ROLE
    )


def add_config(codedeploy: Any, _store: Store) -> None:
    minimum = {"type": "HOST_COUNT", "value": 1}
    codedeploy.create_deployment_config(deploymentConfigName=somewhere("config"), minimumHealthyHosts=minimum)


def add_revision(codedeploy: Any, _store: Store) -> None:
    new = revision(10**6 + next(_fresh))
    codedeploy.register_application_revision(applicationName="app-00000", revision=new)


def add_deployment(codedeploy: Any, _store: Store) -> None:
    """Each to a group of its own; without an instance it soon fails, and is in the list all the same."""
    group = {"applicationName": "app-00001", "deploymentGroupName": somewhere("new")}
    codedeploy.create_deployment_group(**group, serviceRoleArn=ROLE)
    codedeploy.create_deployment(**group, revision=revision(1))


def add_deployment_to_the_group(codedeploy: Any, _store: Store) -> None:
    def created() -> bool:
        try:
            codedeploy.create_deployment(**GROUP, revision=revision(1))
        except codedeploy.exceptions.DeploymentLimitExceededException:
            return False
        return True

    wait_until("the one before has ended", created)


def add_instance(codedeploy: Any, _store: Store) -> None:
    name = somewhere("host")
    codedeploy.register_on_premises_instance(instanceName=name, iamUserArn=f"arn:aws:iam::{ACCOUNT}:user/{name}")


def add_target(_codedeploy: Any, store: Store) -> None:
    """No call adds a target to a deployment that has begun; the list must bear it all the same."""
    store.write(lambda tx: tx.execute(insert(tables.targets), [target(somewhere("host"))]))


def add_token(_codedeploy: Any, store: Store) -> None:
    row = HERE | {"name": somewhere("token"), "token": "secret", "create_time": 1.0}
    store.write(lambda tx: tx.execute(insert(tables.github_tokens), [row]))


Add = Callable[[Any, Store], None]
#: Operation, its list, what it is asked, and how another entry comes to be.
LISTS: tuple[tuple[str, str, dict[str, Any], Add], ...] = (
    ("list_applications", "applications", {}, add_application),
    ("list_deployment_groups", "deploymentGroups", APP, add_group),
    ("list_deployment_configs", "deploymentConfigsList", {}, add_config),
    ("list_deployments", "deployments", {}, add_deployment),
    ("list_deployments", "deployments", GROUP, add_deployment_to_the_group),
    ("list_deployments", "deployments", {"includeOnlyStatuses": ["Succeeded", "Failed"]}, add_deployment),
    ("list_deployments", "deployments", {"createTimeRange": {"start": 0, "end": 4_000_000_000}}, add_deployment),
    ("list_deployment_targets", "targetIds", {"deploymentId": DEPLOYMENT}, add_target),
    ("list_deployment_instances", "instancesList", {"deploymentId": DEPLOYMENT}, add_target),
    ("list_on_premises_instances", "instanceNames", {}, add_instance),
    ("list_on_premises_instances", "instanceNames", {"registrationStatus": "Registered"}, add_instance),
    ("list_git_hub_account_token_names", "tokenNameList", {}, add_token),
    ("list_application_revisions", "revisions", APP, add_revision),
    *(
        ("list_application_revisions", "revisions", APP | {"sortBy": by, "sortOrder": order}, add_revision)
        for by in ("registerTime", "firstUsedTime", "lastUsedTime")
        for order in ("ascending", "descending")
    ),
)


#: On PostgreSQL those that are read in different ways.
ON_POSTGRESQL = [row for row in LISTS if row[0] in ("list_applications", "list_deployments", "list_deployment_targets")]
ON_POSTGRESQL += LISTS[-6:-4]
ARGUMENTS = ("operation", "result", "asked", "add")


def on(database: str, rows: Any) -> Callable[[Any], Any]:
    """A test of these lists, whose rows are in that database."""
    cases = [pytest.param(*row, id=f"{row[0]} {row[2]}"[:90]) for row in rows]
    where = pytest.mark.parametrize("url", [database], indirect=True, scope="module")
    return lambda test: where(pytest.mark.parametrize(ARGUMENTS, cases)(test))


def named(entry: Any) -> Any:
    return entry["gitHubLocation"]["commitId"] if isinstance(entry, dict) else entry


@on("sqlite", LISTS)
def test_whoever_was_there_is_seen_once(
    store: Store, codedeploy: Any, operation: str, result: str, asked: dict[str, Any], add: Add
) -> None:
    is_seen_once(store, codedeploy, operation, result, asked, add)


@on("postgresql", ON_POSTGRESQL)
def test_whoever_was_there_is_seen_once_on_postgresql(
    store: Store, codedeploy: Any, operation: str, result: str, asked: dict[str, Any], add: Add
) -> None:
    is_seen_once(store, codedeploy, operation, result, asked, add)


def is_seen_once(store: Store, codedeploy: Any, operation: str, result: str, asked: dict[str, Any], add: Add) -> None:
    there = [named(entry) for page in walk(codedeploy, operation, result, asked) for entry in page]
    assert len(there) == len(set(there)) >= ROWS
    seen: list[Any] = []
    pages = 0
    for page in walk(codedeploy, operation, result, asked):
        assert len(page) <= PAGE
        seen += [named(entry) for entry in page]
        pages += 1
        add(codedeploy, store)
    assert pages >= ROWS // PAGE
    assert len(seen) == len(set(seen)), "somebody was seen twice"
    assert [entry for entry in seen if entry in set(there)] == there, "somebody was missed, or out of order"


def walk(codedeploy: Any, operation: str, result: str, asked: dict[str, Any]) -> Iterator[list[Any]]:
    token: dict[str, str] = {}
    while True:
        answer = getattr(codedeploy, operation)(**asked, **token)
        yield answer[result]
        if "nextToken" not in answer:
            return
        token = {"nextToken": answer["nextToken"]}


@on("sqlite", LISTS[:-4])
def test_a_token_is_good_for_its_own_list_and_nothing_else(
    plane: ControlPlane,
    codedeploy: Any,
    store: Store,
    operation: str,
    result: str,
    asked: dict[str, Any],
    add: Add,
) -> None:
    first = getattr(codedeploy, operation)(**asked)
    token = first["nextToken"]
    following = getattr(codedeploy, operation)(**asked, nextToken=token)[result]
    assert len(following) == PAGE
    assert not {str(named(entry)) for entry in following} & {str(named(entry)) for entry in first[result]}
    # The same again: nothing is remembered of a walk.
    assert getattr(codedeploy, operation)(**asked, nextToken=token)[result][:50] == following[:50]

    for at in range(0, len(token), 7):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        refuses(codedeploy, operation, asked, changed)
    for changed in (token[:-1], token + "A", token[1:], "", "A", "é", token * 2):
        refuses(codedeploy, operation, asked, changed)
    for other_operation, _, other_asked, _ in LISTS:
        if (other_operation, other_asked) != (operation, asked):
            refuses(codedeploy, other_operation, other_asked, token)
    if operation in ("list_applications", "list_deployment_configs", "list_on_premises_instances"):
        owner = store.write(lambda tx: credentials.root_key(tx, OTHER_ACCOUNT, 1.0))
        keys = (owner.access_key_id, owner.secret_access_key)
        refuses(plane.client("codedeploy", keys=keys), operation, asked, token)
        refuses(plane.client("codedeploy", region="eu-west-1"), operation, asked, token)


def refuses(codedeploy: Any, operation: str, asked: dict[str, Any], token: str) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(codedeploy, operation)(**asked, nextToken=token)
    assert caught.value.response["Error"]["Code"] == "InvalidNextTokenException"
