"""errors.yml holds every error shape of the model, and each call that it says is refused by one is made and is."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore import xform_name

import longshore
from longshore import models
from longshore.onebox.services.autoscaling.operations.hooks import MOST_HOOKS
from tests import ports
from tests.acceptance.world import FINAL, ControlPlane, wait_until
from tests.contract.authorisation.world import Caller, clients_of

CODEDEPLOY = models.load("codedeploy")
#: Raised where no model lists it, as its row says.
BEYOND_THE_MODEL = {"OperationNotSupportedException"}
TABLE: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "errors.yml").read_text())
ROWS: dict[str, dict[str, Any]] = TABLE["errors"]
RAISED = [(error, cause) for error, row in ROWS.items() for cause in row.get("raised", ())]

#: An operation and its input; or the name of what takes more than one call of CodeDeploy.
Step = Mapping[str, Any] | str

_regions = itertools.count(1)


class Region:
    """A region of a server where nothing is yet."""

    def __init__(self, owner: Caller, *, deployments_end: bool) -> None:
        self.name = f"region-{next(_regions)}"
        self._owner = owner
        self._deployments_end = deployments_end
        self._answers: dict[str, Any] = {"region": self.name}

    def client(self, service: str) -> Any:
        return self._owner.client(service, self.name)

    def does(self, step: Step) -> None:
        if isinstance(step, str):
            FURNISHINGS[step](self)
            return
        ((operation, asked),) = step.items()
        answer = getattr(self.client("codedeploy"), xform_name(operation))(**self._filled(asked))
        self._answers |= answer
        if operation == "CreateDeployment" and self._deployments_end:
            wait_until("the deployment has ended", lambda: self._status(answer["deploymentId"]) in FINAL)

    def refuses(self, step: Mapping[str, Any]) -> tuple[str, str]:
        """The code and text of the error that the call ends with; "" for none."""
        ((operation, asked),) = step.items()
        return self._owner.tries("codedeploy", operation, self._filled(asked), region=self.name)

    def _status(self, deployment_id: str) -> str:
        info = self.client("codedeploy").get_deployment(deploymentId=deployment_id)["deploymentInfo"]
        return str(info["status"])

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._filled(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        return value.format_map(self._answers) if isinstance(value, str) else value


def _full_auto_scaling_group(here: Region) -> None:
    scaling = here.client("autoscaling")
    scaling.create_launch_configuration(LaunchConfigurationName="any", ImageId="ami-longshore", InstanceType="t3.micro")
    full = {"AutoScalingGroupName": "full"}
    scaling.create_auto_scaling_group(
        **full, LaunchConfigurationName="any", MinSize=0, MaxSize=0, AvailabilityZones=[f"{here.name}a"]
    )
    for number in range(MOST_HOOKS):
        transition = "autoscaling:EC2_INSTANCE_LAUNCHING"
        scaling.put_lifecycle_hook(**full, LifecycleHookName=f"hook-{number}", LifecycleTransition=transition)


FURNISHINGS: dict[str, Callable[[Region], None]] = {"an Auto Scaling group that is full": _full_auto_scaling_group}


@pytest.fixture(scope="module")
def owners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Caller]]:
    """The owners of two servers, by what AWS says there."""
    limits = [word for name, number in TABLE["limits"].items() for word in ("--limit", f"{name}={number}")]
    answering = ControlPlane(tmp_path_factory.mktemp("onebox"), options=(*limits,))
    nowhere = f"http://127.0.0.1:{ports.kept()}"
    silent = ControlPlane(tmp_path_factory.mktemp("silent"), options=(*limits, "--aws-endpoint", nowhere))
    try:
        answering.start()
        with pytest.MonkeyPatch.context() as environment:
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                environment.setenv(name, "of-nobody")
            silent.start()
        owners = {"onebox": clients_of(answering), "silent": clients_of(silent)}
        _make_service_role(owners["onebox"])
        yield owners
    finally:
        answering.stop()
        silent.stop()


def _make_service_role(owner: Caller) -> None:
    trusts = {"Effect": "Allow", "Principal": {"Service": "codedeploy.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": trusts})
    name = TABLE["shared"]["role"].rpartition("/")[2]
    owner.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=document)
    rights = "arn:aws:iam::aws:policy/service-role/AWSCodeDeployRole"
    owner.client("iam").attach_role_policy(RoleName=name, PolicyArn=rights)


@pytest.mark.parametrize(("error", "cause"), RAISED)
def test_what_is_said_to_be_refused_is_refused_by_this_error(
    owners: Mapping[str, Caller], error: str, cause: str
) -> None:
    row = ROWS[error]
    aws = row.get("aws", "onebox")
    here = Region(owners[aws], deployments_end=aws != "silent")
    *before, refused = _calls(row["raised"][cause])
    for step in (*row.get("after", ()), *before):
        here.does(step)
    code, text = here.refuses(refused)
    assert code == error, text
    assert text


def test_every_error_shape_has_one_row_that_says_how_or_why_not() -> None:
    assert set(ROWS) == {shape.name for shape in CODEDEPLOY.error_shapes}
    for row in ROWS.values():
        assert set(row) == {"never"} or {"raised"} <= set(row) <= {"raised", "after", "aws"}


def test_what_is_raised_is_listed_by_the_operation() -> None:
    for error, cause in RAISED:
        (operation,) = _calls(ROWS[error]["raised"][cause])[-1]
        assert error in {shape.name for shape in CODEDEPLOY.operation_model(operation).error_shapes}, (error, cause)


def test_what_is_never_raised_is_raised_nowhere() -> None:
    """A reason grows old when the thing is built."""
    source = Path(longshore.__file__).parent
    api = "".join(path.read_text() for path in sorted((source / "api").glob("*.py")))
    never = {error for error in ROWS if "never" in ROWS[error]} - BEYOND_THE_MODEL
    assert [error for error in sorted(never) if f'"{error}"' in api or f'"{error[: -len("Exception")]}"' in api] == []


def _calls(calls: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """A cause is one call, or several of which the last is refused."""
    return [calls] if isinstance(calls, Mapping) else calls
