"""Deployment configs: the predefined ones come with every account, the custom ones have rows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, exists, func, insert, or_, select

from longshore.domain.config import PREDEFINED, ComputePlatform, DeploymentConfig
from longshore.domain.health import MinimumHealthyHosts, MinimumType
from longshore.domain.ids import Scope
from longshore.store import resource_tags
from longshore.store.database import Transaction
from longshore.store.tables import deployment_configs, deployment_groups, deployments


def find(tx: Transaction, scope: Scope, name: str) -> DeploymentConfig | None:
    """The config of this name, predefined or custom."""
    if name in PREDEFINED:
        return PREDEFINED[name]
    row = tx.execute(select(deployment_configs).where(_in(scope), deployment_configs.c.name == name)).one_or_none()
    return None if row is None else _config(row)


def names(tx: Transaction, scope: Scope) -> list[str]:
    """Every config's name in order, predefined ones included; an account has few (S1.12), so all at once."""
    custom = tx.execute(select(deployment_configs.c.name).where(_in(scope))).scalars()
    return sorted([*PREDEFINED, *custom])


def number(tx: Transaction, scope: Scope) -> int:
    """How many custom configs the account has in this region."""
    return int(tx.execute(select(func.count()).select_from(deployment_configs).where(_in(scope))).scalar_one())


def create(tx: Transaction, scope: Scope, config: DeploymentConfig) -> None:
    """Keep a custom config; the caller has seen that its name is free."""
    document: dict[str, Any] = {}
    if config.minimum is not None:
        document["minimumHealthyHosts"] = {"type": config.minimum.type.value, "value": config.minimum.value}
    if config.routing is not None:
        document["trafficRoutingConfig"] = config.routing
    if config.zonal is not None:
        document["zonalConfig"] = config.zonal
    tx.execute(
        insert(deployment_configs).values(
            id=config.id,
            account=scope.account,
            region=scope.region,
            name=config.name,
            compute_platform=config.platform.value,
            create_time=config.create_time,
            document=document,
        )
    )


def is_in_use(tx: Transaction, scope: Scope, name: str) -> bool:
    """Whether a deployment group names this config, or a deployment still under way was made with it (S2.21)."""
    by_group = exists().where(
        deployment_groups.c.account == scope.account,
        deployment_groups.c.region == scope.region,
        deployment_groups.c.deployment_config_name == name,
    )
    by_deployment = exists().where(
        deployments.c.account == scope.account,
        deployments.c.region == scope.region,
        deployments.c.config_name == name,
        # Whatever has not ended (store.deployments).
        deployments.c.wake_at.is_not(None),
    )
    return bool(tx.execute(select(or_(by_group, by_deployment))).scalar_one())


def remove(tx: Transaction, config: DeploymentConfig) -> None:
    resource_tags.clear(tx, [config.id])
    tx.execute(delete(deployment_configs).where(deployment_configs.c.id == config.id))


def _in(scope: Scope) -> ColumnElement[bool]:
    return and_(deployment_configs.c.account == scope.account, deployment_configs.c.region == scope.region)


def _config(row: Row[Any]) -> DeploymentConfig:
    minimum = row.document.get("minimumHealthyHosts")
    return DeploymentConfig(
        id=row.id,
        name=row.name,
        platform=ComputePlatform(row.compute_platform),
        create_time=row.create_time,
        minimum=minimum and MinimumHealthyHosts(type=MinimumType(minimum["type"]), value=minimum["value"]),
        routing=row.document.get("trafficRoutingConfig"),
        zonal=row.document.get("zonalConfig"),
    )
