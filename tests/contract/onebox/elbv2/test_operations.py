"""Every operation as boto3 and the aws CLI see it: shapes, ARNs, and AWS's own exceptions."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests import ports
from tests.acceptance.world import ControlPlane
from tests.contract.onebox.elbv2.conftest import Backends, Shop, ask, new_group
from tests.load import until

ARN = "arn:aws:elasticloadbalancing:us-east-1:000000000000"
NOWHERE = {
    "LoadBalancerArn": f"{ARN}:loadbalancer/app/none/0123456789abcdef",
    "TargetGroupArn": f"{ARN}:targetgroup/none/0123456789abcdef",
    "ListenerArn": f"{ARN}:listener/app/none/0123456789abcdef/0123456789abcdef",
    "RuleArn": f"{ARN}:listener-rule/app/none/0123456789abcdef/0123456789abcdef/0123456789abcdef",
}
FIXED = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}]
PATH = [{"Field": "path-pattern", "Values": ["/x"]}]


def refused(call: Callable[..., Any], **asked: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**asked)
    error = caught.value.response["Error"]
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return error["Code"], error["Message"]


def test_a_load_balancer_and_its_parts_have_the_arns_of_aws(shop: Shop, plane: ControlPlane) -> None:
    elb = shop.elb
    (balancer,) = elb.describe_load_balancers(Names=[shop.name])["LoadBalancers"]
    assert re.fullmatch(rf"{ARN}:loadbalancer/app/{shop.name}/[0-9a-f]{{16}}", balancer["LoadBalancerArn"])
    assert balancer["DNSName"].startswith("127.128.")
    assert (balancer["Type"], balancer["Scheme"], balancer["State"]) == (
        "application",
        "internet-facing",
        {"Code": "active"},
    )
    rest = balancer["LoadBalancerArn"].partition(":loadbalancer/")[2]
    assert re.fullmatch(rf"{ARN}:listener/{rest}/[0-9a-f]{{16}}", shop.listener)
    (group,) = elb.describe_target_groups(LoadBalancerArn=shop.balancer)["TargetGroups"]
    assert re.fullmatch(rf"{ARN}:targetgroup/{shop.name}-web/[0-9a-f]{{16}}", group["TargetGroupArn"])
    assert group["LoadBalancerArns"] == [shop.balancer]
    (listener,) = elb.describe_listeners(LoadBalancerArn=shop.balancer)["Listeners"]
    assert listener["DefaultActions"][0]["TargetGroupArn"] == shop.group
    assert listener["DefaultActions"][0]["ForwardConfig"]["TargetGroups"] == [
        {"TargetGroupArn": shop.group, "Weight": 1}
    ]
    (default,) = elb.describe_rules(ListenerArn=shop.listener)["Rules"]
    assert re.fullmatch(rf"{ARN}:listener-rule/{rest}/[0-9a-f]{{16}}/[0-9a-f]{{16}}", default["RuleArn"])
    assert (default["Priority"], default["IsDefault"]) == ("default", True)
    assert elb.describe_rules(RuleArns=[default["RuleArn"]])["Rules"] == [default]


def test_what_is_made_twice_alike_is_one_and_differently_is_refused(
    elb: Any, shop: Shop, new_name: Callable[[], str]
) -> None:
    assert elb.create_load_balancer(Name=shop.name)["LoadBalancers"][0]["LoadBalancerArn"] == shop.balancer
    assert new_group(elb, f"{shop.name}-web") == shop.group
    asked = {
        "LoadBalancerArn": shop.balancer,
        "Protocol": "HTTP",
        "Port": shop.port,
        "DefaultActions": [{"Type": "forward", "TargetGroupArn": shop.group}],
    }
    assert elb.create_listener(**asked)["Listeners"][0]["ListenerArn"] == shop.listener
    assert refused(elb.create_load_balancer, Name=shop.name, Scheme="internal")[0] == "DuplicateLoadBalancerName"
    assert refused(new_group, elb=elb, name=f"{shop.name}-web", Port=1)[0] == "DuplicateTargetGroupName"
    assert refused(elb.create_listener, **asked | {"DefaultActions": FIXED})[0] == "DuplicateListener"


def test_what_is_not_there_has_the_exception_of_its_kind(elb: Any, shop: Shop) -> None:
    balancer, group, listener, rule = ({name: arn} for name, arn in NOWHERE.items())
    targets = {"Targets": [{"Id": "127.0.0.1"}]}
    attributes = {"Attributes": []}
    cases: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
        (elb.describe_load_balancers, {"Names": ["none"]}, "LoadBalancerNotFound"),
        (elb.describe_load_balancers, {"LoadBalancerArns": list(balancer.values())}, "LoadBalancerNotFound"),
        (elb.describe_load_balancer_attributes, balancer, "LoadBalancerNotFound"),
        (elb.modify_load_balancer_attributes, balancer | attributes, "LoadBalancerNotFound"),
        (elb.describe_listeners, balancer, "LoadBalancerNotFound"),
        (
            elb.create_listener,
            balancer | {"Protocol": "HTTP", "Port": 80, "DefaultActions": FIXED},
            "LoadBalancerNotFound",
        ),
        (elb.describe_target_groups, {"Names": ["none"]}, "TargetGroupNotFound"),
        (elb.describe_target_groups, balancer, "LoadBalancerNotFound"),
        (elb.modify_target_group, group, "TargetGroupNotFound"),
        (elb.describe_target_group_attributes, group, "TargetGroupNotFound"),
        (elb.modify_target_group_attributes, group | attributes, "TargetGroupNotFound"),
        (elb.describe_target_health, group, "TargetGroupNotFound"),
        (elb.register_targets, group | targets, "TargetGroupNotFound"),
        (elb.deregister_targets, group | targets, "TargetGroupNotFound"),
        (
            elb.modify_listener,
            {"ListenerArn": shop.listener, "DefaultActions": [{"Type": "forward", **group}]},
            "TargetGroupNotFound",
        ),
        (elb.describe_listeners, {"ListenerArns": list(listener.values())}, "ListenerNotFound"),
        (elb.modify_listener, listener, "ListenerNotFound"),
        (elb.delete_listener, listener, "ListenerNotFound"),
        (elb.describe_rules, listener, "ListenerNotFound"),
        (elb.create_rule, listener | {"Priority": 1, "Conditions": PATH, "Actions": FIXED}, "ListenerNotFound"),
        (elb.describe_rules, {"RuleArns": list(rule.values())}, "RuleNotFound"),
        (elb.modify_rule, rule, "RuleNotFound"),
        (elb.delete_rule, rule, "RuleNotFound"),
        (elb.set_rule_priorities, {"RulePriorities": [{"Priority": 1, **rule}]}, "RuleNotFound"),
        (elb.describe_tags, {"ResourceArns": list(group.values())}, "TargetGroupNotFound"),
    ]
    for call, asked, code in cases:
        assert refused(call, **asked)[0] == code, (call.__name__, asked)
    # These two say yes to what is gone already.
    elb.delete_load_balancer(**balancer)
    elb.delete_target_group(**group)


def test_where_aws_has_fixed_words_they_are_said(elb: Any, shop: Shop, new_name: Callable[[], str]) -> None:
    """Tools look for these."""
    balancer, group, listener, rule = NOWHERE.values()
    instances = new_group(elb, new_name(), TargetType="instance")
    cases: list[tuple[Callable[..., Any], dict[str, Any], str, str]] = [
        (
            elb.describe_load_balancers,
            {"Names": ["nope", "none"]},
            "LoadBalancerNotFound",
            "Load balancers '[nope, none]' not found",
        ),
        (
            elb.describe_load_balancers,
            {"LoadBalancerArns": [balancer]},
            "LoadBalancerNotFound",
            "One or more load balancers not found",
        ),
        (
            elb.describe_target_groups,
            {"Names": ["nope"]},
            "TargetGroupNotFound",
            "One or more target groups not found",
        ),
        (
            elb.describe_target_health,
            {"TargetGroupArn": group},
            "TargetGroupNotFound",
            f"Target groups '{group}' not found",
        ),
        (elb.describe_rules, {"ListenerArn": listener}, "ListenerNotFound", "One or more listeners not found"),
        (elb.delete_rule, {"RuleArn": rule}, "RuleNotFound", "One or more rules not found"),
        (
            elb.describe_target_groups,
            {"TargetGroupArns": ["nope"]},
            "ValidationError",
            "'nope' is not a valid target group ARN",
        ),
        (
            elb.describe_listeners,
            {"LoadBalancerArn": group},
            "ValidationError",
            f"'{group}' is not a valid load balancer ARN",
        ),
        (
            elb.modify_target_group,
            {"TargetGroupArn": shop.group, "HealthCheckIntervalSeconds": 5, "HealthCheckTimeoutSeconds": 5},
            "ValidationError",
            "Health check interval must be greater than the timeout.",
        ),
        (
            elb.register_targets,
            {"TargetGroupArn": instances, "Targets": [{"Id": "10.0.3.17"}]},
            "ValidationError",
            "Instance ID '10.0.3.17' is not valid",
        ),
        (
            elb.delete_target_group,
            {"TargetGroupArn": shop.group},
            "ResourceInUse",
            f"Target group '{shop.group}' is currently in use by a listener or a rule",
        ),
    ]
    for call, asked, code, said in cases:
        assert refused(call, **asked) == (code, said)


def test_an_auto_scaling_group_is_refused_what_is_no_target_group_of_instances(
    plane: ControlPlane, elb: Any, new_name: Callable[[], str]
) -> None:
    """By the server's own load balancers."""
    addresses, gone, fit = (new_group(elb, new_name(), TargetType=kind) for kind in ("ip", "instance", "instance"))
    elb.delete_target_group(TargetGroupArn=gone)
    name, scaling = new_name(), plane.client("autoscaling")
    data = {"ImageId": "ami-longshore"}
    plane.client("ec2").create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
    asked = {
        "AutoScalingGroupName": name,
        "LaunchTemplate": {"LaunchTemplateName": name},
        "MinSize": 0,
        "MaxSize": 0,
        "AvailabilityZones": ["us-east-1a"],
    }
    for arn, said in ((addresses, "target type of instance"), (gone, "Please ensure they exist")):
        code, message = refused(scaling.create_auto_scaling_group, **asked, TargetGroupARNs=[fit, arn])
        assert (code, said in message) == ("ValidationError", True), message
    scaling.create_auto_scaling_group(**asked, TargetGroupARNs=[fit])
    (made,) = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    assert made["TargetGroupARNs"] == [fit]
    scaling.delete_auto_scaling_group(AutoScalingGroupName=name)


