"""`longshore agent status` and `longshore agent doctor`: every fault is made for real."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from longshore.agent import config as configuration
from longshore.agent import doctor_host, doctor_network
from longshore.agent.doctor import examined
from longshore.agent.finding import Finding, Result
from tests import ports
from tests.acceptance.world import BIN, ControlPlane, Host, Revision, Shop, self_signed, wait_until

OK, WARNING, FAILED = Result.OK, Result.WARNING, Result.FAILED


def agent(command: str, config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "longshore", "agent", command, "--config", config, *words],
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )


def said(config: Path, check: str) -> tuple[Result, str]:
    """What the doctor says of one thing."""
    found = {one.check: one for one in examined(config)}
    assert check in found, found
    return found[check].result, f"{found[check].said} {found[check].step}"


class Settings:
    """A host's configuration, in which single settings can be changed."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.path = folder / "agent.yml"
        self.settings = {"root_dir": str(folder / "root"), **settings}

    def but(self, **changed: Any) -> Path:
        now = {key: value for key, value in (self.settings | changed).items() if value is not None}
        self.path.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in now.items()))
        self.path.chmod(0o600)
        return self.path


@pytest.fixture
def host(shared_plane: ControlPlane, tmp_path: Path) -> Settings:
    """An enrolled host without a running agent."""
    client = shared_plane.client("longshore")
    name = f"ill-{os.getpid()}-{time.time_ns()}"
    host = Host(name=name, folder=tmp_path, plane=shared_plane)
    shared_plane.client("codedeploy").register_on_premises_instance(instanceName=name, iamUserArn=host.arn)
    made = client.list_access_keys(userName=name)["accessKeys"]
    assert len(made) == 1
    return Settings(tmp_path, **configuration_of(tmp_path / "agent.yml"), name=name)


def configuration_of(path: Path) -> dict[str, Any]:
    found = dict(line.split(": ", 1) for line in path.read_text().splitlines())
    return {key: json.loads(value) for key, value in found.items() if key not in ("root_dir", "log_dir")}


def test_what_runs_and_what_it_deploys_is_told(
    own_plane: ControlPlane, hosts_of: Callable[..., list[Host]], shop_of: Callable[..., Shop]
) -> None:
    (host,) = hosts_of(own_plane)
    config = host.folder / "agent.yml"
    shop = shop_of(own_plane, [host])
    done = host.folder / "done"
    deployment_id = shop.start(Revision(hooks={"AfterInstall": f"while ! test -e {done}; do sleep 0.1; done"}))

    def status(code: int) -> dict[str, Any]:
        shown = agent("status", config, "--output", "json")
        assert shown.returncode == code, shown.stdout + shown.stderr
        found: dict[str, Any] = json.loads(shown.stdout)
        return found

    wait_until("the hook runs", lambda: "AfterInstall" in [one["LifecycleEvent"] for one in status(0)["Deployments"]])
    shown = status(0)
    assert shown["Running"] is True
    assert shown["Pid"] == host.agent.pid
    assert shown["State"] == "polling"
    assert shown["Deployments"] == [{"DeploymentId": deployment_id, "LifecycleEvent": "AfterInstall"}]
    assert abs(shown["LastAnswer"] - time.time()) < 60
    done.touch()
    assert shop.ended(deployment_id)["status"] == "Succeeded"
    (last,) = status(0)["LastRevisions"]
    assert (last["DeploymentId"], last["Installed"]) == (deployment_id, True)
    text = agent("status", config).stdout
    assert f"runs, process {host.agent.pid}." in text
    assert f"{deployment_id} installed" in text
    assert agent("doctor", config).returncode == 0

    own_plane.kill()
    wait_until("it notices", lambda: agent("status", config).returncode == 1)
    assert "It has not reached its control plane" in agent("status", config).stdout
    ill = agent("doctor", config)
    assert ill.returncode == 1
    assert re.search(r"^FAILED .*Nobody answers at 127.0.0.1", ill.stdout, re.MULTILINE)
    own_plane.start()
    wait_until("it is back", lambda: agent("status", config).returncode == 0)
    host.kill()
    assert status(3)["State"] == "stopped"
    assert "The agent does not run." in agent("status", config).stdout


def test_a_configuration_that_cannot_be_used(host: Settings, tmp_path: Path) -> None:
    assert said(tmp_path / "none.yml", "configuration") == (
        FAILED,
        f"cannot read the configuration file {tmp_path}/none.yml: No such file or directory. "
        f"Put it right in {tmp_path}/none.yml, then ask again.",
    )
    assert said(host.but(verbose="loud"), "configuration")[1].startswith(f"{host.path}: verbose must be true or false")
    result, text = said(host.but(max_revision=3), "configuration")
    assert result is WARNING
    assert "max_revision, name." in text
    assert agent("status", tmp_path / "none.yml").returncode == 2


