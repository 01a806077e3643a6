"""The composition root: everything the control plane is made of, wired once."""

from __future__ import annotations

import contextlib
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from longshore.commands import envelope
from longshore.commands.hook_logs import HookLogs
from longshore.commands.operations import Commands
from longshore.commands.waiting import Waiting
from longshore.engine.alarms import AlarmWatch
from longshore.engine.auto_scaling import AutoScaling
from longshore.engine.messenger import Messenger
from longshore.engine.retention import Retention
from longshore.engine.runner import Runner
from longshore.engine.server.fleets import Fleets
from longshore.engine.server.replacing import Replacing
from longshore.engine.traffic import Traffic
from longshore.engine.world import World
from longshore.onebox import world as onebox
from longshore.onebox.machinery.objects import ObjectStore, StoreInUse
from longshore.onebox.services.s3 import S3
from longshore.providers.autoscaling import Ec2AutoScaling
from longshore.providers.ec2 import Ec2Instances
from longshore.providers.elb import ElasticLoadBalancing
from longshore.providers.service_roles import ServiceRoles
from longshore.server import credentials, data_dir, outside, services
from longshore.server.authentication import Gate, Usage, keyring
from longshore.server.authorization import Authorizer, object_permissions
from longshore.server.instance_roles import InstanceRoles
from longshore.server.metrics import Depths, Metrics, Stored
from longshore.server.observing import Observing
from longshore.server.probes import Readiness, pages
from longshore.server.refusals import Refusals
from longshore.server.settings import Settings
from longshore.store import deployments as deployment_rows
from longshore.store import leases, notifications, server_secrets
from longshore.store.access_keys import AccessKey
from longshore.store.database import Store, Transaction, sqlite_url
from longshore.store.deployments import drop_leases
from longshore.store.errors import NewerSchemaError, StoreClosedError, StoreUnavailableError
from longshore.store.wakeup import Wakeup
from longshore.wire.endpoint import ASGIApp, Endpoint
from longshore.wire.route import Router


@dataclass(frozen=True, kw_only=True)
class ControlPlane:
    """A control plane, ready to be served and to be started."""

    store: Store
    app: ASGIApp
    waiting: Waiting
    hook_logs: HookLogs
    onebox: onebox.Onebox
    engine: Runner
    messenger: Messenger
    auto_scaling: AutoScaling
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
        store.write(leases.drop_all)
    root = store.write(lambda tx: credentials.root_key(tx, settings.account_id, now))
    signer = store.write(lambda tx: envelope.signer(tx, now))
    page_secret = store.write(lambda tx: server_secrets.get_or_make(tx, "page-tokens", lambda: secrets.token_hex(32)))

    metrics_token = store.write(
        lambda tx: server_secrets.get_or_make(tx, "metrics-token", lambda: f"lsm_{secrets.token_urlsafe(32)}")
    )

    store.write(lambda tx: server_secrets.put(tx, server_secrets.CERTIFICATE_SHA256, certificate_sha256))

    keys = keyring(store)
    usage = Usage(store)
    metrics = Metrics(lambda: _depths(store, waiting), waits=services.HELD, now=time.time)
    waiting = Waiting(store, offered=metrics.offered)
    logs = HookLogs(store)
    refusals = Refusals(store, settings.account_id)
    bundles = outside.bundles(settings, store, settings.url(port))
    authorizer = Authorizer(store, keys, now=time.time)
    box = onebox.build(
        settings.data_dir / data_dir.ONEBOX,
        url=settings.public_url or settings.url(port),
        mail_server=settings.mail_server,
        roles=InstanceRoles(store, authorizer, now=time.time),
        plane=outside.plane_of_instances(settings, port, signer, certificate_sha256),
        hidden=settings.data_dir.resolve(),
    )
    observer = Observing(store, metrics, refusals, changes=services.CHANGES | box.changes)
    aws = outside.clients(settings, store, settings.url(port))
    roles = ServiceRoles(aws)
    members, balancers, scaling = outside.members(roles), ElasticLoadBalancing(roles), Ec2AutoScaling(roles)
    alarms = outside.alarms(settings, roles)
    endpoint = Endpoint(
        [
            services.codedeploy_service(store, settings.limits, page_secret.encode(), scaling),
            services.codedeploy_commands_service(Commands(store, waiting, signer, logs)),
            services.longshore_service(
                store, settings.limits, page_secret.encode(), logs, bundles, members, balancers, alarms
            ),
            services.iam_service(store, settings.limits, page_secret.encode()),
            services.sts_service(store, settings.limits, page_secret.encode()),
            *box.services,
        ],
        Gate(keys, usage, now=time.time).authenticate,
        authorizer,
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
            members=members,
            traffic=Traffic(balancers),
            scaling=scaling,
            replacing=Replacing(
                store,
                Fleets(members, Ec2Instances(roles), scaling),
                limit=settings.limits.instances_per_deployment,
                account_limit=settings.limits.active_instances,
            ),
            alarms=AlarmWatch(alarms),
            # onebox's costs nothing where nobody listens.
            has_event_bus=lambda scope: (
                settings.aws_endpoint != "onebox" or box.rules.is_listened_to(scope.account, scope.region)
            ),
            max_targets=settings.limits.instances_per_deployment,
            max_active_targets=settings.limits.active_instances,
        )
    )
    readiness = Readiness(is_current=store.is_current, engine=engine)
    return ControlPlane(
        store=store,
        app=Router(
            endpoint,
            {"s3": s3},
            fallback=s3,
            pages={**pages(readiness, metrics.registry, metrics_token), **box.pages},
            unsigned=box.unsigned,
        ),
        waiting=waiting,
        hook_logs=logs,
        onebox=box,
        engine=engine,
        auto_scaling=AutoScaling(store, scaling, max_active=settings.limits.active_deployments),
        messenger=Messenger(store, outside.topics(settings, aws, roles)),
        retention=Retention(store, settings.keep_deployments) if settings.keep_deployments else None,
        readiness=readiness,
        refusals=refusals,
        root_key=root,
        metrics_token=metrics_token,
    )


def _depths(store: Store, waiting: Waiting) -> Depths:
    now = time.time()

    def look(tx: Transaction) -> Stored:
        return Stored(
            due=deployment_rows.count_due(tx, now),
            notifications=notifications.count(tx),
            deployments=deployment_rows.count_by_status(tx),
        )

    stored: Stored | None = None
    # Metrics are needed most when something is away.
    with contextlib.suppress(StoreUnavailableError):
        stored = store.read(look)
    return Depths(held_polls=waiting.parked, queued_writes=store.queued_writes, stored=stored)


def _private(path: Path) -> Path:
    """The database holds keys: nobody else may read it, from its first byte on."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    return path
