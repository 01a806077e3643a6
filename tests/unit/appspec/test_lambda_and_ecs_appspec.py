"""What the AppSpecs for Lambda and ECS may say, and the sentence they get otherwise (lambda_ecs_appspec.md 1.7, 1.8)."""

# ruff: noqa: E501 - a case is read as one line of its table
from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from longshore.appspec import AppSpecError
from longshore.appspec.check import Platform, check
from longshore.appspec.ecs import AwsvpcConfiguration, CapacityProvider, EcsAppSpec, parse_ecs
from longshore.appspec.lambda_ import LambdaAppSpec, parse_lambda
from tests.unit.appspec.mutation import mutations

LAMBDA = """\
version: 0.0
Resources:
  - fn:
      Type: AWS::Lambda::Function
      Properties:
        Name: report
        Alias: live
        CurrentVersion: 4
        TargetVersion: "5"
Hooks:
  - BeforeAllowTraffic: check-before
  - AfterAllowTraffic: arn:aws:lambda:eu-west-1:111122223333:function:check-after:2
"""
ECS = """\
version: 0.0
Resources:
  - TargetService:
      Type: AWS::ECS::Service
      Properties:
        TaskDefinition: arn:aws:ecs:eu-west-1:111122223333:task-definition/web:7
        LoadBalancerInfo:
          ContainerName: web
          ContainerPort: 8080
        PlatformVersion: 1.4.0
        NetworkConfiguration:
          AwsvpcConfiguration:
            Subnets: [subnet-1, subnet-2]
            SecurityGroups: [sg-1]
            AssignPublicIp: DISABLED
        CapacityProviderStrategy:
          - CapacityProvider: FARGATE
            Base: 1
            Weight: 1
          - CapacityProvider: FARGATE_SPOT
            Weight: 3
Hooks:
  - BeforeInstall: a
  - AfterInstall: b
  - AfterAllowTestTraffic: c
  - BeforeAllowTraffic: d
  - AfterAllowTraffic: e
"""
PARSE: dict[Platform, Callable[[bytes], Any]] = {Platform.LAMBDA: parse_lambda, Platform.ECS: parse_ecs}
WHOLE = {Platform.LAMBDA: LAMBDA, Platform.ECS: ECS}


def test_all_that_a_lambda_appspec_says() -> None:
    assert parse_lambda(LAMBDA.encode()) == LambdaAppSpec(
        resource="fn", name="report", alias="live", current_version="4", target_version="5",
        hooks={"BeforeAllowTraffic": "check-before", "AfterAllowTraffic": "arn:aws:lambda:eu-west-1:111122223333:function:check-after:2"},
    )  # fmt: skip


def test_all_that_an_ecs_appspec_says() -> None:
    assert parse_ecs(ECS.encode()) == EcsAppSpec(
        resource="TargetService",
        task_definition="arn:aws:ecs:eu-west-1:111122223333:task-definition/web:7",
        container_name="web",
        container_port=8080,
        platform_version="1.4.0",
        network=AwsvpcConfiguration(
            subnets=("subnet-1", "subnet-2"), security_groups=("sg-1",), assign_public_ip="DISABLED"
        ),
        capacity_providers=(
            CapacityProvider(name="FARGATE", base=1, weight=1),
            CapacityProvider(name="FARGATE_SPOT", base=0, weight=3),
        ),
        hooks={"BeforeInstall": "a", "AfterInstall": "b", "AfterAllowTestTraffic": "c", "BeforeAllowTraffic": "d", "AfterAllowTraffic": "e"},
    )  # fmt: skip


