"""A proxy that is told what to do and does it without dropping a connection: Envoy, and files that it watches.

It goes on by itself when the server is away: the health of endpoints is its own look at them.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from longshore.onebox.machinery.proxy import documents
from longshore.onebox.machinery.proxy.envoy import HEALTH_LOG, Envoy, ProxyError
from longshore.onebox.machinery.proxy.files import Files, Resource
from longshore.onebox.machinery.proxy.health import EndpointState, Failures, Health, Place, states
from longshore.onebox.machinery.proxy.plan import Forward, Listener, Plan, Speaks

__all__ = ["Proxy", "ProxyError"]

#: How long one look waits until the proxy has taken up what changed; the next look goes on waiting.
_TAKEN_UP_SECONDS = 3.0
_CLUSTERS, _LISTENERS = "cds.json", "lds.json"


class Proxy:
    """The proxy of a directory. One thread changes it; any may look."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._envoy = Envoy(directory)
        self._files = Files(directory)
        self._failures = Failures(directory / HEALTH_LOG)
        self._done: Plan | None = None
        #: Clusters that were waited for in vain: nobody else's changes wait for them again.
        self._slow: set[str] = set()

    def apply(self, plan: Plan) -> bool:
        """Bring the proxy in line with a plan; whether all of it is in force. Raises ProxyError.

        Right when called again, late, or after a crash half-way. A listener goes on as before while a cluster that it
        shall use is not known yet to the proxy (it first looks how all of its endpoints are), and what is at work in a
        cluster that nobody uses any more may end. Without listeners there is no process.
        """
        if not plan.listeners:
            self._envoy.stop()
            self._files.clear()
            self._done = None
            return True
        if self._done == plan and self._envoy.is_running():
            self._envoy.trim_logs()
            return True
        self._done = None
        expected = self._say(plan)
        if not self._within(_TAKEN_UP_SECONDS, lambda: expected.items() <= self._versions().items()):
            # An address that was taken may be free now; Envoy tries again when it is told again.
            self._files.repeat(_LISTENERS)
            return False
        if not self._is_said(plan):
            return False
        if not self._retire(plan):
            self._done = plan
        return True

    def states(self, clusters: Iterable[str]) -> dict[Place, EndpointState]:
        """How the endpoints of clusters are. Raises ProxyError when there is no proxy to say it."""
        names = "|".join(re.escape(name) for name in clusters)
        found = states(json.loads(self._envoy.ask(f"/clusters?format=json&filter={quote(f'^({names})$')}")))
        failed = self._failures.of(set(found))
        return {
            place: replace(state, failure=failed[place][0], code=failed[place][1])
            if state.health is Health.UNHEALTHY and place in failed
            else state
            for place, state in found.items()
        }

    def last_words(self) -> str:
        """What it said last, where a plan does not come into force."""
        return self._envoy.last_words()

    def _say(self, plan: Plan) -> dict[str, str]:
        """Write down as much of the plan as can be done now; the versions by which it is known that it was heard."""
        if not self._envoy.is_running():
            self._files.clear()
        expected = {
            f"cluster.{one.name}": self._files.put(f"eds/{one.name}.json", [documents.endpoints(one)])
            for one in plan.clusters
        }
        before = self._files.get(_CLUSTERS)
        wanted = {one.name: documents.cluster(one) for one in plan.clusters}
        expected["cluster_manager.cds"] = self._files.put(_CLUSTERS, (before | wanted).values())
        known = set(wanted)
        if self._envoy.is_running():
            self._within(_TAKEN_UP_SECONDS, lambda: wanted.keys() - self._known_clusters() <= self._slow)
            known = self._known_clusters()
        self._slow = wanted.keys() - known
        expected |= self._say_listeners(plan.listeners, known)
        self._envoy.start()
        return expected

    def _say_listeners(self, listeners: Iterable[Listener], known: set[str]) -> dict[str, str]:
        expected = {}
        before = self._files.get(_LISTENERS)
        resources = []
        for one in listeners:
            resource = documents.listener(one)
            # A new listener need not wait: nobody's request fails that would have been answered before.
            waits = one.name in before and not _clusters_of(one) <= known
            if one.speaks is Speaks.TCP:
                resource = before[one.name] if waits else resource
            elif not waits:
                version = self._files.put(f"rds/{one.name}.json", [documents.routes(one)])
                expected[f"http.{one.name}.rds.{one.name}"] = version
            resources.append(resource)
        expected["listener_manager.lds"] = self._files.put(_LISTENERS, resources)
        return expected

    def _is_said(self, plan: Plan) -> bool:
        """Whether no listener waits for a cluster."""
        resources = self._files.get(_LISTENERS)
        return all(
            self._files.get(f"rds/{one.name}.json") == {one.name: documents.routes(one)}
            if one.speaks is Speaks.HTTP
            else resources.get(one.name) == documents.listener(one)
            for one in plan.listeners
        )

    def _retire(self, plan: Plan) -> set[str]:
        """Take clusters away that nobody uses; those that must stay a while, since something is under way there."""
        wanted = {one.name for one in plan.clusters}
        there = self._files.get(_CLUSTERS)
        unused = there.keys() - wanted
        busy = {
            cluster
            for (cluster, _, _), state in (self.states(unused) if unused else {}).items()
            if state.requests or (state.connections and not _speaks_http(there[cluster]))
        }
        self._files.put(_CLUSTERS, [there[name] for name in there if name in wanted or name in busy])
        self._files.keep("eds", wanted | busy)
        self._files.keep("rds", [one.name for one in plan.listeners])
        return busy

    def _known_clusters(self) -> set[str]:
        said = json.loads(self._envoy.ask("/config_dump?resource=dynamic_active_clusters&mask=cluster.name"))
        return {one["cluster"]["name"] for one in said.get("configs", ())}

    def _versions(self) -> dict[str, str]:
        said = self._envoy.ask("/stats?type=TextReadouts").decode()
        return {
            name.removesuffix(".version_text"): version.strip('"')
            for name, _, version in (line.partition(": ") for line in said.splitlines())
        }

    @staticmethod
    def _within(seconds: float, is_so: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True


def _clusters_of(listener: Listener) -> set[str]:
    actions = [route.action for route in listener.routes]
    return {name for action in actions if isinstance(action, Forward) for name, share in action.shares if share}


def _speaks_http(cluster: Resource) -> bool:
    return "typed_extension_protocol_options" in cluster
