"""Requests through real listeners: who answers them, and that none is lost while things change."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.exceptions import HTTPClientError

from tests import ports
from tests.acceptance.world import ControlPlane
from tests.contract.onebox.elbv2.conftest import Backends, Shop, ask, make_shop, new_group
from tests.load import Backend, ending_proxy, load, until


def test_a_target_goes_in_serves_and_goes_out(shop: Shop, backends: Backends) -> None:
    one, two = backends("one"), backends("two")
    assert shop.health(one) == {
        "State": "unused",
        "Reason": "Target.NotRegistered",
        "Description": "Target is not registered to the target group",
    }
    assert ask(shop)[0] == 503
    shop.register(one, two)
    with load(shop.address, shop.port) as seen:
        seen.more()
        assert seen.answered.keys() == {"one", "two"}
        shop.deregister(one)
        assert shop.health(one)["State"] == "draining"
        until(lambda: shop.health(one)["State"] == "unused")
        asked = one.asked
        seen.more()
        assert one.asked == asked
        shop.register(one)
        until(lambda: one.asked > asked)
    assert seen.failed == []


def test_what_is_under_way_at_a_target_ends_before_it_is_out(shop: Shop, backends: Backends) -> None:
    old, new = backends("old"), backends("new")
    shop.register(old)
    answers: list[tuple[int, str, Any]] = []
    slow = threading.Thread(target=lambda: answers.append(ask(shop, "/slow")))
    slow.start()
    until(lambda: old.asked == 1)
    shop.register(new)
    shop.deregister(old)
    with load(shop.address, shop.port) as seen:
        seen.more()
        assert shop.health(old)["State"] == "draining"
        assert old.asked == 1
        old.release()
        slow.join(20)
        until(lambda: shop.health(old)["State"] == "unused")
    assert [one[:2] for one in answers] == [(200, "old")]
    assert seen.failed == []


def test_after_the_deregistration_delay_a_target_is_out_whatever_it_does(shop: Shop, backends: Backends) -> None:
    delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "1"}
    shop.elb.modify_target_group_attributes(TargetGroupArn=shop.group, Attributes=[delay])
    old = backends("old")
    shop.register(old)
    slow = threading.Thread(target=lambda: ask(shop, "/slow"))
    slow.start()
    until(lambda: old.asked == 1)
    shop.deregister(old)
    until(lambda: shop.health(old)["State"] == "unused")
    old.release()
    slow.join(20)


def test_only_the_healthy_are_asked_and_it_is_told_why(shop: Shop, backends: Backends) -> None:
    well, ill, silent = backends("well"), backends("ill"), backends("silent")
    ill.health, silent.health = 503, 0
    gone = Backend("gone")
    gone.close()
    shop.register(well, ill, silent, gone, healthy=False)
    until(lambda: shop.health(silent)["State"] == "unhealthy")
    until(lambda: shop.health(ill).get("Reason") == "Target.ResponseCodeMismatch")
    until(lambda: shop.health(silent).get("Reason") == "Target.Timeout")
    assert shop.health(ill)["Description"] == "Health checks failed with these codes: [503]"
    assert shop.health(gone)["Reason"] == "Target.FailedHealthChecks"
    assert shop.health(well) == {"State": "healthy"}
    with load(shop.address, shop.port) as seen:
        seen.more()
    assert (seen.failed, set(seen.answered)) == ([], {"well"})
    shop.elb.modify_target_group(TargetGroupArn=shop.group, Matcher={"HttpCode": "200-299,503"})
    until(lambda: shop.health(ill)["State"] == "healthy")


def test_weights_move_requests_and_lose_none(shop: Shop, backends: Backends) -> None:
    blue, green = backends("blue"), backends("green")
    shop.register(blue)
    other = shop.new_group("green")
    shop.forward(web=1, green=0)
    shop.register(green, group=other)
    with load(shop.address, shop.port) as seen:
        seen.more()
        assert set(seen.answered) == {"blue"}
        for share in (10, 50, 90, 100):
            shop.forward(web=100 - share, green=share)
            seen.more(100)
        asked = blue.asked
        seen.more()
        assert blue.asked == asked
        shop.forward(web=1)
        seen.more()
    assert seen.failed == []
    assert shop.health(green, group=other)["Reason"] == "Target.NotInUse"


CONDITIONS: list[tuple[list[dict[str, Any]], dict[str, Any], bool]] = [
    ([{"Field": "path-pattern", "Values": ["/img/*", "/?.txt"]}], {"path": "/img/a/b.png?x=1"}, True),
    ([{"Field": "path-pattern", "Values": ["/img/*", "/?.txt"]}], {"path": "/a.txt"}, True),
    ([{"Field": "path-pattern", "Values": ["/img/*", "/?.txt"]}], {"path": "/ab.txt"}, False),
    ([{"Field": "path-pattern", "Values": ["/img/*"]}], {"path": "/IMG/a"}, False),
    ([{"Field": "path-pattern", "Values": ["/a.c"]}], {"path": "/abc"}, False),
    ([{"Field": "host-header", "Values": ["*.Example.com"]}], {"host": "www.example.COM"}, True),
    ([{"Field": "host-header", "Values": ["*.example.com"]}], {"host": "www.example.com:8080"}, True),
    ([{"Field": "host-header", "Values": ["*.example.com"]}], {"host": "example.com"}, False),
    (
        [{"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Stage", "Values": ["be?a*"]}}],
        {"x_stage": "BETA-2"},
        True,
    ),
    (
        [{"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Stage", "Values": ["beta"]}}],
        {"x_stage": "alpha"},
        False,
    ),
    ([{"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["PUT"]}}], {"method": "PUT"}, True),
    ([{"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["PUT"]}}], {"method": "GET"}, False),
    (
        [{"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "v", "Value": "2*"}]}}],
        {"path": "/x?a=1&V=2b"},
        True,
    ),
    (
        [{"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "v", "Value": "2"}]}}],
        {"path": "/x?vv=2"},
        False,
    ),
    ([{"Field": "query-string", "QueryStringConfig": {"Values": [{"Value": "2"}]}}], {"path": "/x?any=2"}, True),
    ([{"Field": "source-ip", "SourceIpConfig": {"Values": ["127.9.0.0/16"]}}], {"source": "127.9.1.1"}, True),
    ([{"Field": "source-ip", "SourceIpConfig": {"Values": ["127.9.0.0/16"]}}], {"source": "127.8.1.1"}, False),
    (
        [
            {"Field": "path-pattern", "Values": ["/a*"]},
            {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["GET"]}},
        ],
        {"path": "/abc"},
        True,
    ),
    (
        [
            {"Field": "path-pattern", "Values": ["/a*"]},
            {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["POST"]}},
        ],
        {"path": "/abc"},
        False,
    ),
    ([{"Field": "path-pattern", "Values": ["/" + "?*" * 60]}], {"path": "/" + "y" * 70}, True),
]


def test_rules_are_for_the_requests_that_their_conditions_say(shop: Shop) -> None:
    answer = {"StatusCode": "299", "MessageBody": "the rule", "ContentType": "text/plain"}
    first = {"Field": "path-pattern", "Values": ["/never"]}
    (rule,) = shop.elb.create_rule(
        ListenerArn=shop.listener,
        Priority=10,
        Conditions=[first],
        Actions=[{"Type": "fixed-response", "FixedResponseConfig": answer}],
    )["Rules"]
    for conditions, request, expected in CONDITIONS:
        shop.elb.modify_rule(RuleArn=rule["RuleArn"], Conditions=conditions)
        status, body, headers = ask(shop, **request)
        assert (status == 299) is expected, (conditions, request)
        if expected:
            assert (body, headers["content-type"]) == ("the rule", "text/plain")
    shop.elb.delete_rule(RuleArn=rule["RuleArn"])
    assert ask(shop, "/" + "y" * 70)[0] == 503


def test_the_first_rule_by_priority_is_taken_and_priorities_can_change_places(shop: Shop) -> None:
    arns = []
    for priority in (1, 2):
        action = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": f"20{priority}"}}
        condition = {"Field": "path-pattern", "Values": ["/*"]}
        rule = shop.elb.create_rule(
            ListenerArn=shop.listener, Priority=priority, Conditions=[condition], Actions=[action]
        )
        arns.append(rule["Rules"][0]["RuleArn"])
    assert ask(shop)[0] == 201
    swapped = [{"RuleArn": arns[0], "Priority": 2}, {"RuleArn": arns[1], "Priority": 1}]
    shop.elb.set_rule_priorities(RulePriorities=swapped)
    assert ask(shop)[0] == 202
    described = shop.elb.describe_rules(ListenerArn=shop.listener)["Rules"]
    assert [one["Priority"] for one in described] == ["1", "2", "default"]
    assert [one["RuleArn"] for one in described[:2]] == arns[::-1]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"StatusCode": "HTTP_301", "Protocol": "HTTPS", "Port": "443"}, "https://shop.test:443/a/b?c=d"),
        ({"StatusCode": "HTTP_302", "Host": "new.test", "Port": "81"}, "http://new.test:81/a/b?c=d"),
        ({"StatusCode": "HTTP_302", "Path": "/v2/#{path}"}, "http://shop.test:8080/v2/a/b?c=d"),
        ({"StatusCode": "HTTP_302", "Path": "/gone", "Query": ""}, "http://shop.test:8080/gone"),
        ({"StatusCode": "HTTP_302", "Path": "/gone", "Query": "why=1"}, "http://shop.test:8080/gone?why=1"),
    ],
)
def test_redirects(shop: Shop, config: dict[str, str], expected: str) -> None:
    shop.elb.modify_listener(ListenerArn=shop.listener, DefaultActions=[{"Type": "redirect", "RedirectConfig": config}])
    status, _, headers = ask(shop, "/a/b?c=d", host="shop.test:8080")
    assert status == int(config["StatusCode"][-3:])
    assert headers["location"] == expected


def test_a_target_is_told_where_a_request_came_from(shop: Shop, backends: Backends) -> None:
    one = backends("one")
    shop.register(one)
    assert ask(shop, host="shop.test", source="127.7.7.7")[1] == "one"
    told = one.last_headers
    assert told["host"] == "shop.test"
    assert told["x-forwarded-for"] == "127.7.7.7"
    assert told["x-forwarded-proto"] == "http"
    assert told["x-forwarded-port"] == str(shop.port)
    assert not [name for name in told if "envoy" in name]


def test_connections_of_tcp(elb: Any, new_name: Callable[[], str], backends: Backends) -> None:
    one, two, name = backends("one"), backends("two"), new_name()
    balancer = elb.create_load_balancer(Name=name, Type="network")["LoadBalancers"][0]
    address = balancer["DNSName"]
    port = ports.kept(address)
    group = new_group(elb, name, Protocol="TCP", HealthCheckPath=None)
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="TCP",
        Port=port,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )

    def states() -> set[str]:
        found = elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return {one["TargetHealth"]["State"] for one in found}

    elb.register_targets(TargetGroupArn=group, Targets=[{"Id": one.address, "Port": one.port}])
    until(lambda: states() == {"healthy"})
    lasting = http.client.HTTPConnection(address, port, timeout=20)
    lasting.request("GET", "/")
    assert lasting.getresponse().read() == b"one"
    elb.register_targets(TargetGroupArn=group, Targets=[{"Id": two.address, "Port": two.port}])
    until(lambda: states() == {"healthy"})
    elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": one.address, "Port": one.port}])
    with load(address, port, connections=2) as seen:
        seen.more(50)
    assert (seen.failed, set(seen.answered)) == ([], {"two"})
    assert states() == {"healthy", "draining"}
    lasting.request("GET", "/")
    assert lasting.getresponse().read() == b"one"
    lasting.close()
    until(lambda: states() == {"healthy"})
    elb.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])


@pytest.fixture
def own_plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """One that a test may kill."""
    plane = ControlPlane(tmp_path)
    with ending_proxy(plane.data_dir):
        plane.start()
        yield plane
        plane.kill()


def change_until_it_is_gone(shop: Shop) -> None:
    for count in range(10_000):
        try:
            group = shop.new_group(f"g{count}")
            shares = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in ((shop.group, 1), (group, 0))]
            action = {"Type": "forward", "ForwardConfig": {"TargetGroups": shares}}
            shop.elb.modify_listener(ListenerArn=shop.listener, DefaultActions=[action])
        except (HTTPClientError, BotoConnectionError):
            return
    pytest.fail("the server was not killed")


def test_a_killed_server_costs_no_request_and_the_next_one_goes_on(own_plane: ControlPlane, backends: Backends) -> None:
    plane = own_plane
    shop = make_shop(plane.client("elbv2"), "shop")
    one, two, three = backends("one"), backends("two"), backends("three")
    shop.register(one, two)
    record = plane.data_dir / "onebox" / "proxy" / "process"
    process = record.read_text()
    with load(shop.address, shop.port) as seen:
        seen.more()
        shop.deregister(one)
        plane.kill()
        seen.more()
        plane.start()
        shop.elb = plane.client("elbv2")
        until(lambda: shop.health(one)["State"] == "unused")
        shop.register(three)
        asked = one.asked
        # In the middle of a change: the next server finishes it.
        killer = threading.Timer(0.05, plane.kill)
        killer.start()
        change_until_it_is_gone(shop)
        killer.join()
        seen.more()
        plane.start()
        shop.elb = plane.client("elbv2")
        assert shop.health(three) == {"State": "healthy"}
        shop.deregister(two)
        seen.more()
        assert one.asked == asked
    assert record.read_text() == process
    assert set(seen.answered) == {"one", "two", "three"}
    assert seen.failed == []


def test_an_unhealthy_target_is_found_out_while_the_server_is_away(own_plane: ControlPlane, backends: Backends) -> None:
    plane = own_plane
    shop = make_shop(plane.client("elbv2"), "shop")
    one, two = backends("one"), backends("two")
    shop.register(one, two)
    plane.kill()
    one.health = 500
    with load(shop.address, shop.port, connections=2) as seen:

        def is_out() -> bool:
            before = one.asked
            time.sleep(0.3)
            return one.asked == before

        until(is_out, seconds=60)
    assert seen.failed == []
    plane.start()
    shop.elb = plane.client("elbv2")
    assert shop.health(one)["State"] == "unhealthy"
