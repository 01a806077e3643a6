"""The composition root: everything the control plane is made of, wired once."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from longshore import models
from longshore.api import (
    access_keys,
    applications,
    audit_records,
    connections,
    constraint_errors,
    deployment_configs,
    deployment_groups,
    deployment_parameters,
    deployment_targets,
    deployment_waits,
    deployments,
    enrollment,
    enrollment_tokens,
    github_tokens,
    hook_logs,
    hosts,
    on_premises_instances,
    plans,
    resource_tags,
    revisions,
    sts,
)
from longshore.api.iam import access_keys as iam_access_keys
from longshore.api.iam import errors as iam_errors
from longshore.api.iam import policies, roles, users
from longshore.api.limits import Limits
from longshore.api.operations import changes, handlers
from longshore.commands import envelope
from longshore.commands.hook_logs import HookLogs
from longshore.commands.operations import Commands
from longshore.commands.waiting import Waiting
from longshore.engine.alarms import AlarmWatch
from longshore.engine.messenger import Messenger
from longshore.engine.retention import Retention
from longshore.engine.runner import Runner
from longshore.engine.tick import World
from longshore.onebox.machinery.objects import ObjectStore, StoreInUse
from longshore.onebox.services.s3 import CHANGES as S3_CHANGES
from longshore.onebox.services.s3 import S3
from longshore.providers.alarms import AlertmanagerAlarms, CloudWatchAlarms, PrometheusAlarms, SeveralAlarms
from longshore.providers.bundles import S3Bundles
from longshore.providers.ports import Alarms, Bundles
from longshore.providers.topics import AppriseTopics, SnsTopics
from longshore.server import credentials, data_dir
from longshore.server.authentication import Gate, Usage, keyring
from longshore.server.authorization import Authorizer, object_permissions
from longshore.server.metrics import Depths, Metrics
from longshore.server.observing import Observing
from longshore.server.probes import Readiness, pages
from longshore.server.refusals import Refusals
from longshore.server.settings import AlarmKind, AlarmSource, Settings
from longshore.store import deployments as deployment_rows
from longshore.store import server_secrets
from longshore.store.access_keys import AccessKey
from longshore.store.database import Store, Transaction, sqlite_url
from longshore.store.deployments import drop_leases
from longshore.store.errors import NewerSchemaError, StoreClosedError, StoreUnavailableError
from longshore.store.wakeup import Wakeup
from longshore.wire.constraints import explain_as
from longshore.wire.endpoint import ASGIApp, Endpoint
from longshore.wire.route import Router
from longshore.wire.service import Service

CODEDEPLOY_OPERATIONS = (
    applications,
    deployment_configs,
    deployment_groups,
    revisions,
    deployments,
    deployment_targets,
    deployment_waits,
    on_premises_instances,
    resource_tags,
    connections,
)
IAM_OPERATIONS = (users, iam_access_keys, roles, policies)
STS_OPERATIONS = (sts,)
LONGSHORE_OPERATIONS = (
    access_keys,
    audit_records,
    deployment_parameters,
    enrollment_tokens,
    enrollment,
    github_tokens,
    hook_logs,
    hosts,
    plans,
)

#: Answered late on purpose.
_HELD = frozenset({"PollHostCommand"})


@dataclass(frozen=True, kw_only=True)
class ControlPlane:
    """A control plane, ready to be served and to be started."""

    store: Store
    app: ASGIApp
    waiting: Waiting
    hook_logs: HookLogs
    engine: Runner
    messenger: Messenger
    #: None: everything is kept.
    retention: Retention | None
    readiness: Readiness
    refusals: Refusals
    #: The account owner's.
    root_key: AccessKey
    #: Whoever shows it may read the metrics.
    metrics_token: str

    def certificate_renewed(self, sha256: str) -> None:
        """The server shows another certificate from now on: hosts that are enrolled will be told so."""
        self.store.later(lambda tx: server_secrets.put(tx, server_secrets.CERTIFICATE_SHA256, sha256))


def build(settings: Settings, *, port: int, certificate_sha256: str = "") -> ControlPlane:
    """Open the data and wire everything that uses it; `port` is where the server listens, and the SHA-256 that of
    the certificate it shows, "" for none."""
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not data_dir.take(settings.data_dir):
        raise StoreInUse(settings.data_dir)
    data_dir.require_whole(settings.data_dir)
    embedded = settings.data_dir / data_dir.DATABASE
    store = Store(settings.database_url or sqlite_url(_private(embedded)), Wakeup())
    now = time.time()
    if settings.database_url is None:
        # Nobody else is here: whoever held a lease is dead.
        store.write(lambda tx: drop_leases(tx, now))
    root = store.write(lambda tx: credentials.root_key(tx, settings.account_id, now))
    signer = store.write(lambda tx: envelope.signer(tx, now))
    page_secret = store.write(lambda tx: server_secrets.get_or_make(tx, "page-tokens", lambda: secrets.token_hex(32)))

    metrics_token = store.write(
        lambda tx: server_secrets.get_or_make(tx, "metrics-token", lambda: f"lsm_{secrets.token_urlsafe(32)}")
    )

    store.write(lambda tx: server_secrets.put(tx, server_secrets.CERTIFICATE_SHA256, certificate_sha256))

    keys = keyring(store)
    usage = Usage(store)
    metrics = Metrics(lambda: _depths(store, waiting), waits=_HELD, now=time.time)
    waiting = Waiting(store, offered=metrics.offered)
    logs = HookLogs(store)
    refusals = Refusals(store, settings.account_id)
    bundles = _bundles(settings, store, settings.url(port))
    everything = [*CODEDEPLOY_OPERATIONS, *IAM_OPERATIONS, *STS_OPERATIONS, *LONGSHORE_OPERATIONS]
    observer = Observing(store, metrics, refusals, changes=changes(everything) | S3_CHANGES)
    alarms = SeveralAlarms([_alarms(source) for source in settings.alarms])
    endpoint = Endpoint(
        [
            _codedeploy(store, settings.limits, page_secret.encode()),
            _commands(Commands(store, waiting, signer, logs)),
            _longshore(store, settings.limits, page_secret.encode(), logs, bundles, alarms),
            _iam(store, settings.limits, page_secret.encode()),
            _sts(store, settings.limits, page_secret.encode()),
        ],
        Gate(keys, usage, now=time.time).authenticate,
        Authorizer(store, keys, now=time.time),
        now=time.time,
        observer=observer,
        passing=(StoreUnavailableError, StoreClosedError, NewerSchemaError),
    )
    s3 = S3(
        ObjectStore(settings.data_dir / data_dir.OBJECTS),
        keys,
        now=time.time,
        why_not=object_permissions(store, usage, now=time.time),
        base_hosts=settings.host_names,
        observer=observer,
    )
    engine = Runner(
        World(
            store=store,
            bundles=bundles,
            alarms=AlarmWatch(alarms),
            max_targets=settings.limits.instances_per_deployment,
            max_active_targets=settings.limits.active_instances,
        )
    )
    readiness = Readiness(is_current=store.is_current, engine=engine)
    return ControlPlane(
        store=store,
        app=Router(endpoint, {"s3": s3}, fallback=s3, pages=pages(readiness, metrics.registry, metrics_token)),
        waiting=waiting,
        hook_logs=logs,
        engine=engine,
        messenger=Messenger(store, _topics(settings)),
        retention=Retention(store, settings.keep_deployments) if settings.keep_deployments else None,
        readiness=readiness,
        refusals=refusals,
        root_key=root,
        metrics_token=metrics_token,
    )


def _bundles(settings: Settings, store: Store, local_url: str) -> S3Bundles:
    if settings.s3_endpoint is not None:
        elsewhere = None if settings.s3_endpoint == "aws" else settings.s3_endpoint
        return S3Bundles(endpoint_url=elsewhere, public_url=elsewhere, keys=None)
    return S3Bundles(
        endpoint_url=local_url,
        public_url=settings.public_url or local_url,
        # Our own socket: a certificate made for the public name would not fit the local address.
        verify=False,
        keys=lambda account: _own_key(store, account),
    )


def _own_key(store: Store, account: str) -> tuple[str, str]:
    key = store.write(lambda tx: credentials.service_key(tx, account, time.time()))
    return key.access_key_id, key.secret_access_key


def _depths(store: Store, waiting: Waiting) -> Depths:
    now = time.time()

    def look(tx: Transaction) -> tuple[int, dict[str, int]]:
        return deployment_rows.count_due(tx, now), deployment_rows.count_by_status(tx)

    due, by_status = store.read(look)
    return Depths(held_polls=waiting.parked, queued_writes=store.queued_writes, due=due, deployments=by_status)


def _codedeploy(store: Store, limits: Limits, page_secret: bytes) -> Service:
    return Service(
        model=models.load("codedeploy"),
        handlers=handlers(store, CODEDEPLOY_OPERATIONS, limits=limits, page_secret=page_secret),
        explain=constraint_errors.explain,
        signing_names=frozenset({"codedeploy"}),
        target_prefixes=frozenset({"CodeDeploy_20141006"}),
        overlay=constraint_errors.OVERLAY,
    )


def _commands(commands: Commands) -> Service:
    return Service(
        model=models.load("codedeploy-commands"),
        handlers=commands.handlers(),
        explain=explain_as("ClientException"),
        # The second of each is what agents with `enable_auth_policy` say (agent.md 1.1.3).
        signing_names=frozenset({"codedeploy-commands", "codedeploy-commands-secure"}),
        target_prefixes=frozenset({"CodeDeployCommandService_v20141006", "CodeDeployCommandService"}),
        waits=_HELD,
        # A completion is never refused for what a script said; it is not stored as it is.
        overlay={"Payload": {"pattern": ""}},
    )


def _longshore(
    store: Store, limits: Limits, page_secret: bytes, logs: HookLogs, bundles: Bundles, alarms: Alarms
) -> Service:
    api = handlers(store, LONGSHORE_OPERATIONS, limits=limits, page_secret=page_secret)
    planned = plans.examining(api["PlanDeployment"], bundles, alarms)
    return Service(
        model=models.load("longshore"),
        handlers={**api, **logs.handlers(), "PlanDeployment": planned},
        explain=explain_as("InvalidInputException"),
        signing_names=frozenset({"longshore"}),
        target_prefixes=frozenset({"Longshore_20261123"}),
        # What scripts say is taken whatever they say.
        overlay={"HookLogText": {"pattern": ""}},
    )


def _iam(store: Store, limits: Limits, page_secret: bytes) -> Service:
    return Service(
        model=models.load("iam"),
        handlers=handlers(store, IAM_OPERATIONS, limits=limits, page_secret=page_secret),
        explain=iam_errors.explain,
        signing_names=frozenset({"iam"}),
        target_prefixes=frozenset(),
    )


def _sts(store: Store, limits: Limits, page_secret: bytes) -> Service:
    return Service(
        model=models.load("sts"),
        handlers=handlers(store, STS_OPERATIONS, limits=limits, page_secret=page_secret),
        explain=iam_errors.explain,
        signing_names=frozenset({"sts"}),
        target_prefixes=frozenset(),
    )


def _topics(settings: Settings) -> AppriseTopics:
    sns = None if settings.sns is None else SnsTopics(settings.sns or None)
    return AppriseTopics(settings.topics, otherwise=sns)


def _alarms(source: AlarmSource) -> Alarms:
    match source.kind:
        case AlarmKind.PROMETHEUS:
            return PrometheusAlarms(source.url)
        case AlarmKind.ALERTMANAGER:
            return AlertmanagerAlarms(source.url)
        case AlarmKind.CLOUDWATCH:
            return CloudWatchAlarms(source.url or None)


def _private(path: Path) -> Path:
    """The database holds keys: nobody else may read it, from its first byte on."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    return path
