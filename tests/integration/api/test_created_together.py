"""CreateDeployment by many callers at once: what one commit creates, and each is told as if it had been alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.acceptance.world import wait_until

from longshore.store.database import Store, Transaction

REVISION = {"revisionType": "GitHub", "gitHubLocation": {"repository": "owner/shop", "commitId": "a" * 40}}

Create = Callable[..., str]


@pytest.fixture
def create(codedeploy: Any, app: str) -> Create:
    """Create a deployment to a group; returns its id, or the error's code and message."""

    def call(group: str, **more: Any) -> str:
        wish = {"applicationName": app, "deploymentGroupName": group, "revision": REVISION, **more}
        try:
            return str(codedeploy.create_deployment(**wish)["deploymentId"])
        except ClientError as error:
            return f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"

    return call


def together(store: Store, *calls: Callable[[], Any]) -> list[Any]:
    """What these come to when all of them wait for the same commit."""
    is_held, go_on = threading.Event(), threading.Event()

    def hold(_tx: Transaction) -> None:
        is_held.set()
        go_on.wait(30)

    with ThreadPoolExecutor(len(calls) + 1) as threads:
        holding = threads.submit(store.write, hold)
        assert is_held.wait(10)
        waiting = [threads.submit(call) for call in calls]
        try:
            wait_until("all of them wait", lambda: store.queued_writes == len(calls))
        finally:
            go_on.set()
        holding.result()
        return [one.result() for one in waiting]


def test_one_of_two_gets_a_group_and_every_other_gets_its_own(
    store: Store, create: Create, codedeploy: Any, app: str, group: Any
) -> None:
    groups = [f"web-{number}" for number in range(3)]
    for name in groups:
        group(app, name)
    told = together(store, *[lambda name=name: create(name) for name in [*groups, *groups]])
    for name, *both in zip(groups, told[:3], told[3:], strict=False):
        [made] = [one for one in both if one.startswith("d-")]
        [refused] = [one for one in both if one != made]
        assert refused.startswith("DeploymentLimitExceededException")
        assert made in refused
        listed = codedeploy.list_deployments(applicationName=app, deploymentGroupName=name)["deployments"]
        assert listed == [made]


def test_a_group_that_is_deleted_in_the_same_commit_was_deployed_to_before(
    store: Store, create: Create, codedeploy: Any, app: str, group: Any
) -> None:
    group(app, "web")

    def remove() -> Any:
        return codedeploy.delete_deployment_group(applicationName=app, deploymentGroupName="web")

    def remake() -> Any:
        return codedeploy.create_deployment_group(
            applicationName=app, deploymentGroupName="web", serviceRoleArn="arn:aws:iam::123456789012:role/r"
        )

    wrong = {"revisionType": "S3"}
    _, made, refused = together(store, remove, lambda: create("web"), lambda: create("web", revision=wrong))
    assert made.startswith("d-")
    assert refused.startswith("InvalidRevisionException")
    assert create("web").startswith("DeploymentGroupDoesNotExistException")
    # The deployment was there before its group went, and its group before it.
    assert codedeploy.get_deployment(deploymentId=made)["deploymentInfo"]["deploymentGroupName"] == "web"
    remake()
    assert create("web").startswith("d-")
