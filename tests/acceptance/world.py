"""What an acceptance test has: a control plane, hosts and revisions, all real processes and real tools."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import botocore
import botocore.session
import psutil
from botocore.config import Config
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from longshore import models
from longshore.onebox.machinery.host_view import HostView
from tests import ports

BIN = Path(sys.executable).parent
ACCOUNT = "000000000000"
REGION = "us-east-1"
FINAL = ("Succeeded", "Failed", "Stopped")


def missing_tool(name: str) -> str | None:
    """Why a test cannot be carried out; None: this machine has the program."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    return None if found else f"{name} is not on this machine; .ci/host-tools installs it"


def wait_until(what: str, condition: Callable[[], Any], *, seconds: float = 30.0) -> Any:
    """The first true value of `condition`; fails with `what` when there is none in time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.02)


def self_signed(folder: Path, name: str = "localhost", *, days: int = 1) -> tuple[Path, Path]:
    """A certificate of one's own for a name, and its key; `days` from now on it ends."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


class ControlPlane:
    """A `longshore server` process that can be killed and started again."""

    def __init__(self, folder: Path, *, options: tuple[str, ...] = (), ca: Path | None = None) -> None:
        """`options` are further words for the command; `ca` is what clients must trust when it speaks TLS."""
        self.options = options
        self.ca = ca
        self.data_dir = folder / "data"
        self.log = folder / "server.log"
        self.port = ports.kept()
        self._process: subprocess.Popen[str] | None = None
        self.environ: dict[str, str] = {}

    def start(self, *options: str) -> None:
        """Start it, on the port and data of the last time; `options` are further words of the command line."""
        command = [
            BIN / "longshore",
            "server",
            "--data-dir",
            self.data_dir,
            "--listen",
            f"127.0.0.1:{self.port}",
            *self.options,
        ]
        command += options
        with self.log.open("a") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._process.stdout is not None
        exports: dict[str, str] = {}
        for line in self._process.stdout:
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").strip().partition("=")
                exports[name] = value
            if "AWS_REGION" in exports:
                break
        assert "AWS_REGION" in exports, self.log.read_text()[-2000:]
        self.environ = exports

    @property
    def url(self) -> str:
        return self.environ["AWS_ENDPOINT_URL"]

    @property
    def process(self) -> psutil.Process:
        assert self._process is not None
        return psutil.Process(self._process.pid)

    def kill(self) -> None:
        """`kill -9`: no chance to tidy up."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, as an init system would; returns the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(how)
        code = self._process.wait(timeout=30)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None
        return code

    # Clients.

    def run(
        self, *words: str | Path, cwd: Path | None = None, check: bool = True, stdin: Any = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one of our commands or the aws CLI, pointed here by the export lines alone."""
        environ = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")} | self.environ
        # The models of the botocore we serve: the CLI brings a copy that may be older and know fewer options.
        environ["AWS_DATA_PATH"] = str(Path(botocore.__file__).parent / "data")
        done = subprocess.run(
            [str(BIN / words[0]), *map(str, words[1:])],
            env=environ,
            cwd=cwd,
            stdin=stdin,
            text=True,
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done

    def aws(self, *words: str | Path, cwd: Path | None = None) -> Any:
        """The answer of `aws …`, parsed."""
        out = self.run("aws", *words, "--output", "json", cwd=cwd).stdout
        return json.loads(out) if out.strip().startswith(("{", "[")) else out

    def client(self, service: str, *, region: str = REGION, keys: Sequence[str] | None = None) -> Any:
        """boto3, as the account's owner or with other keys: id, secret, and a session's token."""
        core = botocore.session.Session()
        core.get_component("data_loader").search_paths.insert(0, str(models.DATA_PATH))
        return boto3.session.Session(botocore_session=core).client(
            service,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id=(keys or self.owner)[0],
            aws_secret_access_key=(keys or self.owner)[1],
            aws_session_token=keys[2] if keys and len(keys) > 2 else None,
            verify=str(self.ca) if self.ca else None,
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60),
        )

    @property
    def owner(self) -> tuple[str, str]:
        lines = (self.data_dir / "credentials").read_text().splitlines()
        values = dict(line.split(" = ") for line in lines if " = " in line)
        return values["aws_access_key_id"], values["aws_secret_access_key"]


