"""Small parts of the agent, each by itself: signer, log tail, configuration, journal, log."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.agent import config, config_keys, journal
from longshore.agent.errors import ConfigError, WireError
from longshore.agent.event_log import EventLog
from longshore.agent.identity import Credentials, SessionCredentials
from longshore.agent.layout import Layout
from longshore.agent.log import Log, without_secrets
from longshore.agent.proxies import Proxies, Proxy
from longshore.agent.signer import Signer
from longshore.agent.version import VERSION

USER = {
    "region": "eu-west-1",
    "iam_user_arn": "arn:aws:iam::1:user/web-1",
    "aws_access_key_id": "AKID",
    "aws_secret_access_key": "secret",
}


@pytest.mark.parametrize("token", [None, "session-token"])
def test_a_signature_is_the_one_botocore_makes(token: str | None) -> None:
    body = b'{"HostIdentifier":"h"}'
    headers = {"host": "127.0.0.1:8420", "content-type": "application/x-amz-json-1.1", "x-amz-target": "S.Op"}
    signed = Signer(region="eu-west-1", service="codedeploy-commands").sign(
        headers, body, Credentials("AKID", "secret", token), 1_700_000_000
    )
    sent = {name: value for name, value in signed.items() if name != "authorization"}
    request = botocore.awsrequest.AWSRequest("POST", "http://127.0.0.1:8420/", data=body, headers=sent)
    request.context["timestamp"] = signed["x-amz-date"]
    oracle = botocore.auth.SigV4Auth(
        botocore.credentials.Credentials("AKID", "secret", token), "codedeploy-commands", "eu-west-1"
    )
    signature = oracle.signature(oracle.string_to_sign(request, oracle.canonical_request(request)), request)
    assert signed["authorization"].endswith(f"Signature={signature}")


@pytest.mark.parametrize("token", [None, "session-token"])
def test_the_signature_of_an_object_is_the_one_botocore_makes(token: str | None) -> None:
    path, query = "/bucket/releases/app%20v1%2Bx~y.tgz", "versionId=ver%2B1%2Fx"
    signed = Signer(region="eu-west-1", service="s3").sign(
        {"host": "s3.test"}, b"", Credentials("AKID", "s", token), 1_700_000_000, method="GET", path=path, query=query
    )
    sent = {name: value for name, value in signed.items() if name != "authorization"}
    request = botocore.awsrequest.AWSRequest("GET", f"http://s3.test{path}?{query}", headers=sent)
    request.context["timestamp"] = signed["x-amz-date"]
    oracle = botocore.auth.S3SigV4Auth(botocore.credentials.Credentials("AKID", "s", token), "s3", "eu-west-1")
    signature = oracle.signature(oracle.string_to_sign(request, oracle.canonical_request(request)), request)
    assert signed["authorization"].endswith(f"Signature={signature}")


@pytest.mark.parametrize(
    ("endpoint", "host", "proxy"),
    [
        ("s3", "bucket.s3.amazonaws.com", "s3.proxy"),
        ("github", "api.github.com", "every.proxy"),
        ("deploy_control", "deploy.example.com", "every.proxy"),
        ("s3", "files.corp.example", None),
        ("git", "corp.example", None),
        ("git", "notcorp.example", "every.proxy"),
        ("s3", "10.0.0.7", None),
    ],
)
def test_each_endpoint_has_its_proxy_but_for_the_exempt_hosts(endpoint: str, host: str, proxy: str | None) -> None:
    proxies = Proxies(
        everywhere=Proxy.read("http://every.proxy:3128"),
        of_endpoint={"s3": Proxy.read("http://user:p%40ss@s3.proxy:8080")},
        exempt=("corp.example", "10.0.0.7"),
    )
    found = proxies.to(endpoint, host)
    assert (found.host if found else None) == proxy
    assert "p@ss" not in repr(found)


def tail_of(directory: Path, entries: list[bytes]) -> str:
    with EventLog(directory, None, "d-1", print) as log:
        for entry in entries:
            log.add([entry])
        return log.tail()


@given(st.lists(st.binary(max_size=300).filter(lambda entry: b"\n" not in entry), max_size=30))
def test_the_tail_is_short_and_the_end_of_what_was_said(
    tmp_path_factory: pytest.TempPathFactory, entries: list[bytes]
) -> None:
    tail = tail_of(tmp_path_factory.mktemp("log"), entries)
    assert len(tail) < 2048
    whole = tail_of(tmp_path_factory.mktemp("log"), entries[-1:])
    assert tail.endswith(whole)


def test_a_line_too_long_for_the_tail_keeps_its_end(tmp_path: Path) -> None:
    assert tail_of(tmp_path, [b"x" * 5000 + b" the reason"]).endswith(" the reason\n")


def test_colours_stay_in_the_file_and_leave_the_tail(tmp_path: Path) -> None:
    assert tail_of(tmp_path, [b"[stdout]\x1b[1;31mred\x1b[0m"]) == "[stdout]red\n"
    assert b"\x1b[1;31mred" in (tmp_path / "scripts.log").read_bytes()


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_one_file_is_enough_and_keys_may_be_ruby_symbols(tmp_path: Path) -> None:
    lines = "".join(f":{key}: {value}\n" for key, value in USER.items())
    file = written(tmp_path / "web-1.yml", f"{lines}:root_dir: {tmp_path}/root\n:max_revisions: 3\nunknown: kept\n")
    loaded = config.load(file, {"AWS_ENDPOINT_URL": "http://127.0.0.1:8420"})
    assert loaded.identity.host_identifier == USER["iam_user_arn"]
    assert (loaded.root_dir, loaded.max_revisions) == (tmp_path / "root", 3)
    assert loaded.endpoint == "http://127.0.0.1:8420"
    assert "secret" not in repr(loaded)


def test_the_identity_may_stand_in_the_on_premises_file(tmp_path: Path) -> None:
    on_premises = written(tmp_path / "onprem.yml", "".join(f"{key}: {value}\n" for key, value in USER.items()))
    file = written(tmp_path / "agent.yml", f":on_premises_config_file: {on_premises}\n:root_dir: /r\n")
    loaded = config.load(file, {})
    assert loaded.identity.region == "eu-west-1"
    assert loaded.endpoint == "https://codedeploy-commands.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("max_revisions: 0\n", "max_revisions must be a number of at least 1"),
        ("max_revisions: many\n", "max_revisions must be a number"),
        ("verbose: maybe\n", "verbose must be true or false"),
        ("deploy_control_endpoint: ftp://x\n", "is not a URL"),
        ("program_name: ../x\n", "program_name must be a plain name"),
        ("iam_session_arn: arn\n", "both given"),
        ("specification_signer: AAAA\n", "32-byte Ed25519"),
        ("server_certificate_sha256: AAAA\n", "64 hexadecimal"),
        ("children: 2\n", "children must be 1"),
        ("reject_symlinks_in_bundle: true\n", "reject_symlinks_in_bundle is not done by this agent"),
    ],
)
def test_a_value_that_cannot_be_is_named(tmp_path: Path, more: str, said: str) -> None:
    file = written(tmp_path / "a.yml", "".join(f"{key}: {value}\n" for key, value in USER.items()) + more)
    with pytest.raises(ConfigError) as refused:
        config.load(file, {})
    assert said in str(refused.value)


def test_what_the_official_agent_ignores_is_ignored_and_told(tmp_path: Path) -> None:
    lines = "".join(f"{key}: {value}\n" for key, value in USER.items())
    shipped = ":wait_between_runs: 1\n:log_aws_wire: false\n:plugins: [codedeploy]\n:reject_symlinks_in_bundle: false\n"
    file = written(tmp_path / "a.yml", f"{lines}{shipped}:max_revision: 3\n")
    assert config.load(file, {}).unknown_keys == ("max_revision",)


def test_the_documentation_has_every_key() -> None:
    page = (Path(__file__).parents[3] / "docs" / "agent.md").read_text()
    assert [key for key in sorted(config_keys.KNOWN) if f"`{key}`" not in page] == []


def test_session_keys_are_read_again_when_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    provider = SessionCredentials(file)
    with pytest.raises(WireError, match="cannot read aws_credentials_file"):
        provider.credentials()
    for number in (1, 2):
        file.write_text(f"[default]\naws_access_key_id=K{number}\naws_secret_access_key=S\naws_session_token=T%\n")
        os.utime(file, (number, number))
        assert provider.credentials() == (f"K{number}", "S", "T%")


def test_the_journal_tells_a_process_from_a_later_one_with_its_id(tmp_path: Path) -> None:
    own = journal.process(os.getpid())
    assert own is not None
    assert own.is_alive()
    assert not journal.Process(pid=own.pid, started=own.started - 1).is_alive()


def test_a_damaged_journal_entry_still_names_its_command(tmp_path: Path) -> None:
    kept = journal.Journal(Layout(root=tmp_path))
    kept.prepare()
    kept.track(journal.Entry(deployment_id="d-1", identifier="c-1", name="Install"))
    (tmp_path / "longshore-journal/d-1.json").write_text('{"half')
    [entry] = kept.left_over(0)
    assert (entry.deployment_id, entry.identifier) == ("d-1", "c-1")
    kept.forget("d-1")
    assert kept.left_over(0) == []


def test_a_note_that_a_full_disk_cut_off_spoils_neither_the_one_before_nor_the_one_after(tmp_path: Path) -> None:
    kept = journal.Journal(Layout(root=tmp_path))
    kept.prepare()
    first = journal.Entry(deployment_id="d-1", identifier="c-1", name="Install", begun=False)
    kept.write(first)
    with (tmp_path / "longshore-journal/d-1.json").open("ab") as file:
        file.write(b'\n{"deployment_id": "d-1", "ident')
    found = kept.find("d-1")
    assert found is not None
    assert (found.identifier, found.begun) == ("c-1", False)
    kept.write(replace(first, begun=True))
    found = kept.find("d-1")
    assert found is not None
    assert found.begun


def test_the_log_cuts_what_a_presigned_url_proves() -> None:
    said = without_secrets("GET http://s3/b/k?X-Amz-Signature=abc failed")
    assert said == "GET http://s3/b/k?… failed"


def test_the_log_turns_over_daily_and_keeps_a_week(tmp_path: Path) -> None:
    for day in range(10, 20):
        (tmp_path / f"agent.202001{day}.log").write_text("old")
    (tmp_path / "agent.log").write_text("yesterday's\n")
    os.utime(tmp_path / "agent.log", (1_600_000_000, 1_600_000_000))
    Log(tmp_path, "agent").info("today's")
    dated = sorted(path.name for path in tmp_path.glob("agent.*.log"))
    assert len(dated) == 7
    assert dated[-1].startswith("agent.202009")
    assert "today's" in (tmp_path / "agent.log").read_text()


def test_the_version_is_the_packages() -> None:
    assert importlib.metadata.version("longshore") == VERSION


def test_the_agent_loads_nothing_of_the_server_nor_what_few_deployments_need() -> None:
    code = (
        "import sys, longshore.agent.main\n"
        "bad = [name for name in sys.modules if name.split('.')[0] in"
        " ('botocore', 'boto3', 'starlette', 'typer', 'rich', 'cryptography', 'sqlalchemy', 'nacl', 'tarfile')"
        " or name.startswith('longshore.') and name.split('.')[1] not in ('agent', 'appspec', 'tar_stream')"
        " or name.startswith(('longshore.agent.local', 'longshore.agent.sources.git'))]\n"
        "sys.exit(' '.join(bad) or 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 0, ended.stderr


def test_a_connected_agent_has_not_loaded_the_tables_of_every_alphabet() -> None:
    """They are 400 kB of an idle agent. A name that is not ASCII needs them."""
    code = (
        "import socket, sys\n"
        "from longshore.agent.connecting import connect\n"
        "with socket.create_server(('127.0.0.1', 0)) as listening:\n"
        "    connect('localhost', listening.getsockname()[1], encrypted=False, proxy=None).close()\n"
        "sys.exit('encodings.idna' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=30).returncode == 0
