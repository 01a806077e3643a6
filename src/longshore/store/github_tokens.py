"""Tokens by which hosts read private repositories of GitHub, and the applications that use them.

A token leaves this table for the specification of a deployment alone (`for_application`).
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, delete, func, insert, select, update

from longshore.domain.ids import Scope
from longshore.store.database import Transaction
from longshore.store.tables import applications, github_tokens


def put(tx: Transaction, scope: Scope, name: str, token: str, *, now: float) -> None:
    """Keep a token under this name, in place of one that was there."""
    done = tx.execute(update(github_tokens).where(_of(scope, name)).values(token=token))
    if done.rowcount == 0:
        tx.execute(
            insert(github_tokens).values(
                account=scope.account, region=scope.region, name=name, token=token, create_time=now
            )
        )


def names(tx: Transaction, scope: Scope, *, after: str | None, count: int) -> list[str]:
    """The first `count` names that follow `after`, in order."""
    query = select(github_tokens.c.name).where(_in(scope)).order_by(github_tokens.c.name).limit(count)
    if after is not None:
        query = query.where(github_tokens.c.name > after)
    return list(tx.execute(query).scalars())


def number(tx: Transaction, scope: Scope) -> int:
    """How many tokens the account has in this region."""
    return int(tx.execute(select(func.count()).select_from(github_tokens).where(_in(scope))).scalar_one())


def exists(tx: Transaction, scope: Scope, name: str) -> bool:
    return tx.execute(select(github_tokens.c.name).where(_of(scope, name))).one_or_none() is not None


def remove(tx: Transaction, scope: Scope, name: str) -> None:
    """Forget a token; applications that used it use none."""
    tx.execute(delete(github_tokens).where(_of(scope, name)))
    linked = and_(
        applications.c.account == scope.account,
        applications.c.region == scope.region,
        applications.c.github_token_name == name,
    )
    tx.execute(update(applications).where(linked).values(github_token_name=None))


def link(tx: Transaction, application_id: str, name: str) -> None:
    """Have an application's deployments use the token of this name."""
    tx.execute(update(applications).where(applications.c.id == application_id).values(github_token_name=name))


def for_application(tx: Transaction, application_id: str) -> str | None:
    """The token that an application uses: a secret, for the specification of its deployments and nobody else."""
    query = select(github_tokens.c.token).join(
        applications,
        and_(
            applications.c.account == github_tokens.c.account,
            applications.c.region == github_tokens.c.region,
            applications.c.github_token_name == github_tokens.c.name,
        ),
    )
    found = tx.execute(query.where(applications.c.id == application_id)).scalar_one_or_none()
    return None if found is None else str(found)


def _in(scope: Scope) -> ColumnElement[bool]:
    return and_(github_tokens.c.account == scope.account, github_tokens.c.region == scope.region)


def _of(scope: Scope, name: str) -> ColumnElement[bool]:
    return and_(_in(scope), github_tokens.c.name == name)