def test_what_cannot_be_is_refused_and_it_is_said_why(elb: Any, shop: Shop, new_name: Callable[[], str]) -> None:
    other = new_group(elb, new_name())
    tcp = new_group(elb, new_name(), Protocol="TCP", HealthCheckPath=None)
    target = {"TargetGroupArn": shop.group}
    listener = {"ListenerArn": shop.listener}
    rule = listener | {"Priority": 5, "Conditions": PATH, "Actions": FIXED}

    def forward(*shares: tuple[str, int], **more: Any) -> dict[str, Any]:
        groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in shares]
        return {"DefaultActions": [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups, **more}}]}

    elb.create_rule(**rule)
    (default,) = [one for one in elb.describe_rules(**listener)["Rules"] if one["IsDefault"]]
    cases: list[tuple[Callable[..., Any], dict[str, Any], str, str]] = [
        (elb.create_load_balancer, {"Name": "-x"}, "ValidationError", "name"),
        (elb.create_load_balancer, {"Name": "internal-x"}, "ValidationError", "internal-"),
        (elb.create_load_balancer, {"Name": "x", "Type": "gateway"}, "InvalidConfigurationRequest", "gateway"),
        (elb.delete_target_group, target, "ResourceInUse", "in use"),
        (elb.create_rule, rule, "PriorityInUse", "'5'"),
        (elb.create_rule, rule | {"Priority": 50001}, "ValidationError", "riority"),
        (elb.create_rule, rule | {"Priority": 6, "Conditions": PATH * 2}, "ValidationError", "only one"),
        (
            elb.create_rule,
            rule | {"Priority": 6, "Conditions": [{"Field": "path-pattern", "Values": ["/x"] * 6}]},
            "ValidationError",
            "at most 5",
        ),
        (elb.create_rule, rule | {"Priority": 6, "Conditions": [{"Field": "moon"}]}, "ValidationError", "moon"),
        (
            elb.create_rule,
            rule
            | {"Priority": 6, "Conditions": [{"Field": "source-ip", "SourceIpConfig": {"Values": ["127.0.0.300/8"]}}]},
            "ValidationError",
            "CIDR",
        ),
        (elb.delete_rule, {"RuleArn": default["RuleArn"]}, "OperationNotPermitted", "listener"),
        (elb.modify_rule, {"RuleArn": default["RuleArn"], "Actions": FIXED}, "OperationNotPermitted", "listener"),
        (elb.modify_listener, listener | {"Protocol": "TCP"}, "UnsupportedProtocol", "TCP"),
        (elb.modify_listener, listener | {"DefaultActions": FIXED * 2}, "InvalidLoadBalancerAction", "One action"),
        (elb.modify_listener, listener | forward((tcp, 1)), "IncompatibleProtocols", "TCP"),
        (elb.modify_listener, listener | forward((shop.group, 1000)), "ValidationError", "999"),
        (
            elb.modify_listener,
            listener | forward((shop.group, 1), TargetGroupStickinessConfig={"Enabled": True, "DurationSeconds": 60}),
            "InvalidConfigurationRequest",
            "Stickiness",
        ),
        (
            elb.modify_listener,
            listener | {"DefaultActions": [{"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_302"}}]},
            "InvalidLoadBalancerAction",
            "came from",
        ),
        (elb.register_targets, target | {"Targets": [{"Id": "i-0123456789abcdef0"}]}, "InvalidTarget", "IPv4"),
        (elb.register_targets, target | {"Targets": [{"Id": "169.254.169.254"}]}, "InvalidTarget", "169.254"),
        (new_group, {"elb": elb, "name": "x", "TargetType": "lambda"}, "InvalidConfigurationRequest", "lambda"),
        (new_group, {"elb": elb, "name": "x", "Protocol": "UDP"}, "InvalidConfigurationRequest", "UDP"),
        (
            new_group,
            {"elb": elb, "name": "x", "HealthCheckTimeoutSeconds": 5},
            "ValidationError",
            "interval must be greater",
        ),
        (new_group, {"elb": elb, "name": "x", "HealthCheckIntervalSeconds": 301}, "ValidationError", "Interval"),
        (new_group, {"elb": elb, "name": "x", "HealthCheckPort": "0"}, "ValidationError", "65535"),
        (new_group, {"elb": elb, "name": "x", "Matcher": {"HttpCode": "99"}}, "ValidationError", "200"),
        (
            elb.modify_target_group_attributes,
            target | {"Attributes": [{"Key": "stickiness.enabled", "Value": "true"}]},
            "InvalidConfigurationRequest",
            "stickiness",
        ),
        (
            elb.modify_target_group_attributes,
            target | {"Attributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": "3601"}]},
            "ValidationError",
            "give 0 to 3600",
        ),
        (
            elb.modify_target_group_attributes,
            target | {"Attributes": [{"Key": "moon", "Value": "1"}]},
            "ValidationError",
            "not recognized",
        ),
        (elb.describe_listeners, {}, "ValidationError", "Name"),
    ]
    for call, asked, code, said in cases:
        found, message = refused(call, **asked)
        assert (found, said in message) == (code, True), (asked, found, message)
    second = elb.create_load_balancer(Name=new_name())["LoadBalancers"][0]["LoadBalancerArn"]
    taken = {"LoadBalancerArn": second, "Protocol": "HTTP", "Port": 18080}
    action = [{"Type": "forward", "TargetGroupArn": shop.group}]
    assert refused(elb.create_listener, **taken, DefaultActions=action)[0] == "TargetGroupAssociationLimit"
    elb.delete_load_balancer(LoadBalancerArn=second)
    elb.delete_target_group(TargetGroupArn=other)
    instances = new_group(elb, new_name(), TargetType="instance")
    running = {"TargetGroupArn": instances, "Targets": [{"Id": "i-0123456789abcdef0"}]}
    code, message = refused(elb.register_targets, **running)
    assert (code, "not in a running state" in message) == ("InvalidTarget", True)


