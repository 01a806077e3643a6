"""Permissions of what deployments are watched by and told through: CloudWatch's alarms, SNS's topics.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsns.html
"""

from __future__ import annotations

from typing import Final

from longshore.auth.permissions.needs import Asked, Find, Need, Resource, Table, named, plain


def _alarms(asked: Asked) -> list[Resource]:
    return plain(_arn(asked, "cloudwatch", f"alarm:{name}") for name in named(asked, "AlarmNames"))


def _by(member: str) -> Find:
    return lambda asked: plain(named(asked, member))


def _new_topic(asked: Asked) -> list[Resource]:
    return plain(_arn(asked, "sns", name) for name in named(asked, "Name"))


def _arn(asked: Asked, service: str, rest: str) -> str:
    return f"arn:aws:{service}:{asked.region}:{asked.account}:{rest}"


def _need(action: str, find: Find) -> tuple[Need]:
    return (Need(actions=(action,), find=find),)


#: The other operations need a right to everything.
CLOUDWATCH: Final[Table] = {
    "DeleteAlarms": _need("cloudwatch:DeleteAlarms", _alarms),
    "DescribeAlarms": _need("cloudwatch:DescribeAlarms", _alarms),
}

#: As above.
SNS: Final[Table] = {
    "ConfirmSubscription": _need("sns:ConfirmSubscription", _by("TopicArn")),
    "CreateTopic": _need("sns:CreateTopic", _new_topic),
    "DeleteTopic": _need("sns:DeleteTopic", _by("TopicArn")),
    "GetTopicAttributes": _need("sns:GetTopicAttributes", _by("TopicArn")),
    "ListSubscriptionsByTopic": _need("sns:ListSubscriptionsByTopic", _by("TopicArn")),
    "ListTagsForResource": _need("sns:ListTagsForResource", _by("ResourceArn")),
    "Publish": _need("sns:Publish", _by("TopicArn")),
    "PublishBatch": _need("sns:Publish", _by("TopicArn")),
    "SetTopicAttributes": _need("sns:SetTopicAttributes", _by("TopicArn")),
    "Subscribe": _need("sns:Subscribe", _by("TopicArn")),
    "TagResource": _need("sns:TagResource", _by("ResourceArn")),
    "UntagResource": _need("sns:UntagResource", _by("ResourceArn")),
}
