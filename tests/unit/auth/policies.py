"""Made-up policies and requests, small enough that the ones are often about the others."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")
#: An action, a resource, and the values of condition keys by their names in lower case.
Request = tuple[str, str, dict[str, list[str]]]

ACTIONS = (
    "codedeploy:GetApplication",
    "codedeploy:BatchGetApplications",
    "codedeploy:CreateDeployment",
    "iam:GetUser",
    "s3:GetObject",
)
_CODEDEPLOY = "arn:aws:codedeploy:us-east-1:000000000000"
RESOURCES = (
    "*",
    f"{_CODEDEPLOY}:application:shop",
    f"{_CODEDEPLOY}:application:alice",
    f"{_CODEDEPLOY}:deploymentgroup:shop/prod",
    f"{_CODEDEPLOY}:deploymentgroup:shop/a*b",
    "arn:aws:codedeploy:eu-west-1:000000000000:application:shop",
    "arn:aws:iam::000000000000:user/team/alice",
    "arn:aws:s3:::releases/shop/1.zip",
)
_ACTION_PATTERNS = (
    *ACTIONS,
    "*",
    "codedeploy:*",
    "codedeploy:Get*",
    "CodeDeploy:*get*",
    "codedeploy:?etApplication",
    "codedeploy:*Application?",
    "iam:*",
    "s3:Get*",
)
_RESOURCE_PATTERNS = (
    *RESOURCES,
    "arn:aws:codedeploy:*",
    "arn:aws:codedeploy:*:*:application:*",
    "arn:aws:codedeploy:us-*:000000000000:application:sh?p",
    f"{_CODEDEPLOY}:deploymentgroup:shop/*",
    f"{_CODEDEPLOY}:deploymentgroup:*prod",
    f"{_CODEDEPLOY}:application:${{aws:username}}",
    f"{_CODEDEPLOY}:*:${{aws:RequestTag/app, 'shop'}}",
    f"{_CODEDEPLOY}:deploymentgroup:shop/a${{*}}b",
    "arn:aws:iam::*:user/*/${aws:username}",
    "arn:aws:s3:::releases/*",
    "arn:aws:s3:::releases/${aws:PrincipalTag/app}/*",
    "arn:aws-cn:codedeploy:*:*:*",
)
_TEXTS = ("shop", "Shop", "sh*", "s?op", "alice", "web", "${aws:username}", "us-east-1", "us-*")
_NUMBERS = ("1", "2", "100")
_TIMES = ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", "1790000000", "2026-11-15")
_ADDRESSES = ("10.0.0.0/8", "10.1.2.3", "2001:db8::/32", "192.0.2.0/24")
_ARNS = tuple(text for text in _RESOURCE_PATTERNS if text != "*")
_TRUTHS = ("true", "false", "True")
#: By the beginning of an operator's name: keys it is used on, values in policies, values in requests.
_KINDS: dict[str, tuple[tuple[str, ...], tuple[Any, ...], tuple[str, ...]]] = {
    "String": (
        ("aws:username", "aws:RequestTag/app", "aws:TagKeys"),
        _TEXTS,
        ("shop", "Shop", "alice", "web", "sh*"),
    ),
    "Arn": (("aws:PrincipalArn",), _ARNS, tuple(one for one in RESOURCES if one != "*")),
    "Bool": (("aws:SecureTransport",), (*_TRUTHS, True, False), ("true", "false")),
    "Numeric": (("s3:max-keys",), (*_NUMBERS, 2), _NUMBERS),
    "Date": (("aws:CurrentTime",), _TIMES, ("2026-11-15T00:00:00Z", "2027-01-01T00:00:00Z")),
    "Ip": (("aws:SourceIp",), _ADDRESSES, ("10.1.2.3", "192.0.2.9", "2001:db8::1")),
}
_COMPARED = ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
_OPERATORS = (
    *("StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"),
    *("StringLike", "StringNotLike", "ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike", "Bool"),
    *("IpAddress", "NotIpAddress"),
    *(f"{kind}{name}" for kind in ("Numeric", "Date") for name in _COMPARED),
)


def one_or_more(random: Random, values: tuple[Any, ...]) -> Any:
    return random.choice(values) if random.random() < 0.5 else random.choices(values, k=random.randint(1, 3))


def conditions(random: Random) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for _ in range(random.randint(1, 2)):
        if random.random() < 0.1:
            made["Null"] = {random.choice(("aws:username", "aws:TagKeys")): random.choice(_TRUTHS)}
            continue
        name = random.choice(_OPERATORS)
        kind = next(kind for kind in _KINDS if name.removeprefix("Not").startswith(kind))
        keys, values, _ = _KINDS[kind]
        operator = random.choice(("", "", "ForAnyValue:", "ForAllValues:")) + name + random.choice(("", "", "IfExists"))
        made[operator] = {random.choice(keys): one_or_more(random, values)}
    return made


def statement(random: Random, effect: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"Effect": effect or random.choice(("Allow", "Allow", "Deny"))}
    made[random.choice(("Action", "Action", "Action", "NotAction"))] = one_or_more(random, _ACTION_PATTERNS)
    made[random.choice(("Resource", "Resource", "Resource", "NotResource"))] = one_or_more(random, _RESOURCE_PATTERNS)
    if random.random() < 0.5:
        made["Condition"] = conditions(random)
    return made


def document(random: Random) -> dict[str, Any]:
    version = random.choice(({"Version": "2012-10-17"}, {"Version": "2012-10-17"}, {"Version": "2008-10-17"}, {}))
    return {**version, "Statement": [statement(random) for _ in range(random.randint(1, 3))]}


def request(random: Random) -> Request:
    keys: dict[str, list[str]] = {}
    for names, _, values in _KINDS.values():
        for name in names:
            if given := random.sample(values, random.randint(0, 1 if name == "aws:username" else 2)):
                keys[name.lower()] = given
    return random.choice(ACTIONS), random.choice(RESOURCES), keys


def made_by(make: Callable[[Random], T]) -> st.SearchStrategy[T]:
    """Thousands a second; built by Hypothesis draw by draw they would be a hundred."""
    return st.integers(0, 2**48).map(lambda seed: make(Random(seed)))


documents = made_by(document)
several_documents = made_by(lambda random: [document(random) for _ in range(random.randint(0, 3))])
allows = made_by(lambda random: statement(random, "Allow"))
denies = made_by(lambda random: statement(random, "Deny"))
requests = made_by(request)