@dataclass
class Host:
    """A registered on-premises instance with a real agent, in a file system view of its own if it has one."""

    name: str
    folder: Path
    plane: ControlPlane
    view: HostView | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    #: What the configuration says of who it is; if not given, a user of its name with a key.
    identity: Mapping[str, Any] | None = None
    #: The command of the agent, to which `run --config FILE` is added.
    program: tuple[str, ...] = (str(BIN / "longshore"), "agent")
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        where = Path("/opt/agent") if self.view else self.folder
        config = {
            **(self._made_user() if self.identity is None else self.identity),
            "deploy_control_endpoint": self.plane.url,
            "root_dir": str(where / "root"),
            "log_dir": str(where / "log"),
            **self.settings,
        }
        (self.folder / "agent.yml").write_text(
            "".join(f"{key}: {json.dumps(value)}\n" for key, value in config.items())
        )
        (self.folder / "agent.yml").chmod(0o600)

    def _made_user(self) -> dict[str, Any]:
        made = self.plane.client("longshore").create_access_key(userName=self.name)["accessKey"]
        self.keys = (made["accessKeyId"], made["secretAccessKey"])
        self.arn = made["userArn"]
        return {
            "region": REGION,
            "iam_user_arn": self.arn,
            "aws_access_key_id": self.keys[0],
            "aws_secret_access_key": self.keys[1],
            "specification_signer": made["specificationSigner"],
        }

    def start(self) -> Host:
        config = self.folder / "agent.yml"
        if self.view is not None:
            # What stands there before the host starts is what it will see.
            inside = self.view.written("/opt/agent.yml")
            inside.parent.mkdir(parents=True, exist_ok=True)
            inside.write_text(config.read_text())
            config = Path("/opt/agent.yml")
            self.view.start()
        command = [*self.program, "run", "--config", str(config)]
        if self.view is not None:
            command = self.view.command(command)
        with (self.folder / "agent.out").open("ab") as out:
            environ = os.environ | ({"SSL_CERT_FILE": str(self.plane.ca)} if self.plane.ca else {})
            self._process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True, env=environ)
        return self

    @property
    def agent(self) -> psutil.Process:
        """The poller: the process that runs `longshore agent run` itself and not what started it."""
        assert self._process is not None
        first = psutil.Process(self._process.pid)
        return next(
            process for process in [first, *first.children(recursive=True)] if "python" in Path(process.exe()).name
        )

    @property
    def workers(self) -> list[psutil.Process]:
        """The agent's processes that carry out deployments, one each."""
        return [child for child in self.agent.children() if _is_agent(child)]

    @property
    def log(self) -> str:
        logs = [self.folder / "agent.out", *sorted((self.root.parent / "log").glob("*.log"))]
        return "\n".join(path.read_text(errors="replace") for path in logs if path.exists())

    @property
    def root(self) -> Path:
        """The agent's root_dir, seen from here."""
        return self.view.written("/opt/agent/root") if self.view else self.folder / "root"

    @property
    def processes(self) -> list[psutil.Process]:
        """The agent and its workers, not what their hooks started."""
        return [self.agent, *self.workers]

    def kill(self, *, workers: bool = True) -> None:
        """`kill -9` of all the agent's processes at one moment, or of its poller alone; hooks are not of its group."""
        assert self._process is not None
        if workers:
            os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self.agent.kill()
        self._wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess, StopIteration):
                self.agent.terminate()
            try:
                self._process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._wait()

    def remove(self) -> None:
        self.stop()
        if self.view is not None:
            self.view.remove()

    def _wait(self) -> None:
        if self._process is not None:
            self._process.wait(timeout=30)
            self._process = None


def _is_agent(process: psutil.Process) -> bool:
    try:
        return "longshore" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False  # it has just ended


def service_role(plane: ControlPlane, *, name: str = "deploy", rights: bool = True) -> str:
    """A role that CodeDeploy may assume, with AWS's policy for it unless it shall have no rights; its ARN.

    "deploy" is the one that every shop's group names.
    """
    iam = plane.client("iam")
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "codedeploy.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    trust = json.dumps({"Version": "2012-10-17", "Statement": statement})
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    if rights:
        iam.attach_role_policy(RoleName=name, PolicyArn="arn:aws:iam::aws:policy/service-role/AWSCodeDeployRole")
    return arn


@dataclass
class Revision:
    """A bundle to be: an AppSpec, files and scripts."""

    #: Script text by lifecycle event; each becomes `scripts/<event>.sh`.
    hooks: Mapping[str, str] = field(default_factory=dict)
    #: Content by path in the bundle.
    files: Mapping[str, str] = field(default_factory=dict)
    #: Destination by source, as in the AppSpec's `files`.
    install: Mapping[str, str] = field(default_factory=dict)
    #: Further members of every hook.
    hook_options: Mapping[str, Any] = field(default_factory=dict)
    #: The AppSpec's text, if not made from the above.
    appspec: str | bytes | None = None

    def entries(self) -> Iterator[tuple[str, bytes, int]]:
        """Path, content and mode of everything in the bundle."""
        yield "appspec.yml", self._appspec(), 0o644
        for event, text in self.hooks.items():
            yield f"scripts/{event}.sh", f"#!/bin/sh\n{text}\n".encode(), 0o755
        for path, content in self.files.items():
            yield path, content.encode(), 0o644

    def zip(self) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle:
            for path, content, mode in self.entries():
                entry = zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0))
                entry.external_attr = (0o100000 | mode) << 16
                bundle.writestr(entry, content)
        return out.getvalue()

    def write(self, folder: Path) -> Path:
        """Lay it out on disk, for `aws deploy push`."""
        for path, content, mode in self.entries():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            file.chmod(mode)
        return folder

    def _appspec(self) -> bytes:
        if self.appspec is not None:
            return self.appspec if isinstance(self.appspec, bytes) else self.appspec.encode()
        spec: dict[str, Any] = {"version": 0.0, "os": "linux"}
        if self.install:
            spec["files"] = [{"source": source, "destination": to} for source, to in self.install.items()]
        if self.hooks:
            spec["hooks"] = {event: [{"location": f"scripts/{event}.sh", **self.hook_options}] for event in self.hooks}
        return json.dumps(spec).encode()


