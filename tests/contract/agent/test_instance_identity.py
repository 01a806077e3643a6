"""An agent on an EC2 instance: it learns who it is, where, and its keys from the metadata service, over real HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from scripted_control_plane import Agent, ControlPlane, wait_for

from longshore.agent import instance_metadata
from longshore.agent.config import load
from longshore.agent.errors import AgentError, ConfigError

ARN = "arn:aws-cn:ec2:cn-north-1:123456789012:instance/i-0abc"


class MetadataService:
    """An instance's metadata service, as AWS describes it: version 2, and 1 if told so."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.valid: set[str] = set()
        self.keys = 0
        self.lasts = 3600.0
        self.version_1 = False
        self.broken = 0
        self.seen: list[str] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                service.put(self)

            def do_GET(self) -> None:
                service.get(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{self._server.server_address[1]}/"}

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def put(self, handler: BaseHTTPRequestHandler) -> None:
        if self.version_1 or handler.path != "/latest/api/token":
            return _answer(handler, 404, "")
        assert int(handler.headers["x-aws-ec2-metadata-token-ttl-seconds"]) <= 21600
        self.tokens.append(f"token-{len(self.tokens)}")
        self.valid.add(self.tokens[-1])
        _answer(handler, 200, self.tokens[-1])

    def get(self, handler: BaseHTTPRequestHandler) -> None:
        self.seen.append(handler.path)
        if self.broken:
            self.broken -= 1
            return _answer(handler, 500, "later")
        if not self.version_1 and handler.headers.get("x-aws-ec2-metadata-token") not in self.valid:
            return _answer(handler, 401, "")
        role = "/latest/meta-data/iam/security-credentials/"
        if handler.path == role + "deploy-role":
            self.keys += 1
        pages = {
            "/latest/dynamic/instance-identity/document": json.dumps(
                {"region": "cn-north-1", "accountId": "123456789012", "instanceId": "i-0abc"}
            ),
            "/latest/meta-data/services/partition": "aws-cn",
            "/latest/meta-data/services/domain": "amazonaws.com.cn",
            role: "deploy-role",
            role + "deploy-role": json.dumps(
                {
                    "Code": "Success",
                    "AccessKeyId": f"ASIA{self.keys}",
                    "SecretAccessKey": "secret",
                    "Token": f"session-{self.keys}",
                    "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.lasts)),
                }
            ),
        }
        _answer(handler, 200 if handler.path in pages else 404, pages.get(handler.path, ""))


def _answer(handler: BaseHTTPRequestHandler, status: int, text: str) -> None:
    handler.send_response(status)
    handler.send_header("content-length", str(len(text)))
    handler.end_headers()
    handler.wfile.write(text.encode())


@pytest.fixture
def metadata() -> Iterator[MetadataService]:
    made = MetadataService()
    yield made
    made.stop()


NOBODY: dict[str, Any] = dict.fromkeys(("region", "iam_user_arn", "aws_access_key_id", "aws_secret_access_key"))


def test_an_instance_polls_as_itself_with_the_keys_of_its_role(
    plane: ControlPlane, tmp_path: Path, metadata: MetadataService
) -> None:
    """With keys that end at once, too: each request is signed with keys that are good."""
    metadata.lasts = 2.0
    plane.hold = 0.2
    agent = Agent(plane, tmp_path, on_premises_config_file=str(tmp_path / "none.yml"), **NOBODY)
    try:
        agent.start(**metadata.environ, AWS_REGION="")
        wait_for(lambda: len(plane.polls) > 2, "polls")
        assert f"as {ARN}" in agent.log()
        signed = [
            headers["authorization"] for operation, headers, _ in plane.requests if operation == "PollHostCommand"
        ]
        assert all("/cn-north-1/codedeploy-commands/aws4_request" in one for one in signed)
        tokens = {headers["x-amz-security-token"] for _, headers, _ in plane.requests}
        assert len(tokens) > 1
        assert json.loads(plane.requests[0][2])["HostIdentifier"] == ARN
        assert len(metadata.tokens) == 1
    finally:
        agent.end()


def test_the_endpoint_is_that_of_the_instances_region_and_domain(tmp_path: Path, metadata: MetadataService) -> None:
    file = tmp_path / "agent.yml"
    file.write_text(f"on_premises_config_file: {tmp_path}/none.yml\nenable_auth_policy: true\n")
    loaded = load(file, metadata.environ)
    assert loaded.endpoint == "https://codedeploy-commands-secure.cn-north-1.amazonaws.com.cn"
    assert loaded.identity.host_identifier == ARN
    moved = load(file, metadata.environ | {"AWS_REGION": "cn-northwest-1", "AWS_HOST_IDENTIFIER": "arn:of:a/host"})
    assert (moved.identity.region, moved.identity.host_identifier) == ("cn-northwest-1", "arn:of:a/host")


def test_a_token_that_was_forgotten_is_replaced_and_a_hiccup_is_tried_again(metadata: MetadataService) -> None:
    asked = instance_metadata.Metadata(metadata.environ)
    assert asked.get("/latest/meta-data/services/partition") == "aws-cn"
    metadata.valid.clear()
    assert asked.get("/latest/meta-data/services/partition") == "aws-cn"
    assert len(metadata.tokens) == 2
    metadata.broken = 2
    assert asked.get("/latest/meta-data/services/partition") == "aws-cn"
    with pytest.raises(instance_metadata.MetadataError, match="answered 404"):
        asked.get("/latest/meta-data/nothing")


def test_keys_are_renewed_before_they_end_and_outlive_a_service_that_is_away(metadata: MetadataService) -> None:
    role = instance_metadata.InstanceRole(instance_metadata.Metadata(metadata.environ))
    assert role.credentials() == role.credentials() == ("ASIA1", "secret", "session-1")
    metadata.lasts = 200.0  # less than what they are renewed before
    renewed = instance_metadata.InstanceRole(instance_metadata.Metadata(metadata.environ))
    assert [renewed.credentials().access_key for _ in range(3)] == ["ASIA2", "ASIA3", "ASIA4"]
    metadata.broken = 1000
    assert renewed.credentials().access_key == "ASIA4"


def test_version_1_is_asked_only_where_it_is_allowed(tmp_path: Path, metadata: MetadataService) -> None:
    metadata.version_1 = True
    file = tmp_path / "agent.yml"
    file.write_text(f"on_premises_config_file: {tmp_path}/none.yml\n")
    assert load(file, metadata.environ).identity.host_identifier == ARN
    file.write_text(f"on_premises_config_file: {tmp_path}/none.yml\ndisable_imds_v1: true\n")
    with pytest.raises(AgentError, match=r"this host has no identity\. Enroll it .* gave no token \(404\)"):
        load(file, metadata.environ)


def test_a_host_that_is_no_instance_hears_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "agent.yml"
    file.write_text(f"on_premises_config_file: {tmp_path}/none.yml\n")
    for environ in ({"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1"}, {"AWS_EC2_METADATA_DISABLED": "true"}):
        with pytest.raises(AgentError, match="this host has no identity"):
            load(file, environ)


def test_a_region_without_fips_endpoints_is_refused(tmp_path: Path, metadata: MetadataService) -> None:
    file = tmp_path / "agent.yml"
    file.write_text(f"on_premises_config_file: {tmp_path}/none.yml\nuse_fips_mode: true\n")
    with pytest.raises(ConfigError, match="use_fips_mode is for regions of the United States, and cn-north-1 is none"):
        load(file, metadata.environ)
    loaded = load(file, metadata.environ | {"AWS_REGION": "us-west-2"})
    assert loaded.endpoint == "https://codedeploy-commands-fips.us-west-2.amazonaws.com"
