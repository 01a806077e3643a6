"""The AppSpec of an Amazon ECS revision (lambda_ecs_appspec.md A90–A97)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from longshore.appspec import document
from longshore.appspec.document import Node
from longshore.appspec.place import Place, Problems
from longshore.appspec.resources import Form, read_resource, text_of

_FORM = Form(
    platform="Amazon ECS",
    type="AWS::ECS::Service",
    hooks=("BeforeInstall", "AfterInstall", "AfterAllowTestTraffic", "BeforeAllowTraffic", "AfterAllowTraffic"),
    unhooked=("Start", "Install", "AllowTestTraffic", "AllowTraffic", "End"),
)
_PROPERTIES = (
    "TaskDefinition",
    "LoadBalancerInfo",
    "PlatformVersion",
    "NetworkConfiguration",
    "CapacityProviderStrategy",
)
_PUBLIC_IP = ("ENABLED", "DISABLED")
_MAX_PORT = 65535
#: ECS's own bounds.
_MAX_BASE = 100_000
_MAX_WEIGHT = 1_000


@dataclass(frozen=True, kw_only=True)
class AwsvpcConfiguration:
    """Where the tasks of the replacement are attached."""

    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    #: ENABLED or DISABLED.
    assign_public_ip: str


@dataclass(frozen=True, kw_only=True)
class CapacityProvider:
    """One entry of a capacity provider strategy."""

    name: str
    #: Tasks that run on it at least.
    base: int = 0
    #: Its share of the others.
    weight: int = 0


@dataclass(frozen=True, kw_only=True)
class EcsAppSpec:
    """A checked AppSpec file for Amazon ECS: replace a service's task set. None leaves it as the current one has it."""

    #: Logical name of the resource.
    resource: str
    #: As given: an ARN, or what a pipeline puts in its place.
    task_definition: str
    container_name: str
    container_port: int
    platform_version: str | None
    network: AwsvpcConfiguration | None
    capacity_providers: tuple[CapacityProvider, ...] | None
    #: Event → name or ARN of the Lambda function that validates.
    hooks: Mapping[str, str]


def parse_ecs(text: bytes, *, is_json: bool = False) -> EcsAppSpec:
    """Read and check an AppSpec file; raises `AppSpecError` and nothing else, whatever the bytes.

    `is_json`: it must be JSON to the letter, as with bundleType JSON (A5); else YAML, which JSON is too.
    """
    problems = Problems()
    spec = read_ecs(document.compose_json(text) if is_json else document.compose(text), problems)
    problems.refuse()
    return spec


def read_ecs(root: Node | None, problems: Problems) -> EcsAppSpec:
    """What the document says; every problem goes to `problems`, and with an error there the result is void."""
    resource, hooks = read_resource(root, _FORM, problems)
    said = resource.properties if resource else Place(node=None, key="", problems=Problems())
    if resource is None or not said.is_mapping(*_PROPERTIES):
        said = Place(node=None, key="", problems=Problems())
    container_name, container_port = _load_balancer(said.at("LoadBalancerInfo"))
    return EcsAppSpec(
        resource=resource.name if resource else "",
        task_definition=text_of(said.at("TaskDefinition"), "Give the ARN of the task definition to deploy."),
        container_name=container_name,
        container_port=container_port,
        platform_version=said.at("PlatformVersion").text(),
        network=_network(said.at("NetworkConfiguration")),
        capacity_providers=_capacity_providers(said.at("CapacityProviderStrategy")),
        hooks=hooks,
    )


def _load_balancer(place: Place) -> tuple[str, int]:
    if place.is_absent:
        place.error("is missing", "Give ContainerName and ContainerPort, which traffic is sent to.")
        return "", 0
    if not place.is_mapping("ContainerName", "ContainerPort"):
        return "", 0
    name = text_of(place.at("ContainerName"), "Name a container of the task definition.")
    port = place.at("ContainerPort")
    if port.is_absent:
        port.error("is missing", "Give the container's port, as in: ContainerPort: 80")
        return name, 0
    # The one property that is a number: AWS fails a deployment whose port is quoted (A92).
    return name, _whole(port, 1, _MAX_PORT, "Write the port without quotes, as in: ContainerPort: 80")


def _network(place: Place) -> AwsvpcConfiguration | None:
    if place.is_absent or not place.is_mapping("AwsvpcConfiguration"):
        return None
    awsvpc = place.at("AwsvpcConfiguration")
    if awsvpc.is_absent:
        awsvpc.error("is missing", "Give Subnets, SecurityGroups and AssignPublicIp in it, or no NetworkConfiguration.")
        return None
    if not awsvpc.is_mapping("Subnets", "SecurityGroups", "AssignPublicIp"):
        return None
    public_ip = text_of(awsvpc.at("AssignPublicIp"), "Write ENABLED or DISABLED: all three properties, or none.")
    if public_ip and public_ip not in _PUBLIC_IP:
        awsvpc.at("AssignPublicIp").error(f"is {document.shortened(public_ip)!r}", "Write ENABLED or DISABLED.")
    return AwsvpcConfiguration(
        subnets=_texts(awsvpc.at("Subnets"), "List the subnets' ids: all three properties, or none."),
        security_groups=_texts(awsvpc.at("SecurityGroups"), "List the groups' ids: all three properties, or none."),
        assign_public_ip=public_ip,
    )


def _texts(listed: Place, remedy: str) -> tuple[str, ...]:
    if listed.is_absent:
        listed.error("is missing", remedy)
        return ()
    found = tuple(text_of(item, remedy) for item in listed.items(remedy))
    if not found and isinstance(listed.node, document.Sequence):
        listed.error("is empty", remedy)
    return found


def _capacity_providers(listed: Place) -> tuple[CapacityProvider, ...] | None:
    if listed.is_absent:
        return None
    found = tuple(
        CapacityProvider(
            name=text_of(item.at("CapacityProvider"), "Name a capacity provider of the cluster."),
            base=_whole(item.at("Base"), 0, _MAX_BASE, "Write a number of tasks, without quotes."),
            weight=_whole(item.at("Weight"), 0, _MAX_WEIGHT, "Write a number, without quotes."),
        )
        for item in listed.items("Begin each provider with '- '.")
        if item.is_mapping("CapacityProvider", "Base", "Weight")
    )
    if sum(each.base > 0 for each in found) > 1:
        listed.error("gives more than one provider a Base", "Keep the Base of one.")
    if len(found) > 1 and not any(each.weight for each in found):
        listed.error("gives no provider a Weight, so no task would run", "Give at least one a Weight above 0.")
    return found


def _whole(place: Place, low: int, high: int, remedy: str) -> int:
    """A number that YAML reads as one; the low bound when nothing is here."""
    if place.is_absent:
        return low
    value = document.number(place.node)
    if not isinstance(value, int) or not low <= value <= high:
        place.error(f"is {document.describe(place.node)}, not a number of {low} to {high}", remedy)
        return low
    return value