#: The same file, written otherwise: name → what is replaced by what.
SAME = [
    ("lower case keys", LAMBDA, [("Resources", "resources"), ("Properties", "properties"), ("CurrentVersion", "currentversion"), ("Hooks", "HOOKS"), ("Type", "type")]),
    ("a quoted version", LAMBDA, [("version: 0.0", 'version: "0.0"')]),
    ("an integer version", LAMBDA, [("version: 0.0", "version: 0")]),
    ("hooks as one mapping", LAMBDA, [("  - BeforeAllowTraffic", "  BeforeAllowTraffic"), ("  - AfterAllowTraffic", "  AfterAllowTraffic")]),
    ("quoted versions of the function", LAMBDA, [("CurrentVersion: 4", "CurrentVersion: '4'")]),
    ("a mark of Windows editors and CRLF", LAMBDA, [("version: 0.0", "\ufeffversion: 0.0"), ("\n", "\r\n")]),
    ("keys in any case", ECS, [("TaskDefinition", "taskDefinition"), ("ContainerPort", "containerport"), ("AssignPublicIp", "assignPublicIp"), ("CapacityProvider:", "capacityProvider:")]),
    ("an anchor", ECS, [("ContainerName: web", "ContainerName: &n web"), ("PlatformVersion", "Comment: *n\n        PlatformVersion")]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "changes"), [pytest.param(*case[1:], id=case[0]) for case in SAME])
def test_written_otherwise_it_means_the_same(text: str, changes: list[tuple[str, str]]) -> None:
    parse = parse_lambda if text is LAMBDA else parse_ecs
    other = text
    for old, new in changes:
        assert old in other
        other = other.replace(old, new)
    assert parse(other.encode()) == parse(text.encode())


def test_json_is_read_to_the_letter_where_json_is_promised() -> None:
    document = {"version": 0.0, "Resources": [{"fn": {"Type": "AWS::Lambda::Function", "Properties": {
        "Name": "report", "Alias": "live", "CurrentVersion": "4", "TargetVersion": "5"}}}]}  # fmt: skip
    text = json.dumps(document, indent=1).encode()
    assert parse_lambda(text, is_json=True) == parse_lambda(text)
    with pytest.raises(AppSpecError, match="line 1: this is not valid JSON"):
        parse_lambda(LAMBDA.encode(), is_json=True)
    with pytest.raises(AppSpecError, match=r"line 11: Resources.*CurrentVersion is 'x'"):
        parse_lambda(text.replace(b'"4"', b'\n"x"'), is_json=True)


def test_what_is_left_out_is_none() -> None:
    least = "".join(line + "\n" for line in ECS.splitlines()[:9])
    spec = parse_ecs(least.encode())
    assert (spec.platform_version, spec.network, spec.capacity_providers, spec.hooks) == (None, None, None, {})


