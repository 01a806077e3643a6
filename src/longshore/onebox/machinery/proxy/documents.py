"""A plan in Envoy's words: the resources of its discovery services (xDS, version 3)."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Any

from longshore.onebox.machinery.proxy.envoy import HEALTH_LOG
from longshore.onebox.machinery.proxy.plan import (
    Action,
    Cluster,
    Endpoint,
    Forward,
    HealthCheck,
    Listener,
    Redirect,
    Respond,
    Route,
    Speaks,
)

Resource = dict[str, Any]

_TYPE = "type.googleapis.com/"
_EXTENSION = f"{_TYPE}envoy.extensions"
#: Where a route finds the address that a connection comes from.
_SOURCE = "longshore.source"
#: A connection to an endpoint is not kept idle for so long that the endpoint may close it as a request is on its way:
#: many servers do so after five seconds.
_IDLE_TO_ENDPOINT = "4s"
#: None of these bounds is meant to be met: memory and connections of clients are bounded instead.
_MANY = 1_000_000

_REDIRECTS = {301: "MOVED_PERMANENTLY", 302: "FOUND"}


def endpoints(cluster: Cluster) -> Resource:
    """The endpoints of a cluster."""
    members = [_endpoint(cluster, one) for one in cluster.endpoints]
    return {
        "@type": f"{_TYPE}envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": cluster.name,
        "endpoints": [{"lb_endpoints": members}] if members else [],
    }


def cluster(given: Cluster) -> Resource:
    """A cluster, without its endpoints."""
    made: Resource = {
        "@type": f"{_TYPE}envoy.config.cluster.v3.Cluster",
        "name": given.name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": _file(f"eds/{given.name}.json")},
        "connect_timeout": "5s",
        "lb_policy": "LEAST_REQUEST" if given.to_least_busy else "ROUND_ROBIN",
        "common_lb_config": {
            # Better no answer than one of an endpoint that is not ready.
            "healthy_panic_threshold": {"value": 0},
            # What it learns it goes by at once; by itself it lets a second pass.
            "update_merge_window": "0s",
        },
        # An endpoint that is taken away is gone, even if it is well.
        "ignore_health_on_host_removal": True,
        "circuit_breakers": {
            "thresholds": [
                {"max_connections": _MANY, "max_pending_requests": _MANY, "max_requests": _MANY, "max_retries": _MANY}
            ]
        },
        "health_checks": [_health_check(given.check)],
    }
    if given.speaks is Speaks.HTTP:
        made["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_EXTENSION}.upstreams.http.v3.HttpProtocolOptions",
                "common_http_protocol_options": {"idle_timeout": _IDLE_TO_ENDPOINT},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        }
    return made


def routes(listener: Listener) -> Resource:
    """What an HTTP listener does with which request."""
    return {
        "@type": f"{_TYPE}envoy.config.route.v3.RouteConfiguration",
        "name": listener.name,
        "request_headers_to_remove": ["x-envoy-external-address"],
        "virtual_hosts": [
            {
                "name": listener.name,
                "domains": ["*"],
                "routes": [{"match": _match(one), **_action(one.action)} for one in listener.routes],
            }
        ],
    }


def listener(given: Listener) -> Resource:
    """A listener; one of HTTP without its routes, so that these may change and no connection notice."""
    filters = [_remember_source(), _http(given)] if given.speaks is Speaks.HTTP else [_tcp(given)]
    return {
        "@type": f"{_TYPE}envoy.config.listener.v3.Listener",
        "name": given.name,
        "address": _address(given.address, given.port),
        # Shared, a port would be split with whoever else has it, and nobody told.
        "enable_reuse_port": False,
        "filter_chains": [{"filters": filters}],
    }


def _file(path: str) -> Resource:
    return {"resource_api_version": "V3", "path_config_source": {"path": f"./{path}"}}


def _address(address: str, port: int) -> Resource:
    return {"socket_address": {"address": address, "port_value": port}}


def _endpoint(cluster: Cluster, given: Endpoint) -> Resource:
    place: Resource = {"address": _address(given.address, given.port)}
    if cluster.check.port is not None:
        place["health_check_config"] = {"port_value": cluster.check.port}
    return {"endpoint": place, "health_status": "DRAINING" if given.is_drained else "UNKNOWN"}


def _health_check(given: HealthCheck) -> Resource:
    interval = f"{given.interval}s"
    made: Resource = {
        "timeout": f"{given.timeout}s",
        "interval": interval,
        "no_traffic_interval": interval,
        "no_traffic_healthy_interval": interval,
        "healthy_threshold": given.healthy_after,
        "unhealthy_threshold": given.unhealthy_after,
        "always_log_health_check_failures": True,
        "event_logger": [
            {
                "name": "file",
                "typed_config": {
                    "@type": f"{_EXTENSION}.health_check.event_sinks.file.v3.HealthCheckEventFileSink",
                    "event_log_path": f"./{HEALTH_LOG}",
                },
            }
        ],
    }
    if given.speaks is Speaks.HTTP:
        made["http_health_check"] = {
            "path": given.path,
            # Envoy's ranges leave their ends out.
            "expected_statuses": [{"start": first, "end": last + 1} for first, last in given.codes],
            "request_headers_to_add": [
                {"header": {"key": "user-agent", "value": "ELB-HealthChecker/2.0"}, "append_action": _OVERWRITE}
            ],
        }
    else:
        made["tcp_health_check"] = {}
    return made


_OVERWRITE = "OVERWRITE_IF_EXISTS_OR_ADD"


def _match(route: Route) -> Resource:
    made: Resource = {
        "prefix": "/",
        "headers": [
            {"name": name, "string_match": {"safe_regex": {"regex": pattern}}} for name, pattern in route.headers
        ],
    }
    if route.sources:
        networks = [ip_network(one) for one in route.sources]
        ranges = [{"address_prefix": str(one.network_address), "prefix_len": one.prefixlen} for one in networks]
        made["filter_state"] = [{"key": _SOURCE, "address_match": {"ranges": ranges}}]
    return made


def _action(action: Action) -> Resource:
    match action:
        case Forward():
            return _forward(action)
        case Respond():
            return _respond(action)
        case Redirect():
            return {"redirect": _redirect(action)}


def _forward(action: Forward) -> Resource:
    shares = [{"name": name, "weight": share} for name, share in action.shares if share]
    if not shares:
        return _respond(Respond(status=503))
    return {
        "route": {
            "weighted_clusters": {"clusters": shares},
            # However long an answer takes: the idle time of the listener bounds it.
            "timeout": "0s",
            # Nothing that an endpoint may have seen is sent twice.
            "retry_policy": {
                "retry_on": "connect-failure,refused-stream,reset-before-request",
                "num_retries": 2,
                "retry_host_predicate": [
                    {
                        "name": "another",
                        "typed_config": {
                            "@type": f"{_EXTENSION}.retry.host.previous_hosts.v3.PreviousHostsPredicate",
                        },
                    }
                ],
                "host_selection_retry_max_attempts": 3,
            },
        }
    }


def _respond(action: Respond) -> Resource:
    made: Resource = {"direct_response": {"status": action.status}}
    if action.body:
        made["direct_response"]["body"] = {"inline_string": action.body}
    if action.content_type:
        made["response_headers_to_add"] = [
            {"header": {"key": "content-type", "value": action.content_type}, "append_action": _OVERWRITE}
        ]
    return made


def _redirect(action: Redirect) -> Resource:
    made: Resource = {"response_code": _REDIRECTS[action.status], "strip_query": action.drops_query}
    if action.scheme is not None:
        made["scheme_redirect"] = action.scheme
    if action.host is not None:
        made["host_redirect"] = action.host
    if action.port is not None:
        made["port_redirect"] = action.port
    if action.path is not None:
        made["path_redirect"] = action.path
    elif action.around_path is not None:
        before, after = (re.sub(r"\\", r"\\\\", part) for part in action.around_path)
        made["regex_rewrite"] = {"pattern": {"regex": "^/(.*)$"}, "substitution": rf"{before}\1{after}"}
    return made


def _remember_source() -> Resource:
    return {
        "name": "source",
        "typed_config": {
            "@type": f"{_EXTENSION}.filters.network.set_filter_state.v3.Config",
            "on_new_connection": [
                {
                    "object_key": _SOURCE,
                    "factory_key": "envoy.network.ip",
                    "format_string": {
                        "text_format_source": {"inline_string": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"}
                    },
                }
            ],
        },
    }


def _http(given: Listener) -> Resource:
    idle = f"{given.idle_seconds}s"
    return {
        "name": "http",
        "typed_config": {
            "@type": f"{_EXTENSION}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": given.name,
            "rds": {"route_config_name": given.name, "config_source": _file(f"rds/{given.name}.json")},
            "common_http_protocol_options": {"idle_timeout": idle},
            "stream_idle_timeout": idle,
            "request_headers_timeout": "60s",
            "http_protocol_options": {"accept_http_10": True},
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            # What a request came by is told as a load balancer of AWS tells it, and nothing of Envoy.
            "use_remote_address": True,
            "append_x_forwarded_port": True,
            "generate_request_id": False,
            "server_header_transformation": "PASS_THROUGH",
            "http_filters": [
                {
                    "name": "router",
                    "typed_config": {
                        "@type": f"{_EXTENSION}.filters.http.router.v3.Router",
                        "suppress_envoy_headers": True,
                    },
                }
            ],
        },
    }


def _tcp(given: Listener) -> Resource:
    (only,) = given.routes
    assert isinstance(only.action, Forward)
    shares = [{"name": name, "weight": share} for name, share in only.action.shares if share]
    # A cluster that is not there: the connection is closed again.
    whither = {"weighted_clusters": {"clusters": shares}} if shares else {"cluster": "nobody"}
    return {
        "name": "tcp",
        "typed_config": {
            "@type": f"{_EXTENSION}.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": given.name,
            "idle_timeout": f"{given.idle_seconds}s",
            "max_connect_attempts": 3,
            **whither,
        },
    }
