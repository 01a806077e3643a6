"""What a listener or a rule does with a request: forward, redirect, or answer by itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from longshore.onebox.machinery.proxy.plan import Action, Forward, Redirect, Respond
from longshore.onebox.machinery.records import Document
from longshore.onebox.services.elbv2 import errors
from longshore.onebox.services.elbv2.rows import GROUP, LISTENER, RULE, Ask, short
from longshore.wire.service import AwsError

_MOST_GROUPS = 5
_MOST_WEIGHT = 999
_MEDIA_TYPES = ("text/plain", "text/css", "text/html", "application/javascript", "application/json")
#: Which protocol of a target group goes with a listener's.
_FITS = {"HTTP": "HTTP", "TCP": "TCP"}


def checked(ask: Ask, given: Sequence[Document], *, balancer_arn: str, protocol: str) -> list[Document]:
    """Actions as they are kept; raises the error of what is wrong with them.

    `protocol` is the listener's.
    """
    if len(given) != 1:
        raise errors.invalid_action("One action is done here, and it is forward, redirect or fixed-response.")
    (action,) = given
    match action["Type"]:
        case "forward":
            return [_forward(ask, action, balancer_arn, protocol)]
        case kind if protocol != "HTTP":
            raise errors.invalid_action(f"A listener of {protocol} has no action {kind}: it can only forward.")
        case "redirect":
            return [_redirect(action)]
        case "fixed-response":
            return [_respond(action)]
        case kind:
            raise errors.invalid_action(
                f"Actions of type {kind} are not done here: forward, redirect and fixed-response are."
            )


def groups_of(actions: Sequence[Document]) -> list[str]:
    """The ARNs of the target groups that actions forward to, with whatever weight."""
    return [
        group["TargetGroupArn"]
        for action in actions
        if action["Type"] == "forward"
        for group in action["ForwardConfig"]["TargetGroups"]
    ]


def balancers_of_groups(ask: Ask) -> dict[str, set[str]]:
    """The load balancers that forward to each target group, by ARNs."""
    listeners = ask.all(LISTENER)
    users: dict[str, set[str]] = {}
    for listener in listeners.values():
        for group in groups_of(listener["DefaultActions"]):
            users.setdefault(group, set()).add(listener["LoadBalancerArn"])
    for rule in ask.all(RULE).values():
        for group in groups_of(rule["Actions"]):
            users.setdefault(group, set()).add(listeners[rule["ListenerArn"]]["LoadBalancerArn"])
    return users


def as_planned(action: Document) -> Action:
    """The action in the proxy's words."""
    match action["Type"]:
        case "forward":
            groups = action["ForwardConfig"]["TargetGroups"]
            return Forward(shares=tuple((short(one["TargetGroupArn"]), one["Weight"]) for one in groups))
        case "fixed-response":
            config = action["FixedResponseConfig"]
            return Respond(
                status=int(config["StatusCode"]),
                content_type=config.get("ContentType") or "",
                body=config.get("MessageBody") or "",
            )
        case _:
            return _planned_redirect(action["RedirectConfig"])


def _forward(ask: Ask, action: Document, balancer_arn: str, protocol: str) -> Document:
    config = action.get("ForwardConfig") or {}
    named = action.get("TargetGroupArn")
    groups: list[dict[str, Any]] = [
        {"TargetGroupArn": one.get("TargetGroupArn") or "", "Weight": 1 if one.get("Weight") is None else one["Weight"]}
        for one in config.get("TargetGroups") or ()
    ] or ([{"TargetGroupArn": named, "Weight": 1}] if named else [])
    arns = [one["TargetGroupArn"] for one in groups]
    if named and arns != [named]:
        raise errors.validation("TargetGroupArn and ForwardConfig name different target groups; give one of them.")
    if not 1 <= len(groups) <= _MOST_GROUPS or len(set(arns)) < len(arns):
        raise errors.validation(f"An action forwards to 1 to {_MOST_GROUPS} target groups, and to each of them once.")
    if not all(0 <= one["Weight"] <= _MOST_WEIGHT for one in groups):
        raise errors.validation(f"The weight of a target group is 0 to {_MOST_WEIGHT}.")
    if (config.get("TargetGroupStickinessConfig") or {}).get("Enabled"):
        raise errors.not_configurable("Stickiness is not done here: every request goes by the weights.")
    users = balancers_of_groups(ask)
    for arn in arns:
        group = ask.require(GROUP, arn)
        if group["Protocol"] != _FITS[protocol]:
            raise AwsError(
                "IncompatibleProtocols",
                f"The protocol {group['Protocol']} of target group '{arn}' does not go with a listener of {protocol}:"
                f" name one of {_FITS[protocol]}",
            )
        if users.get(arn, set()) - {balancer_arn}:
            raise AwsError(
                "TargetGroupAssociationLimit",
                f"The following target groups cannot be associated with more than one load balancer: {arn}",
            )
    shown: Document = {
        "Type": "forward",
        "ForwardConfig": {"TargetGroups": groups, "TargetGroupStickinessConfig": {"Enabled": False}},
    }
    if len(arns) == 1:
        shown["TargetGroupArn"] = arns[0]
    return shown | _order(action)