#: Platform, what is replaced by what → what the message says.
REFUSED: list[tuple[Platform, str, str, str]] = [
    (Platform.LAMBDA, "version: 0.0\n", "", "version is missing. Write 'version: 0.0'."),
    (Platform.LAMBDA, "version: 0.0", "version: 1.0", "line 1: version is the text '1.0'"),
    (Platform.LAMBDA, "Resources:", "Resource:", "Resources is missing. Name the one resource to deploy, of Type AWS::Lambda::Function"),
    (Platform.LAMBDA, "Resources:", "os: linux\nResource:", "This is an AppSpec for hosts"),
    (Platform.LAMBDA, "  - fn:", "  - other: {}\n  - fn:", "Resources has 2 resources. A revision deploys exactly one"),
    (Platform.LAMBDA, "  - fn:\n      Type: AWS::Lambda::Function\n      Properties:", "  - fn:\n    Type: AWS::Lambda::Function\n    Properties:", "line 3: Resources[0] has 3 keys where the resource's one name belongs"),
    (Platform.LAMBDA, "AWS::Lambda::Function", "AWS::Lambda::function", "line 4: Resources[0].fn.Type is 'AWS::Lambda::function', which AWS Lambda does not deploy. Write Type: AWS::Lambda::Function"),
    (Platform.LAMBDA, "Type: AWS", "Kind: AWS", "Resources[0].fn.Type is missing"),
    (Platform.LAMBDA, "Name: report", "Name: ''", "line 6: Resources[0].fn.Properties.Name is empty"),
    (Platform.LAMBDA, "Name: report", "Name: [report]", "Name must be one plain value"),
    (Platform.LAMBDA, "        Alias: live\n", "", "Alias is missing. Name the alias whose traffic is shifted"),
    (Platform.LAMBDA, "CurrentVersion: 4", "CurrentVersion:", "CurrentVersion is missing"),
    (Platform.LAMBDA, "CurrentVersion: 4", "CurrentVersion: $LATEST", "An alias cannot share its traffic with $LATEST"),
    (Platform.LAMBDA, "CurrentVersion: 4", "CurrentVersion: live", "CurrentVersion is 'live', not the number of a published version"),
    (Platform.LAMBDA, "CurrentVersion: 4", "CurrentVersion: 5", "line 9: Resources[0].fn.Properties.TargetVersion is 5, which CurrentVersion is too"),
    (Platform.LAMBDA, "BeforeAllowTraffic", "BeforeInstall", "line 11: Hooks[0].BeforeInstall is no lifecycle event of AWS Lambda. Use one of: BeforeAllowTraffic"),
    (Platform.LAMBDA, "BeforeAllowTraffic", "beforeAllowTraffic", "upper and lower case count. Write BeforeAllowTraffic"),
    (Platform.LAMBDA, "AfterAllowTraffic", "BeforeAllowTraffic", "is given a second time"),
    (Platform.LAMBDA, "check-before", "''", "Hooks[0].BeforeAllowTraffic is empty. Give the name or ARN of a Lambda function"),
    (Platform.LAMBDA, "check-before", "[a, b]", "must be one plain value, but it is a list"),
    (Platform.LAMBDA, "Hooks:\n", "Hooks: run\nOther:\n", "Hooks must be a list"),
    (Platform.LAMBDA, "Name: report", "Name: !Sub report", "the tag !Sub means nothing in an AppSpec"),
    (Platform.LAMBDA, "version: 0.0", "version: 0.0\nVersion: 0.0", "line 2: Version is the key version once more"),
    (Platform.ECS, "AWS::ECS::Service", "AWS::Lambda::Function", "which Amazon ECS does not deploy"),
    (Platform.ECS, "TaskDefinition: arn", "Other: arn", "TaskDefinition is missing. Give the ARN"),
    (Platform.ECS, "          ContainerName: web\n          ContainerPort: 8080", "        - ContainerName: web\n          ContainerPort: 8080", "LoadBalancerInfo must be a mapping"),
    (Platform.ECS, "ContainerPort: 8080", "ContainerPort: '8080'", "line 9: Resources[0].TargetService.Properties.LoadBalancerInfo.ContainerPort is the text '8080', not a number of 1 to 65535. Write the port without quotes"),
    (Platform.ECS, "ContainerPort: 8080", "ContainerPort: 0", "not a number of 1 to 65535"),
    (Platform.ECS, "ContainerPort: 8080", "ContainerPort: 65536", "not a number of 1 to 65535"),
    (Platform.ECS, "          ContainerPort: 8080\n", "", "ContainerPort is missing"),
    (Platform.ECS, "          ContainerName: web\n", "", "ContainerName is missing"),
    (Platform.ECS, "            SecurityGroups: [sg-1]\n", "", "SecurityGroups is missing. List the groups' ids: all three properties, or none"),
    (Platform.ECS, "[subnet-1, subnet-2]", "[]", "Subnets is empty"),
    (Platform.ECS, "[subnet-1, subnet-2]", "subnet-1", "Subnets must be a list"),
    (Platform.ECS, "AssignPublicIp: DISABLED", "AssignPublicIp: no", "AssignPublicIp is 'no'. Write ENABLED or DISABLED"),
    (Platform.ECS, "            Weight: 3", "            Base: 2", "CapacityProviderStrategy gives more than one provider a Base"),
    (Platform.ECS, "Base: 1", "Base: one", "Base is the text 'one', not a number of 0 to 100000"),
    (Platform.ECS, "AfterInstall: b", "Install: b", "is an event in which no function can be called on Amazon ECS. Use one of: BeforeInstall"),
]  # fmt: skip


