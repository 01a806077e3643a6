"""(f) What an idle agent costs its host: memory, CPU, how soon it polls; and what a large deployment leaves behind.

Ours as a host has it: enrolled, started with the words of its systemd unit. The peer is the runtime of the official
agent: Ruby with the libraries that it loads, as far as this machine has them, and nothing that it does with them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench import report, setting
from bench.report import Figure, Report
from bench.setting import BenchError, Server

_STARTS = 7
_IDLE_SECONDS = 60.0
_FILES = 20_000
#: The official agent's gems (its gemspec), by what is required of each, and what it requires of Ruby's own.
_GEMS = (
    "aws-sdk-core",
    "aws-sdk-s3",
    "concurrent",
    "logging",
    "zip",
    "archive/tar/minitar",
    "gli",
    "simple_pid",
    "docopt",
)
_RUBY = f"""
loaded, missing = %w[{" ".join(_GEMS)} openssl json yaml net/http].partition do |name|
  require name
  true
rescue LoadError
  false
end
puts [RUBY_VERSION, loaded.join(" "), missing.join(" ")].join("|")
STDOUT.flush
sleep
"""
#: Where distributions have the list of authorities that a host trusts.
_LISTS = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
_CPU_TICK = 1 / os.sysconf("SC_CLK_TCK")


def benchmark() -> Report:
    """Measure everything, one after the other."""
    with setting.ground() as ground:
        report.note("starting a server, enrolling an agent")
        with setting.server(ground, embedded=True) as server:
            command = _enrolled(server, ground / "plain", "plain")
            first_polls = _first_polls(command, ground / "plain")
            with _agent(command, ground / "plain") as agent:
                idle = _resident(agent)
                report.note(f"watching it do nothing for {_IDLE_SECONDS:.0f} s")
                cpu = _cpu_of_idleness(agent)
                report.note(f"deploying {_FILES:,} files")
                after = _after_a_large_deployment(server, agent, ground)
        report.note("the same with TLS")
        certificate = _certificate(ground)
        tls = ("--tls-cert", str(certificate[0]), "--tls-key", str(certificate[1]))
        os.environ["AWS_CA_BUNDLE"] = str(certificate[0])
        with setting.server(ground / "tls", *tls, embedded=True) as server:
            command = _enrolled(server, ground / "tls", "tls")
            with _agent(command, ground / "tls") as agent:
                idle_tls = _resident(agent)
            with _agent(_vouched_for(command, ground, certificate[0]), ground / "tls") as agent:
                idle_vouched = _resident(agent)
        peer = _ruby(ground)
    return _report(idle, idle_tls, idle_vouched, after, cpu, first_polls, peer)


def _enrolled(server: Server, folder: Path, name: str) -> list[str]:
    """The words that start the agent of a new host."""
    folder.mkdir(exist_ok=True)
    tags = [{"key": "role", "value": name}]
    token = server.client("longshore").create_enrollment_token(tags=tags)["token"]
    words = [setting.program("longshore"), "agent", "enroll", "--server", server.url, "--token", token, "--name", name]
    words += ["--tag", f"role={name}", "--config", str(folder / "agent.yml"), "--root", str(folder / "root")]
    done = subprocess.run(
        [*words, "--output", "json"], capture_output=True, text=True, check=False, env=setting.environment()
    )
    if done.returncode:
        raise BenchError(f"The host cannot be enrolled: {done.stderr}")
    return [sys.executable, "-I", "-m", "longshore.agent", "run", "--config", json.loads(done.stdout)["Config"]]


def _vouched_for(command: list[str], ground: Path, certificate: Path) -> list[str]:
    """The same for a host that knows its server by one of all the authorities that it trusts, in one list."""
    trusted = ground / "trusted.pem"
    paths = ssl.get_default_verify_paths()
    others = next((Path(path) for path in (paths.cafile, *_LISTS) if path and Path(path).exists()), None)
    trusted.write_bytes((others.read_bytes() if others else b"") + certificate.read_bytes())
    config = Path(command[-1])
    unpinned = config.with_name("unpinned.yml")
    lines = config.read_text().splitlines(keepends=True)
    unpinned.write_text("".join(line for line in lines if not line.startswith("server_certificate_sha256")))
    return ["env", f"SSL_CERT_FILE={trusted}", *command[:-1], str(unpinned)]


@contextlib.contextmanager
def _agent(command: list[str], folder: Path) -> Iterator[int]:
    """A running agent whose first poll is parked."""
    with setting.process(command, output=folder / "agent.out") as running:
        _wait_for_poll(folder)
        time.sleep(2)
        yield running.pid


def _wait_for_poll(folder: Path) -> None:
    """Until the agent has noted that it sent one."""
    presence = folder / "root" / "longshore-agent.lock"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if b'"state": "asking"' in presence.read_bytes():
                return
        time.sleep(0.001)
    raise BenchError(f"The agent does not poll: {(folder / 'agent.err').read_text()[-2000:]}")


def _first_polls(command: list[str], folder: Path) -> list[float]:
    """Seconds from the start of an agent to its first poll on the wire."""
    found = []
    for _ in range(_STARTS + 1):
        (folder / "root" / "longshore-agent.lock").unlink(missing_ok=True)
        began = time.perf_counter()
        with setting.process(command, output=folder / "agent.out"):
            _wait_for_poll(folder)
            found.append(time.perf_counter() - began)
    return found[1:]


def _resident(process_id: int) -> float:
    """Megabytes (10⁶ bytes) resident."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process_id}/status").read_text())
    assert found
    return int(found[1]) * 1024 / 1e6