def _order(action: Document) -> Document:
    return {"Order": action["Order"]} if action.get("Order") is not None else {}


def _respond(action: Document) -> Document:
    config = action.get("FixedResponseConfig")
    if not config:
        raise errors.validation("An action fixed-response needs a FixedResponseConfig.")
    if config.get("ContentType") and config["ContentType"] not in _MEDIA_TYPES:
        raise errors.validation(f"The ContentType of a fixed response is one of {', '.join(_MEDIA_TYPES)}.")
    return {"Type": "fixed-response", "FixedResponseConfig": dict(config)} | _order(action)


#: Nothing that a header could not have in it.
_PRINTABLE = re.compile("[!-~]*")
_UNCHANGED = {
    "Protocol": "#{protocol}",
    "Host": "#{host}",
    "Port": "#{port}",
    "Path": "/#{path}",
    "Query": "#{query}",
}


def _redirect(action: Document) -> Document:
    config = action.get("RedirectConfig")
    if not config:
        raise errors.validation("An action redirect needs a RedirectConfig.")
    full = _UNCHANGED | {name: value for name, value in config.items() if value is not None}
    if all(full[name] == value for name, value in _UNCHANGED.items()):
        raise errors.invalid_action("This redirect leads to where the request came from; change a part of it.")
    _planned_redirect(full)
    return {"Type": "redirect", "RedirectConfig": full} | _order(action)


def _planned_redirect(config: dict[str, Any]) -> Redirect:
    """Raises the error of what cannot be done."""
    protocol, host, port = (config[name] for name in ("Protocol", "Host", "Port"))
    path, query = config["Path"], config["Query"]
    if not all(_PRINTABLE.fullmatch(text) for text in (host, path, query)):
        raise errors.validation("Host, Path and Query of a redirect are printable ASCII without spaces.")
    if port != _UNCHANGED["Port"] and not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise errors.validation("The Port of a redirect is 1 to 65535, or #{port}.")
    if not path.startswith("/"):
        raise errors.validation("The Path of a redirect begins with '/'.")
    if "#{" in host and host != _UNCHANGED["Host"]:
        raise errors.not_configurable("The Host of a redirect is a name, or #{host}, here.")
    around, whole = _path(path, query)
    return Redirect(
        status=int(config["StatusCode"].removeprefix("HTTP_")),
        scheme=None if protocol == _UNCHANGED["Protocol"] else protocol.lower(),
        host=None if host == _UNCHANGED["Host"] else host,
        port=None if port == _UNCHANGED["Port"] else int(port),
        around_path=around,
        path=whole,
        drops_query=not query,
    )


def _path(path: str, query: str) -> tuple[tuple[str, str] | None, str | None]:
    """What surrounds the path that was asked for, or what is there instead of it; neither: it stays."""
    parts = path.split("#{path}")
    if len(parts) > 2 or re.search(r"#\{(?!path\})", path):
        raise errors.not_configurable("The Path of a redirect has #{path} once and nothing else of the request, here.")
    if query not in ("", _UNCHANGED["Query"]):
        if len(parts) > 1 or "#{" in query:
            raise errors.not_configurable("A redirect has a Query of its own only with a Path of its own, here.")
        return None, f"{path}?{query}"
    if len(parts) == 1:
        return None, path
    return (None if path == _UNCHANGED["Path"] else (parts[0], parts[1])), None
