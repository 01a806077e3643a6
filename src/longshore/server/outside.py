"""The world outside, as this server's settings have it."""

from __future__ import annotations

import time

import urllib3

from longshore.commands.envelope import Signer
from longshore.models import loader_of_clients
from longshore.onebox.services.ec2.ports import ControlPlane
from longshore.providers.alarms import AlertmanagerAlarms, CloudWatchAlarms, PrometheusAlarms, SeveralAlarms
from longshore.providers.autoscaling import Ec2AutoScaling
from longshore.providers.bundles import S3Bundles
from longshore.providers.clients import Clients
from longshore.providers.ec2 import Ec2Instances
from longshore.providers.events import EventBuses
from longshore.providers.members import AwsMembers
from longshore.providers.ports import Alarms
from longshore.providers.service_roles import ServiceRoles
from longshore.providers.topics import AppriseTopics, SnsTopics
from longshore.server import credentials
from longshore.server.settings import AlarmKind, AlarmSource, Settings
from longshore.store.database import Store

# Nothing is called without a look at its certificate but our own socket, at every look of the engine.
urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)


def bundles(settings: Settings, store: Store, local_url: str) -> S3Bundles:
    if settings.s3_endpoint is not None:
        elsewhere = None if settings.s3_endpoint == "aws" else settings.s3_endpoint
        return S3Bundles(endpoint_url=elsewhere, public_url=elsewhere, keys=None, loader=loader_of_clients())
    return S3Bundles(
        endpoint_url=local_url,
        public_url=settings.public_url or local_url,
        # Our own socket: a certificate made for the public name would not fit the local address.
        verify=False,
        keys=lambda account: _own_key(store, account),
        loader=loader_of_clients(),
    )


def _own_key(store: Store, account: str) -> tuple[str, str]:
    key = store.write(lambda tx: credentials.service_key(tx, account, time.time()))
    return key.access_key_id, key.secret_access_key


def plane_of_instances(settings: Settings, port: int, signer: Signer, certificate_sha256: str) -> ControlPlane:
    """How the agents of onebox's instances find us: they are on this machine."""
    return ControlPlane(
        url=settings.url(port), specification_signer=signer.public_key, certificate_sha256=certificate_sha256
    )


def clients(settings: Settings, store: Store, local_url: str) -> Clients:
    """Of the services that the engine calls: `--aws-endpoint`."""
    match settings.aws_endpoint:
        case "onebox":
            # As for bundles: our own socket, and a key that may do what the control plane needs and nothing else.
            return Clients(
                endpoint_url=local_url,
                keys=lambda account: _own_key(store, account),
                verify=False,
                loader=loader_of_clients(),
            )
        case "aws":
            return Clients(endpoint_url=None, loader=loader_of_clients())
        case url:
            return Clients(endpoint_url=url, loader=loader_of_clients())


def members(roles: ServiceRoles) -> AwsMembers:
    return AwsMembers(Ec2Instances(roles), Ec2AutoScaling(roles))


def topics(settings: Settings, aws: Clients, roles: ServiceRoles) -> AppriseTopics:
    # AWS keeps the names that begin with "aws." for itself.
    source = "longshore.codedeploy" if settings.aws_endpoint == "aws" else "aws.codedeploy"
    buses = EventBuses(aws, source=source, otherwise=SnsTopics(roles))
    return AppriseTopics(settings.topics, otherwise=buses)


def alarms(settings: Settings, roles: ServiceRoles) -> SeveralAlarms:
    return SeveralAlarms([CloudWatchAlarms(roles), *map(_alarms_at, settings.alarms)])


def _alarms_at(source: AlarmSource) -> Alarms:
    match source.kind:
        case AlarmKind.PROMETHEUS:
            return PrometheusAlarms(source.url)
        case AlarmKind.ALERTMANAGER:
            return AlertmanagerAlarms(source.url)