def test_a_port_that_is_taken_is_refused_before_anything_is_kept(elb: Any, shop: Shop) -> None:
    port = ports.kept(shop.address)
    with socket.create_server((shop.address, port)):
        asked = {"LoadBalancerArn": shop.balancer, "Protocol": "HTTP", "Port": port, "DefaultActions": FIXED}
        code, message = refused(elb.create_listener, **asked)
        assert (code, f":{port}" in message) == ("InvalidConfigurationRequest", True)
        assert len(elb.describe_listeners(LoadBalancerArn=shop.balancer)["Listeners"]) == 1
    made = elb.create_listener(**asked)["Listeners"][0]["ListenerArn"]
    assert ask(shop, port=port)[0] == 200
    elb.delete_listener(ListenerArn=made)
    with pytest.raises(ConnectionRefusedError):
        ask(shop, port=port)
    assert elb.create_listener(**asked)["Listeners"]


def test_a_listener_can_move_to_another_port(elb: Any, shop: Shop) -> None:
    port = ports.kept(shop.address)
    elb.modify_listener(ListenerArn=shop.listener, Port=port, DefaultActions=FIXED)
    assert ask(shop, port=port)[0] == 200
    until(lambda: _is_refused(shop))


def _is_refused(shop: Shop) -> bool:
    try:
        ask(shop)
    except ConnectionRefusedError:
        return True
    return False


