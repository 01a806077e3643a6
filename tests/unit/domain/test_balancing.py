"""Who is to be moved at which balancer, and where on-premises hosts are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.domain.balancing import (
    ADDRESS_TAG,
    Backend,
    BadAddressError,
    Balancer,
    BalancerKind,
    Look,
    Takes,
    TrafficState,
    Wish,
    balancers_of,
    moves,
    place_of,
    sharing,
    unplaceable,
)

WEB = Balancer(kind=BalancerKind.TARGET_GROUP, name="web")
OLD = Balancer(kind=BalancerKind.CLASSIC, name="old")
IPS = Balancer(kind=BalancerKind.TARGET_GROUP, name="ips")

states = st.one_of(st.none(), st.sampled_from(TrafficState))
hosts = st.sampled_from(["i-1", "i-2", "i-3", "10.0.0.1", "10.0.0.2:81"])
looks = st.fixed_dictionaries(
    {
        balancer: st.builds(
            lambda found, takes=takes: Look(
                takes=takes,
                backends={host: Backend(state=state) for host, state in found.items() if takes.is_one(host) and state},
            ),
            st.dictionaries(hosts, states),
        )
        for balancer, takes in ((WEB, Takes.INSTANCES), (OLD, Takes.INSTANCES), (IPS, Takes.ADDRESSES))
    }
)


@given(wishes=st.dictionaries(hosts, st.sampled_from(Wish)), seen=looks)
def test_following_the_moves_comes_to_an_end(wishes: dict[str, Wish], seen: dict[Balancer, Look]) -> None:
    """Whatever the balancers say: who is done is where he shall be, and who follows the moves gets there."""
    for _ in range(4):
        plan = moves(wishes, seen)
        assert plan.done | set(plan.waiting) == set(wishes)
        assert not plan.done & set(plan.waiting)
        for host in plan.done:
            for look in seen.values():
                backend = look.backends.get(host)
                if wishes[host] is Wish.OUT:
                    assert backend is None
                elif look.takes.is_one(host):
                    assert backend is not None
                    assert wishes[host] is Wish.BACK or backend.state is TrafficState.HEALTHY
        for balancer, names in (*plan.register.items(), *plan.deregister.items()):
            assert all(seen[balancer].takes.is_one(name) for name in names)
        seen = {
            balancer: followed(look, plan.register.get(balancer, ()), plan.deregister.get(balancer, ()))
            for balancer, look in seen.items()
        }
    assert moves(wishes, seen).done == set(wishes)


def followed(look: Look, register: object, deregister: object) -> Look:
    """What a balancer says after a while to which this was told."""
    after = {}
    for host, backend in look.backends.items():
        if host not in deregister and backend.state is not TrafficState.DRAINING:  # type: ignore[operator]  # sets
            after[host] = Backend(state=TrafficState.HEALTHY)
    after |= {host: Backend(state=TrafficState.HEALTHY) for host in register}  # type: ignore[attr-defined]  # sets
    return Look(takes=look.takes, backends=after)


def test_who_is_on_the_way_is_not_moved_again() -> None:
    on_the_way = {"i-1": Backend(state=TrafficState.DRAINING), "i-2": Backend(state=TrafficState.INITIAL, reason="new")}
    plan = moves({"i-1": Wish.OUT, "i-2": Wish.IN}, {WEB: Look(takes=Takes.INSTANCES, backends=on_the_way)})
    assert not plan.register
    assert not plan.deregister
    assert plan.waiting["i-2"] == "target group web calls it initial (new)"


def test_the_balancers_of_a_group_each_once() -> None:
    info = {"elbInfoList": [{"name": "old"}], "targetGroupInfoList": [{"name": "web"}, {"name": "web"}, {}]}
    assert balancers_of({"loadBalancerInfo": info}) == (OLD, WEB)
    assert balancers_of({}) == ()


@pytest.mark.parametrize(
    ("value", "place"),
    [("10.0.3.17", "10.0.3.17"), ("10.0.3.17:8081", "10.0.3.17:8081"), ("127.0.0.1:1", "127.0.0.1:1")],
)
def test_an_address(value: str, place: str) -> None:
    assert place_of([("role", "web"), (ADDRESS_TAG, value)]) == place


@pytest.mark.parametrize(
    "value", ["", "web-1", "10.0.3", "10.0.3.17:", "10.0.3.17:0", "10.0.3.17:65536", "::1", "010.0.0.1"]
)
def test_no_address(value: str) -> None:
    with pytest.raises(BadAddressError, match=ADDRESS_TAG):
        place_of([(ADDRESS_TAG, value)])


def test_no_tag_and_two() -> None:
    assert place_of([("role", "web")]) is None
    with pytest.raises(BadAddressError, match="several"):
        place_of([(ADDRESS_TAG, "10.0.0.1"), (ADDRESS_TAG, "10.0.0.2")])


def test_hosts_that_traffic_cannot_move_between() -> None:
    def at(value: str) -> list[tuple[str, str]]:
        return [(ADDRESS_TAG, value)]

    assert unplaceable({"a": at("10.0.0.1:80"), "b": at("10.0.0.1:81"), "c": at("10.0.0.2")}) == []
    problems = unplaceable(
        {
            "nowhere": [("role", "web")],
            "bad": at("web-1"),
            "a": at("10.0.0.1:80"),
            "b": at("10.0.0.1:80"),
            "any-port": at("10.0.0.2"),
            "one-port": at("10.0.0.2:81"),
        }
    )
    for sentence, names in zip(problems, ("bad", "nowhere", "a, b", "any-port, one-port"), strict=True):
        assert names in sentence


@given(
    st.dictionaries(
        st.sampled_from("abcde"),
        st.tuples(st.sampled_from(["10.0.0.1", "10.0.0.2"]), st.sampled_from([None, 80, 81])),
    ),
    st.sampled_from([80, 81, 82]),
)
def test_whoever_shares_nothing_is_its_own_target(found: dict[str, tuple[str, int | None]], default: int) -> None:
    """Whatever port a target group has."""
    places = {host: address if port is None else f"{address}:{port}" for host, (address, port) in found.items()}
    told = {host for hosts in sharing(places) for host in hosts}
    targets = [(address, port or default) for host, (address, port) in found.items() if host not in told]
    assert len(set(targets)) == len(targets)
    assert all(len(hosts) > 1 for hosts in sharing(places))
