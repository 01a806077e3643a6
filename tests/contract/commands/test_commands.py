"""The agents' service as an agent of any generation sees it, over the wire (agent.md §1, §13)."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.acceptance.world import REGION, ControlPlane, Host, Revision, Shop, wait_until


class Agent:
    """Speaks the five operations by hand, as the host that `Host` registered."""

    def __init__(self, plane: ControlPlane, host: Host, region: str = REGION) -> None:
        self.service = plane.client("codedeploy-commands", keys=host.keys, region=region)
        self.arn = host.arn
        self.signer = json.loads(
            (host.folder / "agent.yml").read_text().split("specification_signer: ")[1].splitlines()[0]
        )

    def poll(self) -> dict[str, Any]:
        command: dict[str, Any] = self.service.poll_host_command(HostIdentifier=self.arn).get("HostCommand", {})
        return command

    def specification(self, command: dict[str, Any]) -> dict[str, Any]:
        answer = self.service.get_deployment_specification(
            DeploymentExecutionId=command["DeploymentExecutionId"], HostIdentifier=self.arn
        )
        assert answer["DeploymentSystem"] == "CodeDeploy"
        specification: dict[str, Any] = answer["DeploymentSpecification"]
        return specification

    def acknowledge(self, command: dict[str, Any], *, noop: bool = False) -> str:
        said = {"Format": "JSON", "Payload": json.dumps({"IsCommandNoop": noop})}
        answer = self.service.put_host_command_acknowledgement(
            HostCommandIdentifier=command["HostCommandIdentifier"], Diagnostics=said
        )
        return str(answer["CommandStatus"])

    def complete(self, command: dict[str, Any], status: str = "Succeeded", **said: Any) -> None:
        payload = {"error_code": 0, "script_name": "", "message": "Succeeded: ", "log": ""} | said
        self.service.put_host_command_complete(
            HostCommandIdentifier=command["HostCommandIdentifier"],
            CommandStatus=status,
            Diagnostics={"Format": "JSON", "Payload": json.dumps(payload)},
        )


@pytest.fixture
def host(tmp_path: Path, shared_plane: ControlPlane) -> Host:
    """A registered host on which no agent runs: the test is the agent."""
    return Host(name=f"hand-{time.time_ns()}", folder=tmp_path, plane=shared_plane)


@pytest.fixture
def agent(shared_plane: ControlPlane, host: Host) -> Agent:
    return Agent(shared_plane, host)


@pytest.fixture
def shop(shared_plane: ControlPlane, host: Host, shop_of: Callable[..., Shop]) -> Iterator[Shop]:
    made = shop_of(shared_plane, [host])
    yield made
    made.deploy.delete_application(applicationName=made.name)


def test_every_event_comes_in_order_and_ends_the_deployment(shop: Shop, agent: Agent) -> None:
    """agent.md 1.4: poll, acknowledge, complete; an empty event is over with its acknowledgement."""
    deployment_id = shop.start(Revision())
    seen = []
    for _ in range(7):
        command = agent.poll()
        seen.append(command["CommandName"])
        assert command["HostIdentifier"] == agent.arn
        assert command["DeploymentExecutionId"].count("/") == 4 or command["DeploymentExecutionId"].endswith(
            deployment_id
        )
        if command["CommandName"] in ("DownloadBundle", "Install"):
            assert agent.acknowledge(command) == "InProgress"
            agent.complete(command)
        else:
            assert agent.acknowledge(command, noop=True) == "Succeeded"
    assert shop.ended(deployment_id)["status"] == "Succeeded"
    assert seen == [
        "ApplicationStop", "DownloadBundle", "BeforeInstall", "Install", "AfterInstall", "ApplicationStart",
        "ValidateService",
    ]  # fmt: skip


def test_a_held_poll_is_answered_as_soon_as_there_is_work(shop: Shop, agent: Agent) -> None:
    with ThreadPoolExecutor() as threads:
        polling = threads.submit(agent.poll)
        with pytest.raises(TimeoutError):
            polling.result(timeout=1)
        shop.start(Revision())
        # One that nobody wakes is held for 45 seconds.
        assert polling.result(timeout=40)["CommandName"] == "ApplicationStop"


def test_a_command_is_offered_once_and_again_only_when_nothing_was_heard(shop: Shop, agent: Agent) -> None:
    """agent.md 1.4.10: the second offer comes after the grace; of two acknowledgements the first wins."""
    shop.start(Revision())
    first = agent.poll()
    began = time.monotonic()
    second = agent.poll()
    assert time.monotonic() - began > 5
    assert second["CommandName"] == first["CommandName"]
    assert second["HostCommandIdentifier"] != first["HostCommandIdentifier"]
    assert agent.acknowledge(second) == "InProgress"
    assert agent.acknowledge(second) == "InProgress"  # a client's retry of the same call
    assert agent.acknowledge(first) == "Succeeded"  # drop it, silently
    agent.complete(first, "Failed", error_code=5)
    agent.complete(second)
    assert agent.poll()["CommandName"] == "DownloadBundle"


def test_the_first_completion_wins_and_every_one_is_welcome(shop: Shop, agent: Agent, host: Host) -> None:
    """agent.md 1.4.7, 13.6: the official agent tells of a failure twice."""
    deployment_id = shop.start(Revision())
    command = agent.poll()
    agent.acknowledge(command)
    agent.complete(command, "Failed", error_code=4, script_name="s/stop.sh", message="exit code 7", log="[stderr]no")
    agent.complete(command, "Failed", error_code=5, message="again")
    agent.complete(command, "Succeeded")
    shop.ended(deployment_id)
    assert shop.failure(deployment_id, host.name) == {
        "event": "ApplicationStop", "errorCode": "ScriptFailed", "scriptName": "s/stop.sh", "message": "exit code 7",
        "logTail": "[stderr]no",
    }  # fmt: skip
    agent.complete(command, "Failed", error_code="Unknown")  # long after the end


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (1, "ScriptMissing"), (2, "ScriptNotExecutable"), (3, "ScriptTimedOut"), (4, "ScriptFailed"),
        (5, "UnknownError"), (6, "UnknownError"), (7, "UnknownError"), ("Unknown", "UnknownError"), (0, "UnknownError"),
        ([], "UnknownError"), (None, "UnknownError"),
    ],
)  # fmt: skip
def test_codes_of_agents_become_the_apis(shop: Shop, agent: Agent, host: Host, said: Any, code: str) -> None:
    """S3.21, agent.md 1.5; a completion without an acknowledgement counts (1.4.8)."""
    deployment_id = shop.start(Revision())
    agent.complete(agent.poll(), "Failed", error_code=said, message="why")
    shop.ended(deployment_id)
    assert shop.failure(deployment_id, host.name)["errorCode"] == code


def test_a_long_log_keeps_its_end(shop: Shop, agent: Agent, host: Host) -> None:
    """S3.20: at most 4 KB."""
    deployment_id = shop.start(Revision())
    agent.complete(agent.poll(), "Failed", error_code=4, log="x" * 9000 + "the end é")
    shop.ended(deployment_id)
    tail = shop.failure(deployment_id, host.name)["logTail"]
    assert tail.endswith("the end é")
    assert len(tail.encode()) <= 4096


def test_the_specification_opens_as_pkcs7_and_as_ours(tmp_path: Path, shop: Shop, agent: Agent, host: Host) -> None:
    """agent.md 1.6, 1.7.5: what the official agent does with OpenSSL, and what ours checks against its pinned key."""
    deployment_id = shop.start(Revision(), fileExistsBehavior="OVERWRITE")
    sealed = agent.specification(agent.poll())
    assert sealed["GenericEnvelope"]["Format"] == "PKCS7/JSON"
    (tmp_path / "envelope.pem").write_text(sealed["GenericEnvelope"]["Payload"])
    opened = subprocess.run(
        ["openssl", "smime", "-verify", "-noverify", "-inform", "PEM", "-in", tmp_path / "envelope.pem"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    told = json.loads(opened)
    group = shop.deploy.get_deployment_group(applicationName=shop.name, deploymentGroupName="prod")
    assert told["DeploymentId"] == deployment_id
    assert told["DeploymentGroupId"] == group["deploymentGroupInfo"]["deploymentGroupId"]
    assert (told["ApplicationName"], told["DeploymentGroupName"]) == (shop.name, "prod")
    assert (told["DeploymentCreator"], told["DeploymentType"]) == ("user", "IN_PLACE")
    assert told["AppSpecFilename"] == "appspec.yml"
    assert told["AgentActionOverrides"]["AgentOverrides"]["FileExistsBehavior"] == "OVERWRITE"
    assert told["Revision"]["RevisionType"] == "S3"
    assert told["Revision"]["S3Revision"]["Bucket"] == shop.bucket
    assert len(sealed["GenericEnvelope"]["Payload"]) <= 8192
    assert "Longshore" not in told  # the official agent logs what it is told, and a presigned URL is a credential

    ours = json.loads(sealed["VariantEnvelope"]["Payload"])
    payload = base64.b64decode(ours["payload"])
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(agent.signer))
    key.verify(base64.b64decode(ours["signature"]), b"longshore-specification-v1\n" + payload)
    ours_alone = json.loads(payload)
    with urllib.request.urlopen(ours_alone["Longshore"]["BundleUrl"], timeout=10) as bundle:
        assert len(bundle.read()) == ours_alone.pop("Longshore")["BundleSize"]
    assert ours_alone == told


def test_a_yaml_spelling_of_the_appspec_is_passed_on(shop: Shop, agent: Agent) -> None:
    """S13.4: the official agent's hooks need to be told of appspec.yaml."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as bundle:
        bundle.writestr("top/appspec.yaml", "version: 0.0\nos: linux\n")
    shop.start(out.getvalue())
    sealed = agent.specification(agent.poll())
    ours = json.loads(sealed["VariantEnvelope"]["Payload"])
    assert json.loads(base64.b64decode(ours["payload"]))["AppSpecFilename"] == "appspec.yaml"


