"""A deployment's parameters reach its hooks, whoever gives them, and stay with it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore
import pytest
from botocore.exceptions import ClientError
from botocore.model import ListShape, Shape, StructureShape

from longshore import models
from tests.acceptance.world import BIN, ControlPlane, Host, Revision, Shop

Hosts = Callable[..., list[Host]]
Shops = Callable[..., Shop]
SAYS = {"AfterInstall": 'echo "colour=$COLOUR size=$SIZE"'}


def location(revision: dict[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in revision["s3Location"].items())


def said(plane: ControlPlane, deployment_id: str) -> str:
    entries = plane.client("longshore").get_hook_log(deploymentId=deployment_id)["entries"]
    return "".join(entry["text"] for entry in entries)


@pytest.fixture
def shop(shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops) -> Shop:
    return shop_of(shared_plane, hosts_of(shared_plane, 1))


def test_longshore_deploy_gives_them_to_hooks(shop: Shop, shared_plane: ControlPlane) -> None:
    words = ["longshore", "deploy", "--application-name", shop.name, "--deployment-group-name", "prod"]
    words += ["--s3-location", location(shop.push(Revision(hooks=SAYS)))]
    words += ["--parameter", "COLOUR=deep blue", "--parameter", "SIZE=a=b"]
    ended = shared_plane.run(*words, "--watch")
    assert "Succeeded" in ended.stdout
    (deployment_id,) = shop.deploy.list_deployments(applicationName=shop.name, deploymentGroupName="prod")[
        "deployments"
    ]
    assert "[stdout]colour=deep blue size=a=b\n" in said(shared_plane, deployment_id)

    shown = shared_plane.client("longshore").get_deployment_parameters(deploymentId=deployment_id)
    assert shown["parameters"] == [{"name": "COLOUR", "value": "deep blue"}, {"name": "SIZE", "value": "a=b"}]
    audit = shared_plane.run("longshore", "audit", "--resource", deployment_id, "--output", "json").stdout
    (record,) = json.loads(audit)["AuditRecords"]
    assert (record["Service"], record["Operation"]) == ("longshore", "CreateDeployment")
    assert "deep blue" not in audit, "the audit names the deployment, and the deployment its parameters"

    for wrong, told in (
        ("PATH=/evil", "PATH is not for parameters"),
        ("lower=x", "does not match"),
        ("NOVALUE", "NAME=VALUE"),
    ):
        refused = shared_plane.run(*words, "--parameter", wrong, check=False)
        assert refused.returncode != 0
        assert told in refused.stderr


def test_the_plain_aws_command_does_too(shop: Shop, shared_plane: ControlPlane) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environ |= shared_plane.environ | {"AWS_DATA_PATH": f"{models.DATA_PATH}:{Path(botocore.__file__).parent / 'data'}"}
    words = ["aws", "longshore", "create-deployment", "--application-name", shop.name]
    words += ["--deployment-group-name", "prod", "--output", "text"]
    words += ["--revision", f"revisionType=S3,s3Location={{{location(shop.push(Revision(hooks=SAYS)))}}}"]
    words += ["--parameters", "name=COLOUR,value=red", "name=SIZE,value=1"]
    made = subprocess.run([BIN / words[0], *words[1:]], env=environ, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr
    deployment_id = made.stdout.strip()
    assert shop.ended(deployment_id)["status"] == "Succeeded"
    assert "[stdout]colour=red size=1\n" in said(shared_plane, deployment_id)


def test_a_rollback_and_a_restart_use_those_of_the_revision_they_bring_back(
    shop: Shop, shared_plane: ControlPlane
) -> None:
    service = shared_plane.client("longshore")

    def deploy(revision: Revision, colour: str, **more: Any) -> dict[str, Any]:
        made = service.create_deployment(
            applicationName=shop.name,
            deploymentGroupName="prod",
            revision=shop.push(revision),
            parameters=[{"name": "COLOUR", "value": colour}],
            **more,
        )
        return shop.ended(made["deploymentId"])

    hooks = {**SAYS, "ApplicationStart": "echo started $COLOUR"}
    assert deploy(Revision(hooks=hooks), "blue")["status"] == "Succeeded"
    rolls_back = {"enabled": True, "events": ["DEPLOYMENT_FAILURE"]}
    failed = deploy(Revision(hooks={"AfterInstall": "exit 1"}), "red", autoRollbackConfiguration=rolls_back)
    rollback = failed["rollbackInfo"]["rollbackDeploymentId"]
    assert shop.ended(rollback)["status"] == "Succeeded"
    assert "[stdout]colour=blue size=\n" in said(shared_plane, rollback)

    words = ["--application-name", shop.name, "--deployment-group-name", "prod", "--deployment-mode", "RESTART"]
    restart = shared_plane.run("longshore", "deploy", *words).stdout.strip()
    assert shop.ended(restart)["status"] == "Succeeded"
    assert "[stdout]started blue\n" in said(shared_plane, restart)

    plain = shop.start(Revision(hooks=SAYS))
    assert shop.ended(plain)["status"] == "Succeeded"
    assert "[stdout]colour= size=\n" in said(shared_plane, plain), "a deployment has its own or none"


def test_what_is_no_parameter_changes_nothing(shop: Shop, shared_plane: ControlPlane) -> None:
    revision = shop.push(Revision())
    for parameters in (
        [{"name": "LD_PRELOAD", "value": "x"}],
        [{"name": "A", "value": "x"}, {"name": "A", "value": "y"}],
        [{"name": f"A{number}", "value": "x" * 100} for number in range(50)],
    ):
        with pytest.raises(ClientError, match="InvalidInputException"):
            shared_plane.client("longshore").create_deployment(
                applicationName=shop.name, deploymentGroupName="prod", revision=revision, parameters=parameters
            )
    assert shop.deploy.list_deployments(applicationName=shop.name, deploymentGroupName="prod")["deployments"] == []


def _members(shape: Shape) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Path, type and enumeration of everything in a shape."""
    if isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            yield from ((f"{name}.{path}", kind, values) for path, kind, values in _members(member))
    elif isinstance(shape, ListShape):
        yield from ((f"[].{path}", kind, values) for path, kind, values in _members(shape.member))
    else:
        yield "", shape.type_name, tuple(shape.metadata.get("enum", ()))


def test_our_create_deployment_is_codedeploys_and_the_parameters() -> None:
    theirs = set(_members(models.load("codedeploy").operation_model("CreateDeployment").input_shape))
    ours = set(_members(models.load("longshore").operation_model("CreateDeployment").input_shape))
    assert ours - theirs == {("parameters.[].name.", "string", ()), ("parameters.[].value.", "string", ())}
    assert theirs <= ours
