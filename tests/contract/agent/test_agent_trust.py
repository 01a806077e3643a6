"""Whose specifications the agent obeys, and what it refuses before acting."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from scripted_control_plane import Agent, ControlPlane, running


def test_a_specification_by_another_key_is_refused(plane: ControlPlane, agent: Agent) -> None:
    plane.deployment({})
    plane.key = Ed25519PrivateKey.generate()
    done = plane.run("ApplicationStop")
    assert (done.status, done.code) == ("Failed", 5)
    assert "another key than the one this host trusts" in done.message
    assert "specification_signer" in done.message
    assert plane.acknowledgements == []


def test_without_a_configured_signer_the_first_one_is_kept(plane: ControlPlane, tmp_path: Path) -> None:
    with running(plane, tmp_path, specification_signer=None, worker_idle_seconds=0) as agent:
        plane.deployment({})
        assert plane.run("ApplicationStop").status == "Succeeded"
        stored = agent.root / "specification-signer"
        assert stored.stat().st_mode & 0o777 == 0o600
        assert base64.b64decode(stored.read_bytes()) == plane.key.public_key().public_bytes_raw()
        plane.key = Ed25519PrivateKey.generate()
        plane.deployment({}, deployment="d-TWO")
        done = plane.run("ApplicationStop", "d-TWO")
    assert done.status == "Failed"
    assert f"delete {stored}" in done.message


def _tampered(plane: ControlPlane) -> dict[str, Any]:
    answer = plane.envelope("d-ONE")
    envelope = answer["DeploymentSpecification"]["VariantEnvelope"]
    parts = json.loads(envelope["Payload"])
    altered = base64.b64decode(parts["payload"]).replace(b"Shop", b"Shup")
    envelope["Payload"] = json.dumps(parts | {"payload": base64.b64encode(altered).decode()})
    return answer


def _pkcs7_only(plane: ControlPlane) -> dict[str, Any]:
    answer = plane.envelope("d-ONE")
    answer["DeploymentSpecification"] = {"GenericEnvelope": {"Format": "PKCS7/JSON", "Payload": "x"}}
    return answer


def _other_system(plane: ControlPlane) -> dict[str, Any]:
    return plane.envelope("d-ONE") | {"DeploymentSystem": "Other"}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_tampered, "signature is wrong"),
        (_pkcs7_only, "no longshore-ed25519 envelope"),
        (_other_system, "not CodeDeploy"),
        (lambda plane: {"DeploymentSystem": "CodeDeploy"}, "no deployment specification"),
    ],
)
def test_an_envelope_that_cannot_be_trusted_fails_the_command(
    plane: ControlPlane, agent: Agent, make: Any, said: str
) -> None:
    plane.deployment({})
    plane.scripted["GetDeploymentSpecification"].append((200, make(plane)))
    done = plane.run("ApplicationStop")
    assert done.status == "Failed"
    assert said in done.message


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"DeploymentGroupId": "g;touch x"}, "cannot name a directory"),
        ({"DeploymentGroupId": "deployment-instructions"}, "cannot name a directory"),
        ({"DeploymentId": "d-OTHER"}, "is for deployment d-OTHER"),
        ({"Revision": {"RevisionType": "Nothing"}}, "revision type 'Nothing'"),
        ({"AppSpecFilename": "../x"}, "outside the revision"),
    ],
)
def test_members_that_could_lead_astray_are_refused(
    plane: ControlPlane, agent: Agent, members: dict[str, Any], said: str
) -> None:
    plane.deployment({}, **members)
    done = plane.run("ApplicationStop")
    assert (done.status, done.code) == ("Failed", 5)
    assert said in done.message


def test_an_arn_for_a_deployment_id_is_cut(plane: ControlPlane, agent: Agent) -> None:
    plane.deployment({}, DeploymentId="arn:aws:codedeploy:us-east-1:1:deployment/d-ONE")
    assert plane.run("ApplicationStop").status == "Succeeded"
    assert (agent.root / "g-1/d-ONE").is_dir()


@pytest.mark.parametrize("kind", ["Local File", "Local Directory"])
def test_a_control_plane_does_not_deploy_what_lies_on_the_host(plane: ControlPlane, agent: Agent, kind: str) -> None:
    local = {"Location": "/etc", "BundleType": "directory"}
    plane.deployment({}, Revision={"RevisionType": kind, "LocalRevision": local})
    assert "only longshore local" in plane.run("DownloadBundle").message