def _cpu_of_idleness(process_id: int) -> float:
    before = setting.cpu_of_tree(process_id)
    time.sleep(_IDLE_SECONDS)
    return (setting.cpu_of_tree(process_id) - before) / _IDLE_SECONDS * 1000


def _after_a_large_deployment(server: Server, agent: int, ground: Path) -> float:
    bundle = _large_bundle(ground)
    revision = setting.upload(server, bundle, bundle_type="tgz")
    codedeploy = server.client("codedeploy")
    group = setting.make_group(codedeploy, "plain")
    setting.deploy(codedeploy, group, revision, look_every=0.2)
    children = Path(f"/proc/{agent}/task/{agent}/children")
    deadline = time.monotonic() + 60
    while children.read_text().strip():
        if time.monotonic() > deadline:
            raise BenchError("The worker of a deployment that is over does not end.")
        time.sleep(0.2)
    return _resident(agent)


def _large_bundle(ground: Path) -> Path:
    source = ground / "large"
    for number in range(_FILES):
        place = source / "files" / f"{number // 200}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}").write_text("x" * 1024)
    files = f"files:\n  - source: files\n    destination: {ground / 'installed'}\n"
    (source / "appspec.yml").write_text(f"version: 0.0\nos: linux\n{files}")
    bundle = ground / "large.tgz"
    with tarfile.open(bundle, "w:gz", compresslevel=1) as tar:
        tar.add(source, arcname=".")
    return bundle


def _certificate(ground: Path) -> tuple[Path, Path]:
    """A self-signed certificate for loopback, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (ground / "tls").mkdir()
    paths = ground / "tls" / "cert.pem", ground / "tls" / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return paths


@dataclass(frozen=True, kw_only=True)
class _Ruby:
    """Ruby with what it loads for the official agent."""

    version: str
    megabytes: float
    #: Until all is loaded.
    seconds: float
    loaded: str
    #: What the official agent loads and this machine has not.
    missing: str


def _ruby(ground: Path) -> _Ruby | None:
    if (ruby := shutil.which("ruby")) is None:
        return None
    report.note("loading Ruby with the official agent's libraries")
    output = ground / "ruby.out"
    began = time.perf_counter()
    with setting.process([ruby, "-e", _RUBY], output=output) as running:
        while not output.read_text().endswith("\n"):
            if running.poll() is not None or time.perf_counter() > began + 60:
                raise BenchError(f"Ruby does not load: {output.with_suffix('.err').read_text()[-1000:]}")
            time.sleep(0.005)
        seconds = time.perf_counter() - began
        version, loaded, missing = output.read_text().strip().split("|")
        time.sleep(1)
        return _Ruby(version=version, megabytes=_resident(running.pid), seconds=seconds, loaded=loaded, missing=missing)


def _about(peer: _Ruby | None) -> str:
    if peer is None:
        return "Peer: none; there is no Ruby on this machine."
    missing = f" The official agent loads these too, and they are not here: {peer.missing}." if peer.missing else ""
    return (
        f"Peer: one Ruby {peer.version}, asleep, with these loaded: {peer.loaded}.{missing} The agent itself is two "
        "such processes, with its own code and an AWS client made; those are not measured here."
    )


def _report(
    idle: float,
    idle_tls: float,
    idle_vouched: float,
    after: float,
    cpu: float,
    first_polls: list[float],
    peer: _Ruby | None,
) -> Report:
    who, theirs = ("Ruby", peer.megabytes) if peer else (None, None)
    return Report(
        name="An idle agent, and what a large deployment leaves behind",
        setting=(
            "An enrolled host's agent, started as its unit does it, one poll parked. MB are 10⁶ bytes resident "
            "(VmRSS), shared libraries included.",
            f"CPU over {_IDLE_SECONDS:.0f} s; the clock ticks in {_CPU_TICK * 1000:.0f} ms. First polls: medians of "
            f"{_STARTS} starts after one of warm-up, from the start of the process to the request on the wire.",
            f"The deployment: {_FILES:,} files of 1 KiB, tgz; memory of what is left once its worker has ended.",
            _about(peer),
        ),
        figures=(
            Figure(
                what="idle memory",
                unit="MB",
                ours=idle,
                peer=who,
                theirs=theirs,
                goal=("at most 25 MB", idle <= 25),
            ),
            Figure(
                what="idle memory, TLS to the control plane, pinned",
                unit="MB",
                ours=idle_tls,
                peer=who,
                theirs=theirs,
                goal=("at most 25 MB", idle_tls <= 25),
            ),
            Figure(
                what="idle memory, TLS by an authority of the host",
                unit="MB",
                ours=idle_vouched,
                peer=who,
                theirs=theirs,
                goal=("at most 25 MB", idle_vouched <= 25),
            ),
            Figure(what=f"memory after {_FILES:,} files", unit="MB", ours=after, goal=("as idle", after <= idle + 1)),
            Figure(what="CPU while idle", unit="ms a second", ours=cpu, goal=("none to be measured", cpu < 1)),
            report.of_runs(
                "start to first poll (peer: to loaded)",
                "s",
                first_polls,
                peer=who,
                theirs=[peer.seconds] if peer else (),
                goal=lambda figure: ("within 0.5 s", figure.ours <= 0.5),
            ),
        ),
    )


if __name__ == "__main__":
    report.main(benchmark)
