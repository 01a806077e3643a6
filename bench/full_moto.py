"""moto's server with deployments that nobody had to create: ``python -m bench.full_moto PORT COUNT``."""

from __future__ import annotations

import sys
from types import SimpleNamespace

from moto.codedeploy.models import DeploymentInfo, codedeploy_backends
from moto.core import DEFAULT_ACCOUNT_ID
from moto.server import main

from bench.listing import REGION, status


def _fill(count: int) -> None:
    application = SimpleNamespace(application_name="shop")
    group = SimpleNamespace(deployment_group_name="web")
    deployments = codedeploy_backends[DEFAULT_ACCOUNT_ID][REGION].deployments
    for number in range(count):
        made = DeploymentInfo(application, group, {}, *(None,) * 9)
        made.status = status(number)
        deployments[made.deployment_id] = made


if __name__ == "__main__":
    port, count = sys.argv[1:]
    _fill(int(count))
    main(["--port", port])