def test_attributes_are_kept_and_heeded(elb: Any, shop: Shop) -> None:
    def protect(value: str) -> None:
        attribute = {"Key": "deletion_protection.enabled", "Value": value}
        elb.modify_load_balancer_attributes(LoadBalancerArn=shop.balancer, Attributes=[attribute])

    protect("true")
    assert refused(elb.delete_load_balancer, LoadBalancerArn=shop.balancer)[0] == "OperationNotPermitted"
    attributes = elb.describe_load_balancer_attributes(LoadBalancerArn=shop.balancer)["Attributes"]
    assert {"Key": "deletion_protection.enabled", "Value": "true"} in attributes
    assert {"Key": "idle_timeout.timeout_seconds", "Value": "60"} in attributes
    protect("false")
    changed = [{"Key": "load_balancing.algorithm.type", "Value": "least_outstanding_requests"}]
    found = elb.modify_target_group_attributes(TargetGroupArn=shop.group, Attributes=changed)["Attributes"]
    assert changed[0] in found
    assert elb.describe_target_group_attributes(TargetGroupArn=shop.group)["Attributes"] == found
    assert {"Key": "deregistration_delay.timeout_seconds", "Value": "300"} in found


def test_a_connection_is_idle_no_longer_than_it_may_be(elb: Any, shop: Shop, backends: Backends) -> None:
    idle = {"Key": "idle_timeout.timeout_seconds", "Value": "1"}
    elb.modify_load_balancer_attributes(LoadBalancerArn=shop.balancer, Attributes=[idle])
    slow = backends("slow")
    shop.register(slow)
    assert ask(shop, "/slow")[0] == 504
    slow.release()


