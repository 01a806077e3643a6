"""What the service accepts, Envoy accepts: one that it refused would hold up everybody's changes."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from longshore.onebox.machinery.proxy import documents
from longshore.onebox.machinery.proxy.envoy import program
from longshore.onebox.machinery.proxy.plan import Cluster, Forward, Listener, Route, Speaks
from longshore.onebox.services.elbv2 import actions, conditions, target_groups
from longshore.wire.service import AwsError

PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=128)
PATTERN = st.text(st.sampled_from("*?#{}\\%/.+()[]|^$-ab"), min_size=1, max_size=128)
WILD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=128)
TEXT = st.one_of(PRINTABLE, PATTERN, WILD)
HEADER = st.one_of(TEXT, st.sampled_from(["x-a", "Accept", "User-Agent", "_", "cookie"]))
VALUES = st.lists(TEXT, min_size=1, max_size=2)
CONDITION = st.one_of(
    st.fixed_dictionaries({"Field": st.sampled_from(["path-pattern", "host-header"]), "Values": VALUES}),
    st.fixed_dictionaries(
        {
            "Field": st.just("http-header"),
            "HttpHeaderConfig": st.fixed_dictionaries({"HttpHeaderName": HEADER, "Values": VALUES}),
        }
    ),
    st.fixed_dictionaries(
        {
            "Field": st.just("query-string"),
            "QueryStringConfig": st.fixed_dictionaries(
                {"Values": st.lists(st.fixed_dictionaries({"Value": TEXT}, optional={"Key": TEXT}), min_size=1)}
            ),
        }
    ),
    st.fixed_dictionaries(
        {
            "Field": st.just("source-ip"),
            "SourceIpConfig": st.fixed_dictionaries(
                {
                    "Values": st.lists(
                        st.one_of(
                            st.ip_addresses(v=4).map(lambda one: f"{one}/32"),
                            st.ip_addresses(v=6).map(lambda one: f"{one}/64"),
                        ),
                        min_size=1,
                        max_size=2,
                    )
                }
            ),
        }
    ),
)
REDIRECT = st.fixed_dictionaries(
    {"StatusCode": st.sampled_from(["HTTP_301", "HTTP_302"])},
    optional={
        "Protocol": st.sampled_from(["HTTP", "HTTPS", "#{protocol}"]),
        "Host": st.one_of(TEXT, st.just("#{host}")),
        "Port": st.one_of(TEXT, st.integers(0, 70000).map(str)),
        "Path": st.one_of(TEXT, TEXT.map(lambda one: f"/{one}"), TEXT.map(lambda one: f"/{one}#{{path}}{one}")),
        "Query": st.one_of(TEXT, st.just("")),
    },
)
RESPONSE = st.fixed_dictionaries(
    {"StatusCode": st.sampled_from(["200", "404", "503", "599"])},
    optional={"MessageBody": TEXT, "ContentType": st.one_of(TEXT, st.just("text/html"))},
)
ACTION = st.one_of(
    REDIRECT.map(lambda config: {"Type": "redirect", "RedirectConfig": config}),
    RESPONSE.map(lambda config: {"Type": "fixed-response", "FixedResponseConfig": config}),
)
CHECK = st.fixed_dictionaries(
    {}, optional={"HealthCheckPath": st.one_of(TEXT, TEXT.map(lambda one: f"/{one}")), "HealthCheckPort": TEXT}
)


def accepted(check: Callable[[], Any]) -> Any:
    """What it makes of it; None where it is refused as AWS would."""
    try:
        return check()
    except AwsError:
        return None


# Envoy says what it does not like, so nothing need be shrunk: each look costs a process.
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(
    rules=st.lists(st.tuples(st.lists(CONDITION, min_size=1, max_size=3), ACTION), min_size=20, max_size=40),
    checks=st.lists(CHECK, min_size=5, max_size=10),
)
def test_what_is_accepted_is_a_configuration_of_envoy(rules: list[Any], checks: list[Any]) -> None:
    routes = [Route(action=Forward(shares=[("c0", 1)]))]
    for some, action in rules:
        matched = accepted(lambda some=some: conditions.checked(some))
        done = accepted(
            lambda action=action: actions.checked(None, [action], balancer_arn="", protocol="HTTP")  # type: ignore[arg-type]
        )
        headers, sources = conditions.as_planned(matched) if matched else ([], [])
        if done:
            routes.append(Route(action=actions.as_planned(done[0]), headers=headers, sources=sources))
        elif matched:
            routes.append(Route(action=Forward(shares=[("c0", 1)]), headers=headers, sources=sources))
    groups = [
        one for check in checks if (one := accepted(lambda check=check: target_groups.checked({}, check, "HTTP")))
    ]
    clusters = [
        Cluster(name=f"c{number}", speaks=Speaks.HTTP, endpoints=[], check=target_groups.health_check(one))
        for number, one in enumerate([target_groups.checked({}, {}, "HTTP"), *groups])
    ]
    validate(
        Listener(name="web", address="127.128.255.9", port=1, speaks=Speaks.HTTP, routes=routes, idle_seconds=60),
        clusters,
    )


def validate(listener: Listener, clusters: list[Cluster]) -> None:
    """Have Envoy itself look at it."""
    served = documents.listener(listener)
    manager = served["filter_chains"][0]["filters"][1]["typed_config"]
    del manager["rds"]
    manager["route_config"] = _plain(documents.routes(listener))
    fixed = []
    for one in clusters:
        made = documents.cluster(one)
        del made["eds_cluster_config"]
        fixed.append(_plain(made) | {"type": "STATIC"})
    large = {"layers": [{"name": "patterns", "static_layer": {"re2.max_program_size.error_level": 1_000_000}}]}
    whole = {"static_resources": {"listeners": [_plain(served)], "clusters": fixed}, "layered_runtime": large}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "whole.json")
        path.write_text(json.dumps(whole))
        done = subprocess.run(
            [program(), "--mode", "validate", "-c", path, "--log-level", "error"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=folder,
        )
    assert done.returncode == 0, [line for line in done.stderr.splitlines() if "rror" in line]


def _plain(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name != "@type"}
