"""What a server keeps in memory: nothing that nobody asked for, and nothing twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from longshore.store.database import Store, sqlite_url
from longshore.store.wakeup import Wakeup

_READS_NOTHING_TWICE = """
from types import SimpleNamespace
from botocore.loaders import JSONFileLoader
from longshore import models
from longshore.server import outside

read = []
load_file = JSONFileLoader.load_file
JSONFileLoader.load_file = lambda self, path: (load_file(self, path), read.append(path))[0]
models.load_later("ec2").operation_model("DescribeInstances")
clients = outside.clients(SimpleNamespace(aws_endpoint="http://127.0.0.1:9"), None, "")
for region in ("us-east-1", "eu-west-1"):
    session = clients.session()
    session.set_credentials("AKIAEXAMPLE", "example")
    for service in ("ec2", "s3"):
        clients.of_session(session, service, region)
assert any("ec2" in path for path in read)
twice = {path for path in read if read.count(path) > 1 and "sdk-extras" not in path}
assert not twice, twice
"""

_CHANGES_NO_MODEL_OF_THE_WIRE = """
import copy
from types import SimpleNamespace
from longshore import models
from longshore.server import outside

services = ("s3", "sts", "elbv2", "autoscaling", "cloudwatch", "sns")
before = {name: copy.deepcopy(models.loader().load_service_model(name, "service-2")) for name in services}
clients = outside.clients(SimpleNamespace(aws_endpoint="http://127.0.0.1:9"), None, "")
session = clients.session()
session.set_credentials("AKIAEXAMPLE", "example")
for name in services:
    client = clients.of_session(session, name, "us-east-1")
    if name == "s3":
        client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
changed = [name for name in services if models.loader().load_service_model(name, "service-2") != before[name]]
assert not changed, changed
"""

_LOADS_WHAT_IT_NEEDS = """
import sys
from longshore.cli.app import command_line
command_line("server")
import longshore.server.main
from longshore.store.database import Store, sqlite_url
from longshore.store.wakeup import Wakeup
Store(sqlite_url(sys.argv[1]), Wakeup()).close()
others = {"alembic", "boto3", "psycopg", "pygments", "rich"} & set(sys.modules)
assert not others, others
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that a server has used before."""
    path = tmp_path_factory.mktemp("data") / "longshore.db"
    Store(sqlite_url(path), Wakeup()).close()
    return path


@pytest.mark.parametrize(
    "program",
    [_READS_NOTHING_TWICE, _CHANGES_NO_MODEL_OF_THE_WIRE, _LOADS_WHAT_IT_NEEDS],
    ids=["twice", "changed", "modules"],
)
def test_nothing_is_read_twice_or_for_nobody(program: str, database: Path) -> None:
    words = [sys.executable, "-c", program, str(database)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
