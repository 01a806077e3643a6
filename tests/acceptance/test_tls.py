"""The server's own TLS: which versions, which files, and a certificate that is renewed under way."""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tests.acceptance.world import ControlPlane, service_role, wait_until
from tests.bundle_host import certificate_for
from tests.webhook import Webhook

Files = tuple[Path, Path]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A certificate and its key."""
    return made(tmp_path / "first")


def made(folder: Path) -> Files:
    folder.mkdir()
    return certificate_for(folder, "localhost")


@pytest.fixture
def plane(tmp_path: Path, files: Files) -> Iterator[ControlPlane]:
    words = ("--tls-cert", str(files[0]), "--tls-key", str(files[1]), "--log-format", "json")
    started = ControlPlane(tmp_path, options=words, ca=files[0])
    started.start()
    yield started
    started.stop()


def handshake(plane: ControlPlane, *, highest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED) -> tuple[str, bytes]:
    """The version agreed on, and the certificate that was shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if highest is ssl.TLSVersion.TLSv1_1:
        # What this machine's own settings would not even try.
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    context.maximum_version = highest
    with (
        socket.create_connection(("127.0.0.1", plane.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        shown = connection.getpeercert(binary_form=True)
        return str(connection.version()), shown or b""


def der(files: Files) -> bytes:
    return ssl.PEM_cert_to_DER_cert(files[0].read_text())


def replace(old: Files, new: Files) -> None:
    for to, source in zip(old, new, strict=True):
        shutil.copyfile(source, to)


def token(plane: ControlPlane) -> str:
    """A new enrollment token."""
    made = plane.client("longshore").create_enrollment_token()
    return str({name: value for name, value in made.items() if name != "ResponseMetadata"})


def logged(plane: ControlPlane, event: str) -> list[dict[str, str]]:
    lines = [json.loads(line) for line in plane.log.read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_1_2_is_the_oldest_version_spoken(plane: ControlPlane, files: Files) -> None:
    assert handshake(plane) == ("TLSv1.3", der(files))
    assert handshake(plane, highest=ssl.TLSVersion.TLSv1_2)[0] == "TLSv1.2"
    with pytest.raises(ssl.SSLError):
        handshake(plane, highest=ssl.TLSVersion.TLSv1_1)


def test_a_renewed_certificate_is_shown_to_new_connections_and_old_ones_stay(
    tmp_path: Path, plane: ControlPlane, files: Files
) -> None:
    trust = ssl.create_default_context(cafile=str(files[0]))
    kept = http.client.HTTPSConnection("localhost", plane.port, context=trust, timeout=10)
    kept.request("GET", "/healthz")
    assert kept.getresponse().read() == b"ok\n"
    renewed = made(tmp_path / "second")
    replace(files, renewed)
    plane.process.send_signal(signal.SIGHUP)
    wait_until("the new one is shown", lambda: handshake(plane)[1] == der(renewed))
    kept.request("GET", "/healthz")
    assert kept.getresponse().read() == b"ok\n"
    kept.close()
    # A host that enrolls from now on is told to expect it.
    wait_until("tokens name it", lambda: hashlib.sha256(der(renewed)).hexdigest() in token(plane))
    # Without a signal too, a little later.
    third = made(tmp_path / "third")
    replace(files, third)
    wait_until("the third is shown", lambda: handshake(plane)[1] == der(third))


def test_a_renewal_that_went_wrong_leaves_the_last_one_in_use(
    tmp_path: Path, plane: ControlPlane, files: Files
) -> None:
    before = der(files)
    shutil.copyfile(made(tmp_path / "other")[0], files[0])
    plane.process.send_signal(signal.SIGHUP)
    (refused, *_) = wait_until("it is refused", lambda: logged(plane, "tls_certificate_refused"))
    assert "does not belong to the certificate" in refused["reason"]
    assert handshake(plane)[1] == before


def _of_another(certificate: Path, key: Path, other: Files) -> None:
    shutil.copyfile(other[1], key)


def _swapped(certificate: Path, key: Path, other: Files) -> None:
    shutil.copyfile(other[1], certificate)


def _no_key(certificate: Path, key: Path, other: Files) -> None:
    key.write_text("made by hand\n")


def _locked(certificate: Path, key: Path, other: Files) -> None:
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"opensesame")
    key.write_bytes(loaded.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))


def _unreadable(certificate: Path, key: Path, other: Files) -> None:
    key.unlink()
    key.mkdir()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_of_another, "does not belong to the certificate"),
        (_swapped, "holds no certificate in PEM form"),
        (_no_key, "holds no private key in PEM form"),
        (_locked, "locked with a passphrase"),
        (_unreadable, "cannot be read"),
    ],
)
def test_files_that_cannot_be_used_are_said_at_the_start(
    tmp_path: Path, files: Files, spoil: object, said: str
) -> None:
    assert callable(spoil)
    spoil(*files, made(tmp_path / "other"))
    plane = ControlPlane(tmp_path)
    words = ("--data-dir", plane.data_dir, "--listen", "127.0.0.1:0", "--tls-cert", files[0], "--tls-key", files[1])
    done = plane.run("longshore", "server", *words, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not plane.data_dir.exists()


def test_the_server_calls_its_own_services(plane: ControlPlane) -> None:
    """Alarms are read and topics told by TLS as well, at an address that the certificate does not name."""
    cloudwatch, sns, deploy = (plane.client(one) for one in ("cloudwatch", "sns", "codedeploy"))
    cloudwatch.put_metric_alarm(
        AlarmName="errors",
        Namespace="shop",
        MetricName="errors",
        Statistic="Sum",
        Period=3600,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="ignore",
    )
    cloudwatch.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="a test")
    with Webhook() as hook:
        topic = sns.create_topic(Name="releases")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=f"http://127.0.0.1:{hook.port}/")
        asked = wait_until("it is asked", lambda: hook.received)[0]
        assert asked["SubscribeURL"].startswith(f"{plane.url}/?Action=ConfirmSubscription&")
        sns.confirm_subscription(TopicArn=topic, Token=asked["Token"])
        deploy.create_application(applicationName="shop")
        deploy.create_deployment_group(
            applicationName="shop",
            deploymentGroupName="prod",
            serviceRoleArn=service_role(plane),
            onPremisesInstanceTagFilters=[{"Key": "role", "Value": "web", "Type": "KEY_AND_VALUE"}],
            alarmConfiguration={"enabled": True, "alarms": [{"name": "errors"}]},
            triggerConfigurations=[
                {"triggerName": "stops", "triggerTargetArn": topic, "triggerEvents": ["DeploymentStop"]}
            ],
        )
        location = {"bucket": "releases", "key": "shop.zip", "bundleType": "zip"}
        deployment_id = deploy.create_deployment(
            applicationName="shop",
            deploymentGroupName="prod",
            revision={"revisionType": "S3", "s3Location": location},
        )["deploymentId"]
        told = wait_until("the stop is told", lambda: hook.received[2:])[0]
    assert told["Subject"].startswith(f"ABORTED: AWS CodeDeploy {deployment_id}")
    error = json.loads(json.loads(told["Message"])["errorInformation"])
    assert error["ErrorCode"] == "ALARM_ACTIVE"
    assert "Unverified" not in plane.log.read_text(), "its own socket needs no warning"


def test_idle_connections_hold_no_server_up_that_stops(plane: ControlPlane) -> None:
    """TLS is over when both sides say so, and a client that waits for its next call says nothing."""
    trust = ssl.create_default_context(cafile=str(plane.ca))
    kept = http.client.HTTPSConnection("localhost", plane.port, context=trust, timeout=10)
    kept.request("GET", "/healthz")
    assert kept.getresponse().read()
    assert plane.stop() == 0
    assert "graceful shutdown exceeded" not in plane.log.read_text()
    kept.close()


def test_who_does_not_trust_it_is_told_how_to(plane: ControlPlane, files: Files) -> None:
    told = plane.run("longshore", "audit", "verify", check=False)
    assert told.returncode == 1
    assert "AWS_CA_BUNDLE" in told.stderr
    plane.environ["AWS_CA_BUNDLE"] = str(files[0])
    assert plane.run("longshore", "audit", "verify").returncode == 0
