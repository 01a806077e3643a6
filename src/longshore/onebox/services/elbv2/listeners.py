"""Listeners: a port of a load balancer, and what is done with what comes there if no rule says otherwise."""

from __future__ import annotations

import errno
import socket
import time

from longshore.onebox.machinery.records import Document
from longshore.onebox.services.elbv2 import actions, errors, rules
from longshore.onebox.services.elbv2.rows import (
    BALANCER,
    LISTENER,
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

_PROTOCOLS = {"application": "HTTP", "network": "TCP"}
_OF_TLS = ("SslPolicy", "Certificates", "AlpnPolicy", "MutualAuthentication")
_MOST = 50
#: A listener that was deleted just now may still be letting go of its port, seconds.
_LETS_GO = 0.5


def create(ask: Ask, given: Input) -> Output:
    balancer_arn = given["LoadBalancerArn"]
    balancer = ask.require(BALANCER, balancer_arn)
    protocol, port = given.get("Protocol"), given.get("Port")
    if protocol is None or port is None:
        raise errors.validation("A listener has a Protocol and a Port: give both.")
    _check_protocol(balancer, protocol)
    refuse(given, *_OF_TLS)
    tags = tags_of(given)
    wanted = actions.checked(ask, given["DefaultActions"], balancer_arn=balancer_arn, protocol=protocol)
    own = _of_balancer(ask, balancer_arn)
    for one in own:
        if one["Port"] == port:
            if (one["Protocol"], one["DefaultActions"]) == (protocol, wanted):
                return {"Listeners": [shown(one)]}
            raise _duplicate()
    if len(own) >= _MOST:
        raise AwsError("TooManyListeners", f"A load balancer has at most {_MOST} listeners; delete one first.")
    require_free(balancer["Address"], port)
    rest = balancer_arn.partition(":loadbalancer/")[2]
    arn = ask.arn(f"listener/{rest}/{new_id()}")
    document = {
        "ListenerArn": arn,
        "LoadBalancerArn": balancer_arn,
        "Port": port,
        "Protocol": protocol,
        "DefaultActions": wanted,
        "DefaultRuleArn": rules.new_arn(ask, arn),
        "Tags": tags,
    }
    ask.put(LISTENER, arn, document)
    return {"Listeners": [shown(document)]}


def describe(ask: Ask, given: Input) -> Output:
    balancer_arn, arns = given.get("LoadBalancerArn"), given.get("ListenerArns") or ()
    if bool(balancer_arn) == bool(arns):
        raise errors.validation("Name a load balancer by LoadBalancerArn, or listeners by ListenerArns, and not both.")
    if balancer_arn:
        ask.require(BALANCER, balancer_arn)
        found = _of_balancer(ask, balancer_arn)
    else:
        found = ask.chosen(LISTENER, arns)
    return page(given, "Listeners", [shown(one) for one in found], "ListenerArn")


def modify(ask: Ask, given: Input) -> Output:
    arn = given["ListenerArn"]
    listener = ask.require(LISTENER, arn)
    balancer_arn = listener["LoadBalancerArn"]
    balancer = ask.require(BALANCER, balancer_arn)
    refuse(given, *_OF_TLS)
    protocol, port = given.get("Protocol") or listener["Protocol"], given.get("Port") or listener["Port"]
    _check_protocol(balancer, protocol)
    if port != listener["Port"]:
        if any(one["Port"] == port for one in _of_balancer(ask, balancer_arn)):
            raise _duplicate()
        require_free(balancer["Address"], port)
    if given.get("DefaultActions"):
        listener["DefaultActions"] = actions.checked(
            ask, given["DefaultActions"], balancer_arn=balancer_arn, protocol=protocol
        )
    listener |= {"Protocol": protocol, "Port": port}
    ask.put(LISTENER, arn, listener)
    return {"Listeners": [shown(listener)]}


def delete(ask: Ask, given: Input) -> Output:
    ask.require(LISTENER, given["ListenerArn"])
    rules.remove_listener(ask, given["ListenerArn"])
    return {}


def _of_balancer(ask: Ask, balancer_arn: str) -> list[Document]:
    return [one for one in ask.all(LISTENER).values() if one["LoadBalancerArn"] == balancer_arn]


def _check_protocol(balancer: Document, protocol: str) -> None:
    served = _PROTOCOLS[balancer["Type"]]
    if protocol != served:
        raise AwsError(
            "UnsupportedProtocol",
            f"A load balancer of type {balancer['Type']} has listeners of {served} here, not of {protocol}: give"
            f" {served}, or use a load balancer of the other type.",
        )


def _duplicate() -> AwsError:
    return AwsError("DuplicateListener", "A listener already exists on this port for this load balancer")


def require_free(address: str, port: int) -> None:
    """Raise an error that says what to do when nobody can listen there."""
    deadline = time.monotonic() + _LETS_GO
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((address, port))
            except OSError as error:
                problem = error
            else:
                return
        if problem.errno != errno.EADDRINUSE or time.monotonic() > deadline:
            break
        time.sleep(0.02)
    if problem.errno == errno.EACCES:
        raise errors.not_configurable(
            f"This server's user may not listen on port {port}: choose one above 1023, or allow it with"
            f" 'sysctl net.ipv4.ip_unprivileged_port_start={port}'."
        )
    raise errors.not_configurable(f"Nobody can listen on {address}:{port} ({problem.strerror}): choose another port.")


OPERATIONS = {
    "CreateListener": create,
    "DescribeListeners": describe,
    "ModifyListener": modify,
    "DeleteListener": delete,
}
