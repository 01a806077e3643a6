"""Rules of a listener: which requests are not for its default action, the first that matches by priority."""

from __future__ import annotations

from longshore.onebox.machinery.records import Document
from longshore.onebox.services.elbv2 import actions, conditions, errors
from longshore.onebox.services.elbv2.rows import (
    LISTENER,
    RULE,
    Ask,
    Input,
    Output,
    new_id,
    page,
    refuse,
    shown,
    tags_of,
)
from longshore.wire.service import AwsError

_MOST = 100


def new_arn(ask: Ask, listener_arn: str) -> str:
    rest = listener_arn.partition(":listener/")[2]
    return ask.arn(f"listener-rule/{rest}/{new_id()}")


def create(ask: Ask, given: Input) -> Output:
    listener_arn, priority = given["ListenerArn"], given["Priority"]
    listener = ask.require(LISTENER, listener_arn)
    if listener["Protocol"] != "HTTP":
        raise AwsError(
            "UnsupportedProtocol", f"A listener of {listener['Protocol']} has no rules: change its default actions."
        )
    refuse(given, "Transforms")
    tags = tags_of(given)
    own = of_listener(ask, listener_arn)
    if any(one["Priority"] == str(priority) for one in own):
        raise AwsError("PriorityInUse", f"Priority '{priority}' is currently in use")
    if len(own) >= _MOST:
        raise AwsError("TooManyRules", f"A listener has at most {_MOST} rules; delete one first.")
    arn = new_arn(ask, listener_arn)
    document = {
        "RuleArn": arn,
        "ListenerArn": listener_arn,
        "Priority": str(priority),
        "Conditions": conditions.checked(given["Conditions"]),
        "Actions": _actions(ask, listener, given["Actions"]),
        "IsDefault": False,
        "Tags": tags,
    }
    ask.put(RULE, arn, document)
    return {"Rules": [_shown(document)]}


def describe(ask: Ask, given: Input) -> Output:
    listener_arn, arns = given.get("ListenerArn"), given.get("RuleArns") or ()
    if bool(listener_arn) == bool(arns):
        raise errors.validation("Name a listener by ListenerArn, or rules by RuleArns, and not both.")
    if listener_arn:
        listener = ask.require(LISTENER, listener_arn)
        found = [_shown(one) for one in of_listener(ask, listener_arn)] + [_default(listener)]
    else:
        defaults = {one["DefaultRuleArn"]: _default(one) for one in ask.all(LISTENER).values()}
        own = ask.chosen(RULE, [arn for arn in arns if arn not in defaults]) if set(arns) - defaults.keys() else []
        found = [_shown(one) for one in own] + [defaults[arn] for arn in dict.fromkeys(arns) if arn in defaults]
    # In the order in which they are tried; all of a listener's fit into one answer.
    size = given.get("PageSize")
    if size is None and not given.get("Marker"):
        return {"Rules": found}
    return page(given, "Rules", found, "RuleArn")


def modify(ask: Ask, given: Input) -> Output:
    arn = given["RuleArn"]
    rule = _own(ask, arn)
    refuse(given, "Transforms")
    if given.get("Conditions"):
        rule["Conditions"] = conditions.checked(given["Conditions"])
    if given.get("Actions"):
        rule["Actions"] = _actions(ask, ask.require(LISTENER, rule["ListenerArn"]), given["Actions"])
    ask.put(RULE, arn, rule)
    return {"Rules": [_shown(rule)]}


def delete(ask: Ask, given: Input) -> Output:
    _own(ask, given["RuleArn"])
    ask.delete(RULE, given["RuleArn"])
    return {}


def set_priorities(ask: Ask, given: Input) -> Output:
    """All of them at once: rules may change places."""
    wanted = {one.get("RuleArn") or "": str(one.get("Priority")) for one in given["RulePriorities"]}
    changed = {arn: _own(ask, arn) | {"Priority": priority} for arn, priority in wanted.items()}
    for listener_arn in {one["ListenerArn"] for one in changed.values()}:
        after = {one["RuleArn"]: one["Priority"] for one in of_listener(ask, listener_arn)} | {
            arn: one["Priority"] for arn, one in changed.items() if one["ListenerArn"] == listener_arn
        }
        if len(set(after.values())) < len(after):
            taken = next(one for one in wanted.values() if list(after.values()).count(one) > 1)
            raise AwsError("PriorityInUse", f"Priority '{taken}' is currently in use")
    for arn, rule in changed.items():
        ask.put(RULE, arn, rule)
    return {"Rules": [_shown(one) for one in changed.values()]}


def of_listener(ask: Ask, listener_arn: str) -> list[Document]:
    """The rules of a listener but its default one, in the order in which they are tried."""
    own = [one for one in ask.all(RULE).values() if one["ListenerArn"] == listener_arn]
    return sorted(own, key=lambda one: int(one["Priority"]))


def remove_listener(ask: Ask, listener_arn: str) -> None:
    """A listener goes with its rules."""
    for rule in of_listener(ask, listener_arn):
        ask.delete(RULE, rule["RuleArn"])
    ask.delete(LISTENER, listener_arn)


def _own(ask: Ask, arn: str) -> Document:
    """A rule that can be changed by itself."""
    if any(one["DefaultRuleArn"] == arn for one in ask.all(LISTENER).values()):
        raise errors.not_permitted(f"Default rule '{arn}' cannot be changed by itself: change its listener.")
    return ask.require(RULE, arn)


def _actions(ask: Ask, listener: Document, given: list[Document]) -> list[Document]:
    return actions.checked(ask, given, balancer_arn=listener["LoadBalancerArn"], protocol=listener["Protocol"])


def _default(listener: Document) -> Output:
    return {
        "RuleArn": listener["DefaultRuleArn"],
        "Priority": "default",
        "Conditions": [],
        "Actions": listener["DefaultActions"],
        "IsDefault": True,
    }


def _shown(rule: Document) -> Output:
    return {name: value for name, value in shown(rule).items() if name != "ListenerArn"}


OPERATIONS = {
    "CreateRule": create,
    "DescribeRules": describe,
    "ModifyRule": modify,
    "DeleteRule": delete,
    "SetRulePriorities": set_priorities,
}
