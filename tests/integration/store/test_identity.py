"""Users, roles, keys, sessions and policies as rows, on both databases."""

from __future__ import annotations

import pytest

from longshore.api.iam import keyholders
from longshore.auth.keys import Key
from longshore.auth.policy import Verdict, decide
from longshore.server.authentication import keyring
from longshore.store import access_keys, principals
from longshore.store.access_keys import AccessKey
from longshore.store.database import Store
from longshore.store.principals import Principal
from longshore.store.wakeup import Wakeup
from tests.acceptance.world import wait_until
from tests.conftest import Databases

ACCOUNT = "000000000000"
NOW = 1_795_000_000.0
ALLOW = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iam:GetUser", "Resource": "*"}}'


def user(name: str = "alice", *, account: str = ACCOUNT, path: str = "/") -> Principal:
    return Principal(
        id=f"AIDA{account}{name}",
        account=account,
        kind="user",
        name=name,
        path=path,
        create_time=NOW,
        tags={"team": "web"},
    )


def key_of(holder: Principal, access_key_id: str, *, ends: float | None = None) -> AccessKey:
    return AccessKey(
        access_key_id=access_key_id,
        secret_access_key="a secret",
        account=holder.account,
        principal_arn=holder.arn,
        kind=holder.kind,
        create_time=NOW,
        principal_id=holder.id,
        session_token=None if ends is None else "a token",
        expiration=ends,
        session_policies=None if ends is None else [ALLOW],
    )


def made(store: Store, holder: Principal, *keys: AccessKey) -> None:
    store.write(lambda tx: principals.add(tx, holder))
    for key in keys:
        store.write(lambda tx, key=key: access_keys.add(tx, key))  # type: ignore[misc]


def has(store: Store, access_key_id: str) -> bool:
    return store.read(lambda tx: keyholders.load(tx, access_key_id)) is not None


def test_a_key_comes_with_all_that_decides_what_it_may(store: Store) -> None:
    alice = user(path="/people/")
    made(store, alice, key_of(alice, "AKIA1"), key_of(alice, "ASIA1", ends=NOW + 900))
    store.write(lambda tx: principals.put_inline(tx, alice, "own", ALLOW))
    store.write(lambda tx: principals.attach(tx, alice, "arn:aws:iam::aws:policy/AWSCodeDeployReadOnlyAccess"))

    key = store.read(lambda tx: keyholders.load(tx, "AKIA1"))
    assert key is not None
    assert (key.principal_arn, key.identity_arn) == (alice.arn, f"arn:aws:iam::{ACCOUNT}:user/people/alice")
    assert (dict(key.tags), key.issued_at, key.session_policies) == ({"team": "web"}, None, None)
    for action, verdict in (
        ("iam:GetUser", Verdict.ALLOWED),
        ("codedeploy:ListApplications", Verdict.ALLOWED),
        ("codedeploy:CreateApplication", Verdict.NOT_ALLOWED),
    ):
        assert decide(key.policies, action, "*", lambda _name: None) is verdict

    session = store.read(lambda tx: keyholders.load(tx, "ASIA1"))
    assert session is not None
    assert (session.issued_at, session.expires_at, session.session_token) == (NOW, NOW + 900, "a token")
    assert session.session_policies is not None
    assert (
        decide(session.session_policies, "codedeploy:ListApplications", "*", lambda _name: None) is Verdict.NOT_ALLOWED
    )


@pytest.mark.parametrize("how", ["removed", "inactive"])
def test_sessions_end_with_the_key_of_their_user_and_with_no_other(store: Store, how: str) -> None:
    alice, bob, other = user(), user("bob"), user(account="111111111111")
    for holder, number in ((alice, 1), (bob, 2), (other, 3)):
        made(store, holder, key_of(holder, f"AKIA{number}"), key_of(holder, f"ASIA{number}", ends=NOW + 900))
    key = store.read(lambda tx: access_keys.find(tx, "AKIA1"))
    assert key is not None
    if how == "removed":
        store.write(lambda tx: access_keys.remove(tx, key))
    else:
        store.write(lambda tx: access_keys.set_status(tx, key, "Inactive"))
    assert [has(store, name) for name in ("AKIA1", "ASIA1", "AKIA2", "ASIA2", "AKIA3", "ASIA3")] == [
        *(False, False),
        *(True, True),
        *(True, True),
    ]


def test_sessions_are_counted_while_they_last(store: Store) -> None:
    alice = user()
    made(store, alice, key_of(alice, "AKIA1"), *(key_of(alice, f"ASIA{n}", ends=NOW + n) for n in range(3)))

    def count(now: float) -> int:
        return store.read(lambda tx: access_keys.count_sessions(tx, ACCOUNT, alice.arn, now))

    assert [count(NOW - 1), count(NOW), count(NOW + 1), count(NOW + 2)] == [3, 2, 1, 0]


def test_whoever_is_removed_takes_everything_along(store: Store) -> None:
    alice = user()
    made(store, alice, key_of(alice, "AKIA1"), key_of(alice, "ASIA1", ends=NOW + 900))
    store.write(lambda tx: principals.put_inline(tx, alice, "own", ALLOW))
    store.write(lambda tx: principals.remove(tx, alice))
    assert not has(store, "AKIA1")
    assert not has(store, "ASIA1")
    made(store, alice, key_of(alice, "AKIA2"))
    again = store.read(lambda tx: keyholders.load(tx, "AKIA2"))
    assert again is not None
    assert again.policies == ()


def test_a_user_is_found_by_its_own_spelling_alone(store: Store) -> None:
    made(store, user("Alice", path="/people/"))

    def path(name: str, account: str = ACCOUNT) -> str | None:
        return store.read(lambda tx: principals.path_of(tx, account, "user", name))

    assert [path("Alice"), path("alice"), path("Alice", "111111111111")] == ["/people/", None, None]
    assert store.read(lambda tx: principals.is_taken(tx, ACCOUNT, "user", "ALICE"))


def test_what_one_server_takes_back_the_others_refuse(databases: Databases) -> None:
    """A key, a right, a tag: each server has them at hand, and hears that they are other ones now."""
    url = databases()
    one = Store(url, Wakeup())
    # On SQLite there is one server; there the same store is told the same way.
    two = one if url.get_backend_name() == "sqlite" else Store(url, Wakeup())
    try:
        keys, alice = keyring(two), user()

        def known() -> Key:
            found = keys.find("AKIA1", NOW)
            assert found is not None
            return found

        made(one, alice, key_of(alice, "AKIA1"))
        # The clock stands still: nothing gets old by itself.
        wait_until("the key is known", lambda: keys.find("AKIA1", NOW) is not None)

        one.write(lambda tx: principals.put_inline(tx, alice, "own", ALLOW))
        wait_until("the right is there", lambda: len(known().policies) == 1)
        one.write(lambda tx: principals.change(tx, alice, tags={"team": "money"}))
        wait_until("the tag is another", lambda: known().tags == {"team": "money"})
        one.write(lambda tx: principals.remove_inline(tx, alice, "own"))
        wait_until("the right is gone", lambda: known().policies == ())
        key = one.read(lambda tx: access_keys.find(tx, "AKIA1"))
        assert key is not None
        one.write(lambda tx: access_keys.remove(tx, key))
        wait_until("the key is gone", lambda: keys.find("AKIA1", NOW) is None)
    finally:
        for store in {one, two}:
            store.close()