def test_a_key_that_others_can_read(host: Settings) -> None:
    host.but().chmod(0o644)
    assert said(host.path, "secrets")[0] is FAILED
    host.path.chmod(0o600)
    assert said(host.path, "secrets")[0] is OK


def test_a_name_that_does_not_resolve_and_a_port_that_is_closed(host: Settings) -> None:
    result, text = said(host.but(deploy_control_endpoint="http://nowhere.invalid:8420"), "name")
    assert result is FAILED
    assert "nowhere.invalid does not resolve" in text
    port = ports.kept()
    result, text = said(host.but(deploy_control_endpoint=f"http://127.0.0.1:{port}"), "port")
    assert (result, f"Nobody answers at 127.0.0.1:{port}: Connection refused." in text) == (FAILED, True)
    checks = [one.check for one in examined(host.path)]
    assert "key" not in checks, "what is behind a closed door is not looked for"


@contextmanager
def tls_server(certificate: tuple[Path, Path]) -> Iterator[int]:
    """A server that speaks TLS with a certificate, and nothing else."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with _serving(lambda server: context.wrap_socket(server, server_side=True)) as port:
        yield port


@contextmanager
def _serving(wrap: Callable[[socket.socket], socket.socket], date: float | None = None) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate(time.time() if date is None else date, usegmt=True)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(HTTPServer):
        def handle_error(self, *_: Any) -> None:
            pass  # who does not trust us hangs up

    server = Server(("127.0.0.1", 0), Handler)
    port = server.server_address[1]
    server.socket = wrap(server.socket)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("name", "days", "is_authority", "result", "text"),
    [
        ("localhost", 1, False, FAILED, "Nobody this host trusts vouches for the certificate of localhost"),
        ("localhost", -1, True, FAILED, "The certificate of localhost has expired"),
        ("elsewhere", 1, True, FAILED, "is for another name than localhost"),
        ("localhost", 3, True, WARNING, "ends in 3 days"),
        ("localhost", 300, True, OK, "is trusted"),
    ],
)
def test_a_certificate_that_is_not_trusted(
    host: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    name: str, days: int, is_authority: bool, result: Result, text: str,
) -> None:  # fmt: skip
    certificate = self_signed(tmp_path / "tls", name, days=days)
    if is_authority:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with tls_server(certificate) as port:
        found = said(host.but(deploy_control_endpoint=f"https://localhost:{port}"), "certificate")
    assert (found[0], text in found[1]) == (result, True), found


def test_a_certificate_that_was_replaced_and_a_server_without_tls(host: Settings, tmp_path: Path) -> None:
    with tls_server(self_signed(tmp_path / "tls")) as port:
        url = f"https://localhost:{port}"
        found = said(host.but(deploy_control_endpoint=url, server_certificate_sha256="0" * 64), "certificate")
    assert found[0] is FAILED
    assert "shows another certificate than the one this host knows it by" in found[1]
    with _serving(lambda server: server) as port:
        found = said(host.but(deploy_control_endpoint=f"https://localhost:{port}"), "certificate")
    assert found[0] is FAILED
    assert "does not speak TLS" in found[1]


@pytest.mark.parametrize(("off", "result"), [(-3600, FAILED), (200, WARNING), (5, OK)])
def test_a_clock_that_is_off(host: Settings, off: float, result: Result) -> None:
    with _serving(lambda server: server, date=time.time() + off) as port:
        found = said(host.but(deploy_control_endpoint=f"http://127.0.0.1:{port}"), "clock")
    assert found[0] is result
    if off == -3600:
        assert "seconds ahead of the server's. Have the clock set by the network" in found[1]


def test_a_key_that_is_wrong_unknown_or_inactive(host: Settings, shared_plane: ControlPlane) -> None:
    iam = shared_plane.client("iam")
    key = host.settings["aws_access_key_id"]
    assert said(host.but(), "key")[0] is OK
    assert "The secret of this host's key is wrong." in said(host.but(aws_secret_access_key="x" * 40), "key")[1]
    iam.update_access_key(UserName=host.settings["name"], AccessKeyId=key, Status="Inactive")
    assert said(host.but(), "key")[0] is FAILED
    iam.delete_access_key(UserName=host.settings["name"], AccessKeyId=key)
    found = said(host.but(), "key")
    assert found[0] is FAILED
    assert "enroll this host anew" in found[1]


def test_a_host_that_no_group_means_or_that_is_not_registered(host: Settings, shared_plane: ControlPlane) -> None:
    deploy = shared_plane.client("codedeploy")
    name = host.settings["name"]
    assert said(host.but(), "groups") == (
        WARNING,
        "No deployment group means this host; it has no tags. aws deploy add-tags-to-on-premises-instances "
        f"--instance-names {name} --tags Key=…,Value=…",
    )
    shop = Shop(shared_plane, f"of-{name}")
    deploy.add_tags_to_on_premises_instances(instanceNames=[name], tags=[{"Key": "app", "Value": shop.name}])
    # More groups that come before it and mean nobody than one call looks through.
    deploy.create_application(applicationName=f"before-{name}")
    for number in range(260):
        deploy.create_deployment_group(
            applicationName=f"before-{name}",
            deploymentGroupName=f"group-{number}",
            serviceRoleArn="arn:aws:iam::000000000000:role/deploy",
        )
    assert said(host.but(), "groups") == (OK, f"It has app={shop.name}, and is in {shop.name}/prod. ")
    deploy.delete_application(applicationName=f"before-{name}")
    assert said(host.but(region="eu-west-1"), "registration")[0] is FAILED
    deploy.deregister_on_premises_instance(instanceName=name)
    found = said(host.but(), "registration")
    assert found[0] is FAILED
    assert "aws deploy register-on-premises-instance --region us-east-1" in found[1]


def test_a_signer_that_is_another(host: Settings) -> None:
    assert said(host.but(), "signer")[0] is OK
    assert said(host.but(specification_signer="A" * 43 + "="), "signer")[0] is FAILED
    assert said(host.but(specification_signer=None), "signer")[0] is WARNING


def test_a_place_that_cannot_be_written_or_has_no_room(tmp_path: Path) -> None:
    assert doctor_host.room(tmp_path / "new").result in (OK, WARNING)
    (tmp_path / "file").write_text("")
    assert doctor_host.room(tmp_path / "file" / "root").result is FAILED
    look = (
        f"from longshore.agent.doctor_host import room; from pathlib import Path; print(*room(Path({str(tmp_path)!r})))"
    )
    for size, result in (("64k", "failed"), ("1m", "warning")):
        script = f'mount -t tmpfs -o size={size} small {tmp_path}; head -c 8k /dev/zero >{tmp_path}/filler; exec "$@"'
        within = ["unshare", "--mount", "sh", "-euc", script, "sh", sys.executable, "-c", look, str(tmp_path)]
        done = subprocess.run(within, text=True, capture_output=True, timeout=60, check=False)
        assert done.stdout.split()[:2] == ["root_dir", result], done.stderr


def test_a_tool_that_is_missing(tmp_path: Path) -> None:
    assert next(doctor_host.tools(str(tmp_path))).result is WARNING
    (tmp_path / "git").write_text("#!/bin/sh\n")
    (tmp_path / "git").chmod(0o755)
    assert next(doctor_host.tools(str(tmp_path))).result is OK


def test_the_official_agent_beside_ours(tmp_path: Path) -> None:
    official = tmp_path / "codedeploy.onpremises.yml"
    harmless = [(1, "vi codedeploy-agent.yml"), (2, "tail -f /var/log/aws/codedeploy-agent/codedeploy-agent.log")]
    assert doctor_host.alone("arn:1", official, harmless).result is OK
    other = subprocess.Popen(["bash", "-c", "exec -a 'codedeploy-agent: master 4711' sleep 60"])
    try:

        def found() -> Finding | None:
            finding = doctor_host.alone("arn:1", official, doctor_host.running_commands())
            return finding if finding.result is not OK else None

        seen = wait_until("it is seen", found)
        assert (seen.result, f"process {other.pid}" in seen.said) == (FAILED, True)
        official.write_text(":iam_user_arn: arn:1\n")
        assert found().result is FAILED  # type: ignore[union-attr]
        official.write_text(":iam_user_arn: arn:2\n")
        assert found().result is WARNING  # type: ignore[union-attr]
    finally:
        other.kill()
        other.wait()


def test_a_control_plane_that_cannot_be_asked(host: Settings, tmp_path: Path) -> None:
    with _serving(lambda server: server) as port:
        config = configuration.load(host.but(deploy_control_endpoint=f"http://127.0.0.1:{port}"), {})
        (finding,) = doctor_network.itself(config, None)
    assert finding.result is WARNING
    assert "no Longshore that can be asked" in finding.said
