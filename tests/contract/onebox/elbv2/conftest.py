"""A real server with its real proxy, and real HTTP servers to be the targets."""

from __future__ import annotations

import http.client
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests import ports
from tests.acceptance.world import ControlPlane
from tests.load import Backend, ending_proxy, until

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    plane = ControlPlane(tmp_path_factory.mktemp("elbv2"))
    with ending_proxy(plane.data_dir):
        plane.start()
        yield plane
        plane.stop()


@pytest.fixture
def elb(plane: ControlPlane) -> Any:
    return plane.client("elbv2")


@pytest.fixture
def new_name(request: pytest.FixtureRequest) -> Callable[[], str]:
    return lambda: f"shop-{next(_NUMBERS)}"


Backends = Callable[..., Backend]


@pytest.fixture
def backends() -> Iterator[Backends]:
    made: list[Backend] = []

    def make(name: str, **more: Any) -> Backend:
        made.append(Backend(name, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


@dataclass
class Shop:
    """A load balancer with one listener before one target group."""

    elb: Any
    name: str
    balancer: str
    address: str
    listener: str
    port: int
    group: str

    def new_group(self, name: str, **options: Any) -> str:
        return new_group(self.elb, f"{self.name}-{name}", **options)

    def register(self, *backends: Backend, group: str | None = None, healthy: bool = True) -> None:
        targets = [{"Id": one.address, "Port": one.port} for one in backends]
        self.elb.register_targets(TargetGroupArn=group or self.group, Targets=targets)
        if healthy:
            until(lambda: all(self.health(one, group=group)["State"] == "healthy" for one in backends))

    def deregister(self, *backends: Backend, group: str | None = None) -> None:
        targets = [{"Id": one.address, "Port": one.port} for one in backends]
        self.elb.deregister_targets(TargetGroupArn=group or self.group, Targets=targets)

    def health(self, backend: Backend, *, group: str | None = None) -> dict[str, str]:
        target = {"Id": backend.address, "Port": backend.port}
        (described,) = self.elb.describe_target_health(TargetGroupArn=group or self.group, Targets=[target])[
            "TargetHealthDescriptions"
        ]
        assert described["Target"].items() >= target.items()
        found: dict[str, str] = described["TargetHealth"]
        return found

    def forward(self, **weights: int) -> None:
        """Change the listener: weights by the ends of the groups' names, "" for the first."""
        groups = self.elb.describe_target_groups()["TargetGroups"]
        arns = {one["TargetGroupName"]: one["TargetGroupArn"] for one in groups}
        shares = [{"TargetGroupArn": arns[f"{self.name}-{end}"], "Weight": one} for end, one in weights.items()]
        action = {"Type": "forward", "ForwardConfig": {"TargetGroups": shares}}
        self.elb.modify_listener(ListenerArn=self.listener, DefaultActions=[action])


def new_group(elb: Any, name: str, **options: Any) -> str:
    asked = {
        "Protocol": "HTTP",
        "Port": 8080,
        "TargetType": "ip",
        "HealthCheckPath": "/health",
        "HealthCheckIntervalSeconds": 5,
        "HealthCheckTimeoutSeconds": 2,
        "HealthyThresholdCount": 2,
    } | options
    asked = {key: value for key, value in asked.items() if value is not None}
    arn: str = elb.create_target_group(Name=name, **asked)["TargetGroups"][0]["TargetGroupArn"]
    return arn


def make_shop(elb: Any, name: str) -> Shop:
    balancer = elb.create_load_balancer(Name=name)["LoadBalancers"][0]
    address = balancer["DNSName"]
    port = ports.kept(address)
    group = new_group(elb, f"{name}-web")
    (listener,) = elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=port,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )["Listeners"]
    return Shop(elb, name, balancer["LoadBalancerArn"], address, listener["ListenerArn"], port, group)


def ask(
    shop: Shop, path: str = "/", *, method: str = "GET", source: str = "", port: int = 0, **headers: str
) -> tuple[int, str, Any]:
    """Send a request through its listener; status, body and headers of the answer."""
    where = (source, 0) if source else None
    connection = http.client.HTTPConnection(shop.address, port or shop.port, timeout=20, source_address=where)
    try:
        connection.request(method, path, headers={key.replace("_", "-"): value for key, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers
    finally:
        connection.close()


@pytest.fixture
def shop(elb: Any, new_name: Callable[[], str]) -> Iterator[Shop]:
    made = make_shop(elb, new_name())
    yield made
    elb.delete_load_balancer(LoadBalancerArn=made.balancer)