def test_a_stopped_deployments_command_is_taken_back(shop: Shop, agent: Agent) -> None:
    """agent.md 13.5: the acknowledgement tells the agent to leave it."""
    deployment_id = shop.start(Revision())
    command = agent.poll()
    shop.deploy.stop_deployment(deploymentId=deployment_id)
    assert shop.ended(deployment_id)["status"] == "Stopped"
    assert agent.acknowledge(command) == "Succeeded"
    agent.complete(command)
    assert shop.info(deployment_id)["status"] == "Stopped"


def test_a_working_agent_can_ask_whether_it_is_still_wanted(shop: Shop, agent: Agent) -> None:
    shop.start(Revision())
    command = agent.poll()
    identifier = command["HostCommandIdentifier"]
    agent.acknowledge(command)
    assert agent.service.post_host_command_update(HostCommandIdentifier=identifier)["CommandStatus"] == "InProgress"
    agent.complete(command)
    assert agent.service.post_host_command_update(HostCommandIdentifier=identifier)["CommandStatus"] == "Failed"


def test_a_host_of_another_region_gets_nothing(
    shared_plane: ControlPlane, shop: Shop, agent: Agent, host: Host
) -> None:
    """The same key, signed for elsewhere: another region's hosts and deployments are not there."""
    shop.start(Revision())
    command = agent.poll()
    elsewhere = Agent(shared_plane, host, region="eu-west-1")
    with pytest.raises(ClientError, match="ClientException"):
        elsewhere.specification(command)
    assert elsewhere.acknowledge(command) == "Succeeded"
    assert agent.acknowledge(command) == "InProgress"


