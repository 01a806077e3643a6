"""A real S3 server on a free loopback port, and real clients of it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from longshore.auth.keys import Key
from tests.contract.onebox.serving_s3 import ROOT

REGION = "eu-west-1"
REPOSITORY = Path(__file__).parents[3]
AWS = Path(sys.executable).with_name("aws")


class S3Server:
    """One S3 process over one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.onebox.serving_s3", str(self.folder)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        assert self.process.stdout
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        if self.process.stdout:
            self.process.stdout.close()

    def client(self, key: Key = ROOT, *, region: str = REGION, url: str | None = None, **config: Any) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=url or self.url,
            region_name=region,
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
            config=Config(**{"signature_version": "s3v4", "retries": {"max_attempts": 0}, **config}),
        )

    def content_files(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "content").rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    running = S3Server(tmp_path_factory.mktemp("s3"))
    yield running
    running.kill()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[S3Server]:
    """A server a test may kill."""
    running = S3Server(tmp_path / "own")
    yield running
    with suppress(ProcessLookupError):
        running.kill()


@pytest.fixture
def s3(server: S3Server) -> Any:
    return server.client()


@pytest.fixture
def bucket(s3: Any, request: pytest.FixtureRequest) -> str:
    """A new bucket for each test."""
    name = f"b-{abs(hash(request.node.nodeid)):x}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return name


@pytest.fixture
def aws(server: S3Server, tmp_path: Path) -> Callable[..., str]:
    """Runs the real AWS CLI; its output, or the failure of the test."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": ROOT.access_key_id,
        "AWS_SECRET_ACCESS_KEY": ROOT.secret_access_key,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [str(AWS), *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