@pytest.mark.parametrize(("platform", "old", "new", "said"), REFUSED)
def test_refused_with_line_key_and_remedy(platform: Platform, old: str, new: str, said: str) -> None:
    text = WHOLE[platform]
    assert old in text
    with pytest.raises(AppSpecError) as refused:
        PARSE[platform](text.replace(old, new, 1).encode())
    assert any(said in f"line {problem.line}: {problem}" for problem in refused.value.problems), refused.value.problems


def test_every_problem_is_told_at_once() -> None:
    text = "version: 2\nResources:\n  - a:\n      Type: x\n      Properties: {Name: n, CurrentVersion: v}\nHooks:\n  - Install: f\n"
    keys = [problem.key for problem in check(text.encode(), Platform.LAMBDA).problems]
    assert keys == [
        "version",
        "Resources[0].a.Type",
        "Resources[0].a.Properties.Alias",
        "Resources[0].a.Properties.CurrentVersion",
        "Resources[0].a.Properties.TargetVersion",
        "Hooks[0].Install",
    ]


def test_keys_that_belong_elsewhere_get_a_warning_and_no_more() -> None:
    found = check((ECS + "files: []\n").encode())
    assert found.spec is not None
    assert [str(problem) for problem in found.problems] == [
        "files is not a key of an AppSpec here; it is ignored. "
        "Remove it, or move it where it belongs. Known here: version, Resources, Hooks."
    ]


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        (LAMBDA, Platform.LAMBDA),
        (ECS, Platform.ECS),
        (ECS.replace("AWS::ECS::Service", "nonsense"), Platform.ECS),
        (LAMBDA.lower(), Platform.LAMBDA),
        ("version: 0.0\nos: linux\n", Platform.SERVER),
        ("", Platform.SERVER),
        ("[", Platform.SERVER),
    ],
)
def test_the_platform_is_known_by_what_the_file_says(text: str, platform: Platform) -> None:
    assert check(text.encode()).platform == platform


def test_five_thousand_spoilt_files_are_read_or_refused() -> None:
    accepted = 0
    for number, text in enumerate(mutations([LAMBDA.encode(), ECS.encode()], count=5_000, seed=4)):
        platform = (Platform.LAMBDA, Platform.ECS)[number % 2]
        found = check(text, platform)
        with suppress(AppSpecError):
            PARSE[platform](text)
            accepted += 1
            assert found.spec is not None
    assert 100 < accepted < 4_900


CORPUS = Path(__file__).parents[3] / "../shared/corpus/appspec"
#: The corpus's files for Lambda and ECS that are refused, and what is said: each would end in a failed deployment.
REFUSED_IN_CORPUS = {
    "044-lambda.yml": "Alias is missing",
    "055-lambda.yml": "version is missing",
    "073-lambda.yaml": "LifeCycleEvent is no lifecycle event",
    "109-lambda.yml": "'{{CURRENT_LAMBDA_VERSION}}', not the number",
    "117-ecs.json": "this is not valid JSON",
    "118-ecs.json": "version is the text '1'",
    "148-lambda.yml": "CurrentVersion is '0.0'",
    "150-lambda.yml": "CurrentVersion is missing",
}


@pytest.mark.parametrize(
    "name", [line.split("\t")[0] for line in (CORPUS / "INDEX.tsv").read_text().splitlines() if "\tlambda\t" in line or "\tecs\t" in line]
    if CORPUS.exists() else [pytest.param("", marks=pytest.mark.skip(reason="the corpus is not beside the clone"))],
)  # fmt: skip
def test_a_real_file(name: str) -> None:
    platform = Platform(name[4:].split(".")[0])
    found = check((CORPUS / name).read_bytes(), is_json=name.endswith(".json"))
    said = REFUSED_IN_CORPUS.get(name)
    if said is None:
        assert found.spec is not None, found.problems
        assert found.platform == platform
    else:
        assert found.spec is None
        assert any(said in str(problem) for problem in found.problems), found.problems
