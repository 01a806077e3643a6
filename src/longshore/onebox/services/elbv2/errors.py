"""Elastic Load Balancing's own errors, by the codes of its model."""

from __future__ import annotations

from collections.abc import Sequence

from longshore.wire.service import AwsError


def validation(message: str) -> AwsError:
    return AwsError("ValidationError", message)


def not_configurable(message: str) -> AwsError:
    return AwsError("InvalidConfigurationRequest", message)


# What is not there is told in AWS's words, which tools look for; `missing` are names or ARNs.


def load_balancers_not_found(missing: Sequence[str]) -> AwsError:
    told = "One or more load balancers not found"
    if not any(one.startswith("arn:") for one in missing):
        told = f"Load balancers '[{', '.join(missing)}]' not found"
    return AwsError("LoadBalancerNotFound", told)


def target_groups_not_found(missing: Sequence[str]) -> AwsError:
    (first, *others) = missing
    is_one = first.startswith("arn:") and not others
    told = f"Target groups '{first}' not found" if is_one else "One or more target groups not found"
    return AwsError("TargetGroupNotFound", told)


def listeners_not_found(_missing: Sequence[str]) -> AwsError:
    return AwsError("ListenerNotFound", "One or more listeners not found")


def rules_not_found(_missing: Sequence[str]) -> AwsError:
    return AwsError("RuleNotFound", "One or more rules not found")


def in_use(message: str) -> AwsError:
    return AwsError("ResourceInUse", message)


def not_permitted(message: str) -> AwsError:
    return AwsError("OperationNotPermitted", message)


def invalid_target(message: str) -> AwsError:
    return AwsError("InvalidTarget", message)


def invalid_action(message: str) -> AwsError:
    return AwsError("InvalidLoadBalancerAction", message)