def test_tags_go_on_and_off(elb: Any, shop: Shop) -> None:
    arns = [shop.balancer, shop.group, shop.listener]
    elb.add_tags(ResourceArns=arns, Tags=[{"Key": "stage", "Value": "beta"}, {"Key": "team", "Value": ""}])
    elb.remove_tags(ResourceArns=[shop.balancer], TagKeys=["stage", "none"])
    found = {one["ResourceArn"]: one["Tags"] for one in elb.describe_tags(ResourceArns=arns)["TagDescriptions"]}
    assert found[shop.balancer] == [{"Key": "team", "Value": ""}]
    assert {"Key": "stage", "Value": "beta"} in found[shop.group]
    twice = [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]
    assert refused(elb.add_tags, ResourceArns=arns, Tags=twice)[0] == "DuplicateTagKeys"


def test_lists_come_in_pages(elb: Any, new_name: Callable[[], str]) -> None:
    made = {new_group(elb, new_name()) for _ in range(5)}
    pages = list(elb.get_paginator("describe_target_groups").paginate(PaginationConfig={"PageSize": 2}))
    assert max(len(one["TargetGroups"]) for one in pages) == 2
    found = [group["TargetGroupArn"] for one in pages for group in one["TargetGroups"]]
    assert len(found) == len(set(found))
    assert made <= set(found)


