"""What a deployment would do, before it is made: our own operation, beside CodeDeploy's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from longshore.api.deployment_rules import check_is_supported
from longshore.api.deployments import resolve
from longshore.api.operations import Call, reads
from longshore.api.plan_parts import becomes_of, seconds_of
from longshore.domain import revision
from longshore.domain.alarms import effective, firing, unreadable, watch_of
from longshore.domain.balancing import BadAddressError, Balancer, balancers_of, place_of
from longshore.domain.blue_green import cannot_replace, members_deployed_to, options_of
from longshore.domain.deployment import ErrorCode
from longshore.domain.group import TagSet, auto_scaling_groups, ec2_tag_set
from longshore.domain.health import Fleet, Verdict, judge
from longshore.domain.ids import Scope
from longshore.domain.lifecycle import BLUE_GREEN, IN_PLACE, IN_PLACE_WITH_TRAFFIC, Label
from longshore.domain.lineup import Circumstances, Host, Lineup, line_up
from longshore.providers.ports import Access, Alarms, Bundles, LoadBalancers, Members, PermanentError, ProviderError
from longshore.store import access_keys, instances, lineups
from longshore.store.deployment_groups import DeploymentGroup
from longshore.wire.service import Call as WireCall
from longshore.wire.service import Handler

if TYPE_CHECKING:
    from mypy_boto3_codedeploy import type_defs as t

#: By which `examining` hands EC2 instances to the operation, and gets from it how to find them, and as whom to look
#: outside. The model does not have them, so nobody can send them.
_ELSEWHERE, _MEANT, _ACCESS = "_elsewhere", "_meant", "_access"
#: An agent polls all the time, and its key's use is noted every quarter of an hour; then it is late by this, seconds.
_UNSEEN_AFTER = 20 * 60.0
_MOST_NAMED = 5

Problem = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Meant:
    """What AWS has to be asked for a plan: instances by their tags and Auto Scaling groups."""

    deployed_to: tuple[TagSet, Sequence[str]]
    #: Of a blue/green deployment.
    originals: tuple[TagSet, Sequence[str]]
    balancers: Sequence[Balancer]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Elsewhere:
    """What AWS says."""

    hosts: Sequence[Host] = ()
    originals: Sequence[Host] = ()


@reads("PlanDeployment")
def plan_deployment(call: Call, asked: dict[str, Any]) -> Any:
    """All that the rows tell; whether the bundle is there is asked afterwards (`examining`)."""
    # The members have the names and meanings that they have for CreateDeployment.
    wanted = resolve(call, cast("t.CreateDeploymentInputTypeDef", asked))
    check_is_supported(wanted.application.compute_platform)
    group = wanted.group
    identity = revision.identity(wanted.location)
    elsewhere: _Elsewhere = asked.get(_ELSEWHERE, _Elsewhere())
    deployed_to = members_deployed_to(group.document, asked.get("targetInstances", {}))
    seen = lineups.circumstances(
        call.tx,
        call.scope,
        group,
        meant=deployed_to,
        elsewhere=elsewhere.hosts,
        config_name=wanted.config_name,
        only_without=identity if asked.get("updateOutdatedInstancesOnly") else None,
        limit=call.limits.instances_per_deployment,
        account_limit=call.limits.active_instances,
    )
    lineup = line_up(seen)
    last_seen = access_keys.last_uses(call.tx, call.scope.account)
    waves = lineup.waves()
    answer: dict[str, Any] = {
        _ACCESS: Access(scope=call.scope, role_arn=group.service_role_arn),
        "revision": wanted.location,
        "deploymentConfigName": wanted.config_name,
        "instances": [
            _instance(host, number, seen, identity, last_seen) for number, wave in enumerate(waves, 1) for host in wave
        ],
        "waves": len(waves) if lineup.refusal is None else 0,
        "lifecycleEvents": list(_events(group)),
        "loadBalancers": list(map(str, balancers_of(group.document))) if _has_traffic(group) else [],
        "instancesAtOnce": lineup.at_once,
        "minimumHealthyInstances": lineup.required,
        "problems": [
            *_refusals(lineup, group, seen),
            *_unseen(lineup, last_seen, call.now),
            *(_addresses(call, lineup, group) if _has_traffic(group) else ()),
        ],
    }
    alarms = effective(asked, group.document)
    if watch_of(alarms) is not None:
        answer["alarmConfiguration"] = alarms
    if _is_blue_green(group):
        originals = [*elsewhere.originals, *lineups.on_premises(call.tx, call.scope, group.document)]
        answer["blueGreen"] = becomes_of(originals, group.document, seen.hosts)
    if _ELSEWHERE not in asked:
        answer[_MEANT] = _meant(group, deployed_to)
    if group.target_revision is not None:
        answer["currentRevision"] = group.target_revision
    if answer["waves"] and (seconds := seconds_of(call.tx, group, answer["waves"])) is not None:
        answer["estimatedSeconds"] = seconds + lineup.pauses
    return answer


def examining(
    handler: Handler, bundles: Bundles, members: Members, balancers: LoadBalancers, alarms: Alarms
) -> Handler:
    """PlanDeployment with what is outside: EC2 instances, balancers, bundle, alarms; no transaction is open then."""

    async def handle(call: WireCall, asked: dict[str, Any]) -> Mapping[str, Any]:
        plan = await handler(call, asked)
        assert plan is not None
        missing: list[Problem] = []
        if (meant := plan.get(_MEANT)) is not None:
            found, missing = await asyncio.to_thread(_elsewhere, members, balancers, plan[_ACCESS], meant)
            plan = await handler(call, {**asked, _ELSEWHERE: found})
            assert plan is not None
        if missing and not found.hosts:
            # Nobody knows then whether there are none.
            known = [one for one in plan["problems"] if one["code"] != ErrorCode.NO_INSTANCES]
            plan = {**plan, "problems": known}
        access = plan[_ACCESS]
        bundle = await asyncio.to_thread(_bundle_problems, bundles, access.scope, plan["revision"])
        alarm = await asyncio.to_thread(_alarm_problems, alarms, access, plan.get("alarmConfiguration", {}))
        told = {name: value for name, value in plan.items() if not name.startswith("_")}
        return {**told, "problems": [*missing, *plan["problems"], *bundle, *alarm]}

    return handle


def _events(group: DeploymentGroup) -> Sequence[str]:
    if _is_blue_green(group):
        return BLUE_GREEN[Label.GREEN]
    return IN_PLACE_WITH_TRAFFIC if _has_traffic(group) else IN_PLACE


def _is_blue_green(group: DeploymentGroup) -> bool:
    return bool(group.document["deploymentStyle"].get("deploymentType") == "BLUE_GREEN")


def _has_traffic(group: DeploymentGroup) -> bool:
    return bool(group.document["deploymentStyle"].get("deploymentOption") == "WITH_TRAFFIC_CONTROL")


def _meant(group: DeploymentGroup, deployed_to: Mapping[str, Any]) -> _Meant | None:
    """What AWS has to be asked; None when it has no part in this."""
    hosts = ec2_tag_set(deployed_to), auto_scaling_groups(deployed_to)
    serving = _is_blue_green(group)
    originals = (ec2_tag_set(group.document), auto_scaling_groups(group.document)) if serving else ((), ())
    if not any((*hosts, *originals)):
        return None
    balancers = balancers_of(group.document) if _has_traffic(group) else ()
    return _Meant(deployed_to=hosts, originals=originals, balancers=balancers)


def _elsewhere(
    members: Members, load_balancers: LoadBalancers, access: Access, meant: _Meant
) -> tuple[_Elsewhere, list[Problem]]:
    """The group's EC2 instances, and what is wrong with them and their balancers."""
    found = _Elsewhere()
    try:
        if any(meant.deployed_to):
            found = replace(found, hosts=members.hosts(access, *meant.deployed_to))
        if any(meant.originals):
            found = replace(found, originals=members.hosts(access, *meant.originals))
        for balancer in meant.balancers if found.hosts else ():
            load_balancers.backends(access, balancer)
    except ProviderError as error:
        is_fatal = isinstance(error, PermanentError)
        text = f"AWS cannot be asked for what the group names: {error}"
        return found, [_problem(error.code, text, is_fatal=is_fatal)]
    return found, []