def test_the_commands_service_is_the_only_one_a_host_may_use(shared_plane: ControlPlane, host: Host) -> None:
    for service, call in (
        ("codedeploy", "list_applications"),
        ("longshore", "list_access_keys"),
        ("s3", "list_buckets"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            getattr(shared_plane.client(service, keys=host.keys), call)()


def test_a_host_may_read_the_bundle_it_is_deploying_and_nothing_else(
    shared_plane: ControlPlane, shop: Shop, agent: Agent, host: Host
) -> None:
    """The official agent gets its bundle with the host's own key; it opens nothing else, nor that one later."""
    mine, other = shop.push(Revision())["s3Location"], shop.push(Revision())["s3Location"]
    s3 = shared_plane.client("s3", keys=host.keys)
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.get_object(Bucket=mine["bucket"], Key=mine["key"])
    deployment_id = shop.start({"revisionType": "S3", "s3Location": mine})
    command = agent.poll()
    assert s3.get_object(Bucket=mine["bucket"], Key=mine["key"])["Body"].read() == Revision().zip()
    for refused in (
        lambda: s3.get_object(Bucket=other["bucket"], Key=other["key"]),
        lambda: s3.put_object(Bucket=mine["bucket"], Key=mine["key"], Body=b"mine now"),
        lambda: s3.delete_object(Bucket=mine["bucket"], Key=mine["key"]),
        lambda: s3.get_object_tagging(Bucket=mine["bucket"], Key=mine["key"]),
        lambda: s3.list_objects_v2(Bucket=mine["bucket"]),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            refused()
    agent.complete(command, "Failed", error_code=5)
    shop.ended(deployment_id)
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.get_object(Bucket=mine["bucket"], Key=mine["key"])


def test_a_look_at_the_address_is_answered(shared_plane: ControlPlane) -> None:
    """agent.md 1.1.7: the official agent will not start without."""
    with urllib.request.urlopen(shared_plane.url, timeout=5) as answer:
        assert answer.status == 200


def test_both_names_of_the_service_are_taken(shared_plane: ControlPlane, shop: Shop, agent: Agent) -> None:
    """agent.md 1.1.3: agents with `enable_auth_policy` sign for another name and drop the target's version."""

    def rename(request: Any, **_: Any) -> None:
        request.headers["X-Amz-Target"] = request.headers["X-Amz-Target"].replace("_v20141006", "")

    agent.service.meta.events.register("before-sign.codedeploy-commands", rename)
    shop.start(Revision())
    agent.service._request_signer._signing_name = "codedeploy-commands-secure"
    assert wait_until("a command", agent.poll)["CommandName"] == "ApplicationStop"