def test_another_region_has_its_own(plane: ControlPlane, shop: Shop) -> None:
    elsewhere = plane.client("elbv2", region="eu-west-1")
    assert elsewhere.describe_load_balancers()["LoadBalancers"] == []
    assert refused(elsewhere.describe_target_health, TargetGroupArn=shop.group)[0] == "TargetGroupNotFound"


def test_the_command_line_makes_it_all(plane: ControlPlane, new_name: Callable[[], str], backends: Backends) -> None:
    name, one = new_name(), backends("one")

    def aws(*words: str) -> Any:
        return plane.aws("elbv2", *words)

    (balancer,) = aws("create-load-balancer", "--name", name)["LoadBalancers"]
    (group,) = aws(
        *("create-target-group", "--name", name, "--protocol", "HTTP", "--port", str(one.port)),
        *("--target-type", "ip", "--health-check-path", "/health"),
    )["TargetGroups"]
    port = ports.kept(balancer["DNSName"])
    arn = group["TargetGroupArn"]
    aws(
        *("create-listener", "--load-balancer-arn", balancer["LoadBalancerArn"], "--protocol", "HTTP"),
        *("--port", str(port), "--default-actions", f"Type=forward,TargetGroupArn={arn}"),
    )
    aws("register-targets", "--target-group-arn", arn, "--targets", f"Id={one.address}")
    plane.run("aws", "elbv2", "wait", "target-in-service", "--target-group-arn", arn)
    shop = Shop(None, name, balancer["LoadBalancerArn"], balancer["DNSName"], "", port, arn)
    assert ask(shop)[1] == "one"
    aws("deregister-targets", "--target-group-arn", arn, "--targets", f"Id={one.address}")
    plane.run(
        "aws", "elbv2", "wait", "target-deregistered", "--target-group-arn", arn, "--targets", f"Id={one.address}"
    )
    aws("delete-load-balancer", "--load-balancer-arn", balancer["LoadBalancerArn"])
    aws("delete-target-group", "--target-group-arn", arn)


def test_what_changes_is_audited(plane: ControlPlane, shop: Shop) -> None:
    records = plane.client("longshore").list_audit_records()["records"]
    assert "CreateListener" in {one["operation"] for one in records}


def test_who_may_register_at_one_group_may_not_at_another(plane: ControlPlane, shop: Shop) -> None:
    iam = plane.client("iam")
    iam.create_user(UserName=shop.name)
    allowed = {"Effect": "Allow", "Action": "elasticloadbalancing:RegisterTargets", "Resource": shop.group}
    document = f'{{"Version": "2012-10-17", "Statement": {str([allowed])!s}}}'.replace("'", '"')
    iam.put_user_policy(UserName=shop.name, PolicyName="one", PolicyDocument=document)
    key = iam.create_access_key(UserName=shop.name)["AccessKey"]
    mine = plane.client("elbv2", keys=(key["AccessKeyId"], key["SecretAccessKey"]))
    target = {"Targets": [{"Id": "127.0.0.1", "Port": 1}]}
    mine.register_targets(TargetGroupArn=shop.group, **target)
    for call, asked in (
        (mine.register_targets, {"TargetGroupArn": NOWHERE["TargetGroupArn"], **target}),
        (mine.deregister_targets, {"TargetGroupArn": shop.group, **target}),
        (mine.describe_load_balancers, {}),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            call(**asked)