def _instance(
    host: Host, wave: int, seen: Circumstances, planned: str, last_seen: Mapping[str, float | None]
) -> dict[str, Any]:
    is_healthy, installed = seen.health.get(host.name, (None, None))
    described = {
        "instanceName": host.name,
        "instanceArn": host.arn,
        "wave": wave,
        "installedRevision": _installed(installed, planned, seen.current_revision),
    }
    if host.zone is not None:
        described["availabilityZone"] = host.zone
    if is_healthy is not None:
        described["isHealthy"] = is_healthy
    if (moment := last_seen.get(_caller(host))) is not None:
        described["lastSeenTime"] = moment
    return described


def _installed(installed: str | None, planned: str, current: str | None) -> str:
    if installed is None:
        return "UNKNOWN"
    if installed == planned:
        return "PLANNED"
    return "CURRENT" if installed == current else "OTHER"


def _refusals(lineup: Lineup, group: DeploymentGroup, seen: Circumstances) -> list[Problem]:
    found = []
    if group.active_deployment_id is not None:
        found.append(
            _problem(
                "DEPLOYMENT_ACTIVE",
                f"Deployment {group.active_deployment_id} to {group.name} has not ended: until it has, or is stopped,"
                " another one is refused.",
            )
        )
    if _is_blue_green(group) and not options_of(group.document["blueGreenDeploymentConfiguration"]).copies_group:
        objection = cannot_replace([host.name for host in seen.hosts], seen.health)
    else:
        objection = None
    if objection is not None:
        found.append(_problem(ErrorCode.NO_INSTANCES, objection))
    elif lineup.refusal is not None:
        found.append(_problem(lineup.refusal.code.value, lineup.refusal.message))
    return found


