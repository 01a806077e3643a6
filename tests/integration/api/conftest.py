"""The control plane's operations behind a real port, called with real boto3.

One server serves all tests; each test calls it in a region of its own, where nothing exists yet.
"""

from __future__ import annotations

import itertools
import re
import socket
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
import uvicorn
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.model import ServiceModel
from sqlalchemy import insert, update
from tests.integration.engine.scaling import ScalingGroups

from longshore.api import (
    applications,
    auto_scaling,
    connections,
    constraint_errors,
    deployment_configs,
    deployment_groups,
    deployment_targets,
    deployment_waits,
    deployments,
    on_premises_instances,
    resource_tags,
    revisions,
)
from longshore.api.limits import Limits
from longshore.api.operations import handlers
from longshore.domain.auto_scaling import AutoScalingGroup, LifecycleHook
from longshore.domain.ids import Scope, new_deployment_id
from longshore.domain.revision import identity
from longshore.providers.ports import Access, LimitReachedError, TransientError
from longshore.store import tables
from longshore.store.database import Store, sqlite_url
from longshore.store.wakeup import Wakeup
from longshore.wire.endpoint import Endpoint
from longshore.wire.service import Caller, Service

ACCOUNT = "123456789012"
CALLER = f"arn:aws:iam::{ACCOUNT}:user/tester"
MODULES = (
    applications,
    deployment_configs,
    deployment_groups,
    deployment_targets,
    deployment_waits,
    deployments,
    on_premises_instances,
    resource_tags,
    revisions,
    connections,
)
#: Regions that begin so are served with tight limits, to reach them without a thousand calls.
TIGHT = "tight"
TIGHT_LIMITS = Limits(applications=3, groups_per_application=3, custom_configs=2, active_deployments=2, page=2)

_regions = itertools.count(1)


@dataclass
class Clock:
    """The server's clock; it stands still unless a test moves it."""

    now: float = 1_750_000_000.25

    def advance(self, seconds: float) -> float:
        self.now += seconds
        return self.now


@dataclass(frozen=True)
class Running:
    """The server under test."""

    url: str
    store: Store
    clock: Clock = field(default_factory=Clock)


#: Auto Scaling groups: one that is not there, one that has as many lifecycle hooks as it may, one it says nothing of.
NO_SUCH, FULL, SILENT = "no-such", "full", "silent"


class EveryGroup(ScalingGroups):
    """Auto Scaling where each group is there that anybody names, but for those above."""

    def describe(self, access: Access, names: Collection[str]) -> Mapping[str, AutoScalingGroup]:
        if SILENT in names:
            raise TransientError("no answer")
        for name in names:
            if name not in self.groups and name != NO_SUCH:
                self.make(name)
        return super().describe(access, names)

    def put_hook(self, access: Access, group: str, hook: LifecycleHook) -> None:
        if group == FULL:
            raise LimitReachedError("the group has 50 lifecycle hooks")
        super().put_hook(access, group, hook)


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    if request.param == "sqlite":
        database = sqlite_url(tmp_path_factory.mktemp("store") / "longshore.db")
    else:
        database = request.getfixturevalue("cluster").database()
    store = Store(database, Wakeup())
    clock = Clock()
    model = ServiceModel(Loader().load_service_model("codedeploy", "service-2"), "codedeploy")
    roomy, tight = (_endpoint(model, store, limits, clock) for limits in (Limits(), TIGHT_LIMITS))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        authorization = dict(scope["headers"]).get(b"authorization", b"").decode()
        endpoint = tight if _region(authorization).startswith(TIGHT) else roomy
        await endpoint(scope, receive, send)

    listener = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    yield Running(f"http://127.0.0.1:{listener.getsockname()[1]}", store, clock)
    running.should_exit = True
    thread.join()
    store.close()


def _endpoint(model: ServiceModel, store: Store, limits: Limits, clock: Clock) -> Endpoint:
    api = handlers(store, MODULES, limits=limits, page_secret=b"a secret of these tests")
    service = Service(
        model=model,
        handlers={**api, **auto_scaling.hooking(api, store, EveryGroup())},
        explain=constraint_errors.explain,
        signing_names=frozenset({"codedeploy"}),
        target_prefixes=frozenset({"CodeDeploy_20141006"}),
        overlay=constraint_errors.overlay(limits),
    )
    return Endpoint([service], _authenticate, _allow, now=lambda: clock.now)


async def _allow(*_call: Any) -> None:
    pass


async def _authenticate(
    method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, signed_for: frozenset[str], source: str
) -> Caller:
    return Caller(account=ACCOUNT, region=_region(headers["authorization"]), arn=CALLER, access_key_id="AKIDTEST")


def _region(authorization: str) -> str:
    found = re.search(r"Credential=[^/]+/\d+/([^/]+)/", authorization)
    assert found is not None
    return found[1]


@pytest.fixture
def clock(server: Running) -> Clock:
    return server.clock


@pytest.fixture
def store(server: Running) -> Store:
    return server.store


