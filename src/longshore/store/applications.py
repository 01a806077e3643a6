"""Applications: the names under which revisions and deployment groups are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, func, insert, select, update

from longshore.domain.config import ComputePlatform
from longshore.domain.ids import Scope, new_id
from longshore.store import deployment_groups, lifecycle_hooks, resource_tags
from longshore.store.database import Transaction
from longshore.store.deployment_groups import DeploymentGroup
from longshore.store.tables import applications, deployments


@dataclass(frozen=True, kw_only=True, slots=True)
class Application:
    """An application. Its id survives a rename; one made anew under an old name has another (S1.7)."""

    id: str
    name: str
    compute_platform: ComputePlatform
    #: Epoch seconds.
    create_time: float
    scope: Scope
    #: The token by which its revisions at GitHub are read.
    github_token_name: str | None


_FIELDS = ("id", "name", "compute_platform", "create_time", "github_token_name")
_COLUMNS = ", ".join(f"a.{name}" for name in _FIELDS)
_NAMED = "WHERE a.account = ? AND a.region = ? AND a.name = ?"
# Asked for nearly every call, so both go straight to the driver.
_ONE = f"SELECT {_COLUMNS} FROM applications a {_NAMED}"  # noqa: S608  # fixed names
_WITH_GROUP = (
    f"SELECT {_COLUMNS}, {deployment_groups.columns('g')} FROM applications a"  # noqa: S608  # fixed names
    f" LEFT JOIN deployment_groups g ON g.application_id = a.id AND g.name = ? {_NAMED}"
)


def find(tx: Transaction, scope: Scope, name: str) -> Application | None:
    """The application of this name."""
    row = tx.hot(_ONE, (scope.account, scope.region, name)).fetchone()
    return None if row is None else _found(scope, row)


def find_with_group(
    tx: Transaction, scope: Scope, name: str, group_name: str
) -> tuple[Application | None, DeploymentGroup | None]:
    """The application of this name, and its deployment group of that name."""
    asked = tx.foreseen.pop((scope, name, group_name), None) or _asking_with_group(tx, scope, name, group_name)
    row = asked.fetchone()
    if row is None:
        return None, None
    return _found(scope, row), deployment_groups.of_row(row[len(_FIELDS) :])


def foresee_with_group(tx: Transaction, scope: Scope, name: str, group_name: str) -> None:
    """Have asked what the next `find_with_group` of these names wants to know."""
    if (names := (scope, name, group_name)) not in tx.foreseen:
        tx.foreseen[names] = _asking_with_group(tx, *names)


def _asking_with_group(tx: Transaction, scope: Scope, name: str, group_name: str) -> Any:
    return tx.hot(_WITH_GROUP, (group_name, scope.account, scope.region, name))


def _found(scope: Scope, row: Sequence[Any]) -> Application:
    values = dict(zip(_FIELDS, row, strict=False))
    return Application(scope=scope, **values | {"compute_platform": ComputePlatform(values["compute_platform"])})


def is_there(tx: Transaction, application_id: str) -> bool:
    """Whether the application has not been deleted."""
    return tx.hot("SELECT 1 FROM applications WHERE id = ?", (application_id,)).fetchone() is not None


def name_of(tx: Transaction, application_id: str) -> str | None:
    """The name of an application; None where it has been deleted."""
    row = tx.hot("SELECT name FROM applications WHERE id = ?", (application_id,)).fetchone()
    return None if row is None else str(row[0])


def several(tx: Transaction, scope: Scope, names: Sequence[str]) -> dict[str, Application]:
    """Those of these names that exist, by name."""
    rows = tx.execute(select(applications).where(_in(scope), applications.c.name.in_(names)))
    return {row.name: _application(row) for row in rows}


def names(tx: Transaction, scope: Scope, *, after: str | None, count: int) -> list[str]:
    """The first `count` names that follow `after`, in order."""
    query = select(applications.c.name).where(_in(scope)).order_by(applications.c.name).limit(count)
    if after is not None:
        query = query.where(applications.c.name > after)
    return list(tx.execute(query).scalars())


def number(tx: Transaction, scope: Scope) -> int:
    """How many applications the account has in this region."""
    return int(tx.execute(select(func.count()).select_from(applications).where(_in(scope))).scalar_one())


def create(tx: Transaction, scope: Scope, *, name: str, platform: ComputePlatform, now: float) -> Application:
    """Make an application; the caller has seen that its name is free."""
    made = Application(
        id=new_id(), name=name, compute_platform=platform, create_time=now, scope=scope, github_token_name=None
    )
    tx.execute(
        insert(applications).values(
            id=made.id,
            account=scope.account,
            region=scope.region,
            name=name,
            compute_platform=platform.value,
            create_time=now,
        )
    )
    return made


def rename(tx: Transaction, application_id: str, name: str) -> None:
    """Give an application another name; its groups, revisions and past deployments follow (S12.5)."""
    tx.execute(update(applications).where(applications.c.id == application_id).values(name=name))
    tx.execute(update(deployments).where(deployments.c.application_id == application_id).values(application_name=name))


def remove(tx: Transaction, application: Application, *, by: str, now: float) -> None:
    """Delete an application with its groups, revisions, tags and ended deployments (S1.19).

    Deployments still under way are asked to stop, in the name of `by`; the engine ends them and finds the application
    gone.
    """
    deployment_groups.end_deployments(tx, deployments.c.application_id == application.id, by=by, now=now)
    groups = deployment_groups.ids(tx, application.id)
    resource_tags.clear(tx, [application.id, *groups])
    lifecycle_hooks.disown_all(tx, groups)
    tx.execute(delete(applications).where(applications.c.id == application.id))


def _in(scope: Scope) -> ColumnElement[bool]:
    return and_(applications.c.account == scope.account, applications.c.region == scope.region)


def _application(row: Row[Any]) -> Application:
    return Application(
        id=row.id,
        name=row.name,
        compute_platform=ComputePlatform(row.compute_platform),
        create_time=row.create_time,
        scope=Scope(row.account, row.region),
        github_token_name=row.github_token_name,
    )
