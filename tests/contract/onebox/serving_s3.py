"""S3 in a process of its own, so that a test can kill it and weigh it: ``python -m … FOLDER``."""

import socket
import sys
import time
from pathlib import Path

import uvicorn

from longshore.auth.keyring import Keyring
from longshore.auth.keys import Key, PrincipalKind
from longshore.onebox.machinery.objects import ObjectStore
from longshore.onebox.services.s3 import S3


def key(name: str, account: str, kind: PrincipalKind) -> Key:
    return Key(
        access_key_id=f"AKIA{name}".ljust(20, "X"),
        secret_access_key=name.ljust(40, "s"),
        account=account,
        principal_arn=f"arn:aws:iam::{account}:{name.lower()}",
        kind=kind,
    )


ROOT = key("ROOT", "000000000000", PrincipalKind.ROOT)
SERVICE = key("SERVICE", "000000000000", PrincipalKind.SERVICE)
USER = key("USER", "000000000000", PrincipalKind.USER)
STRANGER = key("STRANGER", "111111111111", PrincipalKind.ROOT)
KEYS = {each.access_key_id: each for each in (ROOT, SERVICE, USER, STRANGER)}


def main(folder: Path) -> None:
    app = S3(ObjectStore(folder), Keyring(KEYS.get), now=time.time, base_hosts=("localhost", "s3.test"))
    listening = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off")).run(sockets=[listening])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