@pytest.fixture
def scope() -> Scope:
    """The account and region of this test."""
    return Scope(ACCOUNT, f"test-{next(_regions)}")


@pytest.fixture
def codedeploy(server: Running, scope: Scope) -> Any:
    """CodeDeploy as boto3 sees it; it sends what it is given, and leaves all checks to the server."""
    return _client(server, scope.region)


@pytest.fixture
def elsewhere(server: Running) -> Any:
    """CodeDeploy in another region of the same account."""
    return _client(server, f"test-{next(_regions)}")


@pytest.fixture
def tight(server: Running) -> Any:
    """CodeDeploy with TIGHT_LIMITS."""
    return _client(server, f"{TIGHT}-{next(_regions)}")


def _client(server: Running, region: str) -> Any:
    return boto3.client(
        "codedeploy",
        region_name=region,
        endpoint_url=server.url,
        aws_access_key_id="AKIDTEST",
        aws_secret_access_key="secret",
        config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
    )


Refused = Callable[[str], AbstractContextManager[list[str]]]


@pytest.fixture
def refused() -> Refused:
    """`with refused("InvalidTag") as why:` expects that exception; its message is then in `why`."""

    @contextmanager
    def expect(code: str) -> Iterator[list[str]]:
        why: list[str] = []
        with pytest.raises(ClientError) as caught:
            yield why
        assert caught.value.response["Error"]["Code"] == f"{code}Exception", str(caught.value)
        why.append(caught.value.response["Error"]["Message"])

    return expect


@pytest.fixture
def app(codedeploy: Any) -> str:
    """The name of a Server application."""
    codedeploy.create_application(applicationName="shop")
    return "shop"


S3 = {"revisionType": "S3", "s3Location": {"bucket": "bundles", "key": "shop/1.zip", "bundleType": "zip"}}

Deploy = Callable[..., str]


@pytest.fixture
def deploy(store: Store, scope: Scope, clock: Clock, codedeploy: Any) -> Deploy:
    """Put a deployment into the rows as the engine would leave it, and return its id."""

    def put(application: str, group: str, status: str, revision: dict[str, Any] = S3) -> str:
        found = codedeploy.get_deployment_group(applicationName=application, deploymentGroupName=group)
        group_id = found["deploymentGroupInfo"]["deploymentGroupId"]
        application_id = codedeploy.get_application(applicationName=application)["application"]["applicationId"]
        deployment_id = new_deployment_id()
        ended = status in ("Succeeded", "Failed", "Stopped")
        row = {
            "id": deployment_id,
            "account": scope.account,
            "region": scope.region,
            "application_id": application_id,
            "group_id": group_id,
            "application_name": application,
            "group_name": group,
            "compute_platform": "Server",
            "config_name": found["deploymentGroupInfo"]["deploymentConfigName"],
            "status": status,
            "creator": "user",
            "create_time": clock.now,
            "complete_time": clock.now + 60 if ended else None,
            "revision": revision,
            "revision_identity": identity(revision),
            "document": {},
            "wake_at": None if ended else clock.now + 3600,
        }
        changes: dict[str, Any] = {"last_attempted_deployment_id": deployment_id}
        if not ended:
            changes["active_deployment_id"] = deployment_id
        if status == "Succeeded":
            changes["last_successful_deployment_id"] = deployment_id
            changes["target_revision"] = revision
            changes["target_revision_identity"] = identity(revision)
        store.write(lambda tx: tx.execute(insert(tables.deployments).values(**row)))
        groups = tables.deployment_groups
        store.write(lambda tx: tx.execute(update(groups).where(groups.c.id == group_id).values(**changes)))
        return deployment_id

    return put


ROLE = f"arn:aws:iam::{ACCOUNT}:role/CodeDeployServiceRole"

CreateGroup = Callable[..., str]


@pytest.fixture
def group(codedeploy: Any) -> CreateGroup:
    """`group("shop", "web", …)` creates a deployment group and returns its id."""

    def create(application: str, name: str, **members: Any) -> str:
        members = {"serviceRoleArn": ROLE, **members}
        made = codedeploy.create_deployment_group(applicationName=application, deploymentGroupName=name, **members)
        return str(made["deploymentGroupId"])

    return create


@pytest.fixture
def info(codedeploy: Any) -> Callable[[str, str], dict[str, Any]]:
    """`info("shop", "web")` is what GetDeploymentGroup says."""

    def get(application: str, name: str) -> dict[str, Any]:
        answer = codedeploy.get_deployment_group(applicationName=application, deploymentGroupName=name)
        found: dict[str, Any] = answer["deploymentGroupInfo"]
        return found

    return get


def pages(call: Callable[..., Any], result: str, **query: Any) -> list[list[Any]]:
    """All pages of a listing."""
    found: list[list[Any]] = []
    token: dict[str, str] = {}
    while True:
        answer = call(**query, **token)
        found.append(answer[result])
        if "nextToken" not in answer:
            return found
        token = {"nextToken": answer["nextToken"]}


@pytest.fixture(name="pages")
def pages_fixture() -> Callable[..., list[list[Any]]]:
    return pages