class Shop:
    """An application with one deployment group of some hosts, as a user would have made them."""

    def __init__(self, plane: ControlPlane, name: str, *, bucket: str = "releases") -> None:
        self.plane = plane
        self.name = name
        self.bucket = bucket
        self.deploy = plane.client("codedeploy")
        self.s3 = plane.client("s3")
        self._revisions = 0
        if bucket not in [one["Name"] for one in self.s3.list_buckets()["Buckets"]]:
            self.s3.create_bucket(Bucket=bucket)
        self.deploy.create_application(applicationName=name)
        self.deploy.create_deployment_group(
            applicationName=name,
            deploymentGroupName="prod",
            serviceRoleArn=f"arn:aws:iam::{ACCOUNT}:role/deploy",
            deploymentConfigName="CodeDeployDefault.AllAtOnce",
            onPremisesInstanceTagFilters=[{"Key": "app", "Value": name, "Type": "KEY_AND_VALUE"}],
        )

    def join(self, host: Host) -> None:
        """Register a host, if it is not yet, and give it this application's tag."""
        with contextlib.suppress(self.deploy.exceptions.InstanceNameAlreadyRegisteredException):
            self.deploy.register_on_premises_instance(instanceName=host.name, iamUserArn=host.arn)
        self.deploy.add_tags_to_on_premises_instances(
            instanceNames=[host.name], tags=[{"Key": "app", "Value": self.name}]
        )

    def push(self, revision: Revision | bytes, *, bundle_type: str = "zip") -> dict[str, Any]:
        """Upload a bundle; returns its location."""
        self._revisions += 1
        key = f"{self.name}/{self._revisions}.{bundle_type}"
        body = revision if isinstance(revision, bytes) else revision.zip()
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return {"revisionType": "S3", "s3Location": {"bucket": self.bucket, "key": key, "bundleType": bundle_type}}

    def start(self, revision: Revision | bytes | dict[str, Any], **options: Any) -> str:
        """Create a deployment; returns its id."""
        location = revision if isinstance(revision, dict) else self.push(revision)
        created = self.deploy.create_deployment(
            applicationName=self.name, deploymentGroupName="prod", revision=location, **options
        )
        return str(created["deploymentId"])

    def info(self, deployment_id: str) -> dict[str, Any]:
        info: dict[str, Any] = self.deploy.get_deployment(deploymentId=deployment_id)["deploymentInfo"]
        return info

    def ended(self, deployment_id: str, *, seconds: float = 60.0) -> dict[str, Any]:
        """The deployment, once it has ended."""

        def info() -> dict[str, Any] | None:
            found = self.info(deployment_id)
            return found if found["status"] in FINAL else None

        found: dict[str, Any] = wait_until(f"{deployment_id} ends", info, seconds=seconds)
        return found

    def run(self, revision: Revision | bytes | dict[str, Any], **options: Any) -> tuple[str, dict[str, Any]]:
        """Deploy and wait; returns the id and the deployment."""
        deployment_id = self.start(revision, **options)
        return deployment_id, self.ended(deployment_id)

    def target(self, deployment_id: str, host: str) -> dict[str, Any]:
        answer = self.deploy.get_deployment_target(deploymentId=deployment_id, targetId=host)
        target: dict[str, Any] = answer["deploymentTarget"]["instanceTarget"]
        return target

    def events(self, deployment_id: str, host: str) -> dict[str, dict[str, Any]]:
        """A host's lifecycle events by name."""
        events = self.target(deployment_id, host)["lifecycleEvents"]
        return {event["lifecycleEventName"]: event for event in events}

    def statuses(self, deployment_id: str, host: str) -> list[str]:
        return [event["status"] for event in self.events(deployment_id, host).values()]

    def failure(self, deployment_id: str, host: str) -> dict[str, Any]:
        """The diagnostics of the event that failed on a host, with the event's name added."""
        for name, event in self.events(deployment_id, host).items():
            if event["status"] == "Failed":
                return {"event": name, **event["diagnostics"]}
        raise AssertionError(f"nothing failed on {host}: {self.statuses(deployment_id, host)}")
