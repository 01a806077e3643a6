"""Whatever EC2's operations are asked for, within their model, they answer or refuse; none fails."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longshore.onebox.machinery.records import Owner, Records
from longshore.onebox.services import ec2
from longshore.onebox.services.ec2.operations import served
from longshore.onebox.services.ec2.ports import ControlPlane, Profile, RoleCredentials
from longshore.onebox.services.ec2.service import MODULES
from longshore.wire.constraints import Checks, first_error
from longshore.wire.ec2_query import Ec2Query
from longshore.wire.service import AwsError, Call, Caller, Service
from tests.contract.wire.shapes import values

ACCOUNT, REGION = "000000000000", "us-east-1"
CALLER = Caller(account=ACCOUNT, region=REGION, arn=f"arn:aws:iam::{ACCOUNT}:root", access_key_id="AK")
NUMBERS = itertools.count()


class NoRoles:
    """An account without instance profiles, whose owner calls."""

    def profile(self, _account: str, _name_or_arn: str) -> Profile | None:
        return None

    def begin_session(self, _owner: Owner, _instance_id: str, _role: str) -> RoleCredentials:
        raise AssertionError("no instance has a role")

    def end_sessions(self, _owner: Owner, _instance_id: str) -> None: ...

    async def require_may_launch(self, _call: Call, _role_arn: str | None) -> None: ...


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """EC2 with some of everything in it; its keeper rests, so that no host is made."""
    folder = tmp_path_factory.mktemp("ec2")
    records = Records(folder / "onebox.db")
    plane = ControlPlane(url="http://127.0.0.1:1", specification_signer="")
    made = ec2.build(records, folder / "ec2", NoRoles(), plane, hidden=folder)
    for operation, asked in FURNITURE:
        asyncio.run(ask(made.service, operation, asked))
    yield made.service
    records.close()


FURNITURE: list[tuple[str, dict[str, Any]]] = [
    ("CreateLaunchTemplate", {"LaunchTemplateName": "web", "LaunchTemplateData": {"ImageId": "ami-longshore"}}),
    ("CreateVpc", {"CidrBlock": "10.0.0.0/16"}),
    ("CreateSecurityGroup", {"GroupName": "web", "Description": "web"}),
]
#: Names that mean something there.
TEXTS = st.one_of(
    st.sampled_from(
        ["web", "default", "ami-longshore", "1", "$Latest", "$Default", "10.0.0.0/24", f"{REGION}a", "x-1"]
    ),
    st.sampled_from(["i-0123456789abcdef0", "lt-0", "vpc-0", "", "*", "tag:a", "tag-key", "../etc"]),
    st.text(max_size=8),
)
OPERATIONS = sorted(served(MODULES))
#: Most of these would be another way to spell one that is tried.
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


async def ask(service: Service, operation: str, asked: dict[str, Any]) -> Any:
    model = service.model.operation_model(operation)
    call = Call(
        caller=CALLER,
        request_id=f"request-{next(NUMBERS)}",
        now=1_800_000_000.0,
        service="ec2",
        operation=operation,
        headers={},
    )
    if model.input_shape is not None and (broken := Checks(service.overlay).plan(model.input_shape)(asked)):
        raise first_error(model, broken, service.explain)
    answer = await service.handlers[operation](call, asked)
    Ec2Query([service]).codec(service, model).encode(answer or {}, "an-id")
    return answer


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_answers_or_refuses(there: Service, operation: str) -> None:
    shape = there.model.operation_model(operation).input_shape

    @FEW
    @given(values(shape, text=TEXTS))
    def check(asked: dict[str, Any]) -> None:
        try:
            asyncio.run(ask(there, operation, asked))
        except AwsError as refused:
            if refused.status >= 500:
                raise

    check()


def test_every_operation_is_tried(there: Service) -> None:
    assert set(OPERATIONS) == set(there.handlers)
