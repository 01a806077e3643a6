"""What a server keeps in memory: nothing that nobody asked for, and nothing twice."""

from __future__ import annotations

import subprocess
import sys

import pytest

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

_NO_DRIVER = """
import sys
import longshore.server.main
assert "psycopg" not in sys.modules
"""


@pytest.mark.parametrize("program", [_READS_NOTHING_TWICE, _NO_DRIVER], ids=["models", "driver"])
def test_nothing_is_read_twice_or_for_nobody(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