def _unseen(lineup: Lineup, last_seen: Mapping[str, float | None], now: float) -> list[Problem]:
    """Hosts whose agent does not poll: each fails when its turn comes."""
    silent = [
        host.name
        for host, _ in lineup.hosts
        # Of one that was never given a key, nothing is known.
        if _caller(host) in last_seen and (last_seen[_caller(host)] or 0.0) < now - _UNSEEN_AFTER
    ]
    if not silent:
        return []
    fleet = Fleet(
        total=len(lineup.hosts),
        required=lineup.required,
        pending=len(lineup.hosts) - len(silent),
        in_flight=0,
        succeeded=0,
        failed=len(silent),
    )
    named = ", ".join(silent[:_MOST_NAMED]) + (" …" if len(silent) > _MOST_NAMED else "")
    return [
        _problem(
            "AGENT_NOT_SEEN",
            f"The agent of {len(silent)} instance(s) has not called for {_UNSEEN_AFTER / 60:.0f} minutes or has never:"
            f" {named}. Is it running there, and can it reach this server?",
            is_fatal=judge(fleet) is Verdict.FAILED,
        )
    ]


def _addresses(call: Call, lineup: Lineup, group: DeploymentGroup) -> list[Problem]:
    """What is wrong with where on-premises hosts say that load balancers find them."""
    if _is_blue_green(group):
        originals = lineups.on_premises(call.tx, call.scope, group.document)
        hosts = [*(host for host, _ in lineup.hosts), *originals]
        return [
            _problem(ErrorCode.ELB_INVALID_INSTANCE, text) for text in lineups.unplaceable(call.tx, call.scope, hosts)
        ]
    names = [host.name for host, _ in lineup.hosts if host.zone is None]
    places: dict[str, list[str]] = {}
    found = []
    for name, instance in sorted(instances.several(call.tx, call.scope, names).items()):
        try:
            place = place_of(instance.tags)
        except BadAddressError as problem:
            found.append(
                _problem("ADDRESS_INVALID", f"{name} will fail at its load balancer: {problem}.", is_fatal=False)
            )
            continue
        if place is not None:
            places.setdefault(place, []).append(name)
    for place, sharing in places.items():
        if len(sharing) > 1:
            text = f"{', '.join(sharing)} are all at {place}: while one is out of traffic, all are."
            found.append(_problem("ADDRESS_SHARED", text, is_fatal=False))
    return found


def _bundle_problems(bundles: Bundles, scope: Scope, location: Mapping[str, Any]) -> list[Problem]:
    place = location.get("s3Location")
    if place is None:
        return []
    name = f"s3://{place['bucket']}/{place['key']}"
    try:
        facts = bundles.examine(scope, place, expires_in=60)
    except ProviderError as error:
        return [_problem("REVISION_MISSING", f"{name} cannot be reached now: {error}", is_fatal=False)]
    if facts.sha256 is None:
        return [
            _problem(
                "REVISION_MISSING",
                f"{name} cannot be read: there is no such object, or this server may not read it."
                " Push it with: aws deploy push",
            )
        ]
    if facts.appspec_filename is None:
        return [
            _problem(
                "APPSPEC_MISSING",
                f"{name} has no appspec.yml or appspec.yaml at its root, or is no {place.get('bundleType')} archive."
                " See what is wrong with: longshore appspec check",
            )
        ]
    return []


def _alarm_problems(alarms: Alarms, access: Access, configuration: Mapping[str, Any]) -> list[Problem]:
    watch = watch_of(configuration)
    if watch is None:
        return []
    try:
        states = alarms.states(access, watch.names)
        unread = unreadable(watch, states)
    except ProviderError as error:
        states, unread = {}, str(error)
    found = []
    if stop := firing(watch, states):
        found.append(_problem("ALARM_ACTIVE", f"It would be stopped because of {stop}."))
    if unread is not None:
        text = f"The states of the group's alarms cannot be read: {unread}."
        found.append(_problem("ALARM_UNREADABLE", text, is_fatal=not watch.ignores_failures))
    return found


def _caller(host: Host) -> str:
    """By what its use of keys is known: an instance's id, or the ARN that an on-premises one registered with."""
    return host.poller.partition("/")[2] if host.zone is None else host.name


def _problem(code: str, message: str, *, is_fatal: bool = True) -> Problem:
    return {"code": code, "message": message, "isFatal": is_fatal}
