"""On-premises instances: hosts that were registered by hand, and their tags (server.md S8)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, insert, select, tuple_, update

from longshore.domain.group import TagSet, is_member
from longshore.domain.ids import Scope
from longshore.store.database import Transaction
from longshore.store.tables import instance_tags, instances

#: Instances whose tags are compared at once while a page of those with some tags is looked for.
_SLICE = 500

#: A tag is its key and its value together: one key may be there with several values (S8.4).
Tag = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """An on-premises instance, registered or once registered."""

    id: int
    name: str
    arn: str
    #: One of these two is set.
    iam_user_arn: str | None
    iam_session_arn: str | None
    #: Epoch seconds.
    register_time: float
    #: None while it is registered.
    deregister_time: float | None
    tags: tuple[Tag, ...]

    @property
    def is_registered(self) -> bool:
        return self.deregister_time is None

    @property
    def host(self) -> str:
        """The identifier its agent polls with (S8.3)."""
        return self.iam_user_arn or self.iam_session_arn or self.arn


def find(tx: Transaction, scope: Scope, name: str) -> Instance | None:
    """The instance of this name, registered or not."""
    return several(tx, scope, [name]).get(name)


def several(tx: Transaction, scope: Scope, names: Collection[str]) -> dict[str, Instance]:
    """Those of these names that were ever registered, by name."""
    return {found.name: found for found in _where(tx, and_(_in(scope), instances.c.name.in_(names)))}


def with_principal(
    tx: Transaction, scope: Scope, *, iam_user_arn: str | None, iam_session_arn: str | None
) -> Instance | None:
    """The registered instance that answers to this IAM user or session."""
    principal = (
        instances.c.iam_user_arn == iam_user_arn
        if iam_user_arn is not None
        else instances.c.iam_session_arn == iam_session_arn
    )
    found = _where(tx, and_(_in(scope), _REGISTERED, principal))
    return found[0] if found else None


def regions_of(tx: Transaction, account: str, iam_user_arn: str) -> list[str]:
    """Regions in which an instance that answers to this user is registered."""
    registered = (instances.c.account == account) & (instances.c.iam_user_arn == iam_user_arn) & _REGISTERED
    return list(tx.execute(select(instances.c.region).where(registered).order_by(instances.c.region)).scalars())


def matching(tx: Transaction, scope: Scope, tag_set: TagSet) -> list[Instance]:
    """The registered instances that a tag set means, by name."""
    if not tag_set:
        return []
    return [found for found in _where(tx, and_(_in(scope), _REGISTERED)) if is_member(tag_set, found.tags)]


def names(
    tx: Transaction, scope: Scope, *, registered: bool | None, tag_set: TagSet, after: str | None, count: int
) -> list[str]:
    """The first `count` names that follow `after`, of registered instances, deregistered ones, or both.

    An empty tag set leaves nobody out here: it is a filter, not a group's membership.
    """
    wanted = _in(scope)
    if registered is not None:
        wanted &= _REGISTERED if registered else ~_REGISTERED
    found: list[str] = []
    while len(found) < count:
        following = wanted if after is None else wanted & (instances.c.name > after)
        query = select(instances.c.name).where(following).order_by(instances.c.name).limit(_SLICE if tag_set else count)
        passed = list(tx.execute(query).scalars())
        if not tag_set:
            return passed
        if not passed:
            break
        # Tags are compared here, wildcards and all; so a page looks no further than it must.
        tagged = _where(tx, following & (instances.c.name <= passed[-1]))
        found += [one.name for one in tagged if is_member(tag_set, one.tags)]
        after = passed[-1]
    return found[:count]


def register(
    tx: Transaction,
    scope: Scope,
    *,
    name: str,
    iam_user_arn: str | None,
    iam_session_arn: str | None,
    now: float,
) -> None:
    """Register an instance; one deregistered under this name is forgotten, with its tags.

    The caller has seen that neither name nor principal is registered.
    """
    tx.execute(delete(instances).where(_in(scope), instances.c.name == name))
    tx.execute(
        insert(instances).values(
            account=scope.account,
            region=scope.region,
            name=name,
            arn=scope.new_instance_arn(name),
            iam_user_arn=iam_user_arn,
            iam_session_arn=iam_session_arn,
            register_time=now,
        )
    )


def deregister(tx: Transaction, scope: Scope, name: str, now: float) -> None:
    """Take an instance out of every group; its record and tags stay (S8.6). A name not registered is no matter."""
    tx.execute(update(instances).where(_in(scope), instances.c.name == name, _REGISTERED).values(deregister_time=now))


def add_tags(tx: Transaction, targets: Iterable[Instance], tags: Collection[Tag]) -> None:
    """Give each of these instances each of these tags; one it has already is no matter."""
    missing = [
        {"instance_id": target.id, "key": key, "value": value}
        for target in targets
        for key, value in dict.fromkeys(tags)
        if (key, value) not in target.tags
    ]
    if missing:
        tx.execute(insert(instance_tags), missing)


def remove_tags(tx: Transaction, targets: Iterable[Instance], tags: Collection[Tag]) -> None:
    """Take each of these tags off each of these instances; one it does not have is no matter."""
    tx.execute(
        delete(instance_tags).where(
            instance_tags.c.instance_id.in_([target.id for target in targets]),
            tuple_(instance_tags.c.key, instance_tags.c.value).in_(list(tags)),
        )
    )


_REGISTERED = instances.c.deregister_time.is_(None)


def _in(scope: Scope) -> ColumnElement[bool]:
    return and_(instances.c.account == scope.account, instances.c.region == scope.region)


def _where(tx: Transaction, wanted: ColumnElement[bool]) -> list[Instance]:
    """Instances by name, with their tags: two queries however many there are."""
    # Sorted here: asked for the order, SQLite would walk the names to find the one instance of a principal.
    rows = sorted(tx.execute(select(instances).where(wanted)), key=lambda row: row.name)
    tags: dict[int, list[Tag]] = defaultdict(list)
    for instance_id, key, value in tx.execute(
        select(instance_tags.c.instance_id, instance_tags.c.key, instance_tags.c.value)
        .join_from(instance_tags, instances, instances.c.id == instance_tags.c.instance_id)
        .where(wanted)
        .order_by(instance_tags.c.instance_id, instance_tags.c.key, instance_tags.c.value)
    ):
        tags[instance_id].append((key, value))
    return [_instance(row, tags.get(row.id, ())) for row in rows]


def _instance(row: Row[Any], tags: Sequence[Tag]) -> Instance:
    return Instance(
        id=row.id,
        name=row.name,
        arn=row.arn,
        iam_user_arn=row.iam_user_arn,
        iam_session_arn=row.iam_session_arn,
        register_time=row.register_time,
        deregister_time=row.deregister_time,
        tags=tuple(tags),
    )
