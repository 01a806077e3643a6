"""Elastic Load Balancing's own errors, by the codes of its model."""

from __future__ import annotations

from collections.abc import Iterable

from longshore.wire.service import AwsError


def validation(message: str) -> AwsError:
    return AwsError("ValidationError", message)


def not_configurable(message: str) -> AwsError:
    return AwsError("InvalidConfigurationRequest", message)


def load_balancers_not_found(names: Iterable[str]) -> AwsError:
    return AwsError("LoadBalancerNotFound", f"Load balancers '[{', '.join(names)}]' not found")


def target_groups_not_found(names: Iterable[str]) -> AwsError:
    return AwsError("TargetGroupNotFound", f"Target groups '[{', '.join(names)}]' not found")


def listeners_not_found(arns: Iterable[str]) -> AwsError:
    return AwsError("ListenerNotFound", f"Listeners '[{', '.join(arns)}]' not found")


def rules_not_found(arns: Iterable[str]) -> AwsError:
    return AwsError("RuleNotFound", f"Rules '[{', '.join(arns)}]' not found")


def in_use(message: str) -> AwsError:
    return AwsError("ResourceInUse", message)


def not_permitted(message: str) -> AwsError:
    return AwsError("OperationNotPermitted", message)


def invalid_target(message: str) -> AwsError:
    return AwsError("InvalidTarget", message)


def invalid_action(message: str) -> AwsError:
    return AwsError("InvalidLoadBalancerAction", message)
