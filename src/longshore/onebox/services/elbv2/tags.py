"""Tags of load balancers, target groups, listeners and rules."""

from __future__ import annotations

from longshore.onebox.machinery.records import Document
from longshore.onebox.services.elbv2 import errors
from longshore.onebox.services.elbv2.rows import (
    BALANCER,
    GROUP,
    LISTENER,
    MOST_TAGS,
    RULE,
    Ask,
    Input,
    Output,
    tags_of,
)
from longshore.wire.service import AwsError

_KINDS = {"loadbalancer": BALANCER, "targetgroup": GROUP, "listener": LISTENER, "listener-rule": RULE}


def add(ask: Ask, given: Input) -> Output:
    tags = tags_of(given)
    for arn in given["ResourceArns"]:
        kind, document = _require(ask, arn)
        document["Tags"] |= tags
        if len(document["Tags"]) > MOST_TAGS:
            raise AwsError("TooManyTags", f"A resource has at most {MOST_TAGS} tags; remove some first.")
        ask.put(kind, arn, document)
    return {}


def remove(ask: Ask, given: Input) -> Output:
    for arn in given["ResourceArns"]:
        kind, document = _require(ask, arn)
        document["Tags"] = {key: value for key, value in document["Tags"].items() if key not in given["TagKeys"]}
        ask.put(kind, arn, document)
    return {}


def describe(ask: Ask, given: Input) -> Output:
    described = []
    for arn in given["ResourceArns"]:
        _, document = _require(ask, arn)
        tags = [{"Key": key, "Value": value} for key, value in document["Tags"].items()]
        described.append({"ResourceArn": arn, "Tags": tags})
    return {"TagDescriptions": described}


def _require(ask: Ask, arn: str) -> tuple[str, Document]:
    kind = _KINDS.get(arn.rpartition(":")[2].partition("/")[0])
    if kind is None:
        raise errors.validation(f"'{arn[:200]}' is not a valid ARN of a load balancer, target group, listener or rule")
    return kind, ask.require(kind, arn)


OPERATIONS = {"AddTags": add, "RemoveTags": remove, "DescribeTags": describe}
