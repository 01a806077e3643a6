"""The commands of docs/access.md work as they stand there, one after the other."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import botocore

from tests.acceptance.world import BIN, ControlPlane

PAGE = Path(__file__).parents[2] / "docs" / "access.md"


def test_every_block_of_commands_on_the_page_does_what_it_says(own_plane: ControlPlane, tmp_path: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) >= 6
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | own_plane.environ
    environ |= {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "AWS_DATA_PATH": str(Path(botocore.__file__).parent / "data"),
        "AWS_PAGER": "",
    }
    said = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env=environ,
        text=True,
        capture_output=True,
        timeout=180,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    assert "ERROR" not in said.stdout + said.stderr

    iam, deploy = own_plane.client("iam"), own_plane.client("codedeploy")
    assert {user["UserName"] for user in iam.list_users()["Users"]} == {"ci", "wendy"}
    assert {role["RoleName"] for role in iam.list_roles()["Roles"]} == {"release", "hosts"}
    document = iam.get_user_policy(UserName="ci", PolicyName="releases")["PolicyDocument"]
    assert document == json.loads((tmp_path / "releases.json").read_text())
    assert deploy.list_on_premises_instances(registrationStatus="Registered")["instanceNames"] == ["kiosk-1"]

    # The file that the last lines for a host wrote is that host's.
    file = tmp_path / "credentials"
    assert file.stat().st_mode & 0o777 == 0o600
    values = dict(line.split(" = ", 1) for line in file.read_text().splitlines() if " = " in line)
    keys = (values["aws_access_key_id"], values["aws_secret_access_key"], values["aws_session_token"])
    who = own_plane.client("sts", keys=keys).get_caller_identity()["Arn"]
    assert who == deploy.get_on_premises_instance(instanceName="kiosk-1")["instanceInfo"]["iamSessionArn"]
