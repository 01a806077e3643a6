"""On-premises instances (server.md S1.4, S1.9, S8, S12.35–41)."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from sqlalchemy import insert, select

from longshore.domain.group import on_premises_tag_set
from longshore.store import instances, tables

USER = "arn:aws:iam::123456789012:user/AWS/CodeDeploy/web-1"
SESSION = "arn:aws:sts::123456789012:assumed-role/hosts/web-2"


def tag(key: str, value: str) -> dict[str, str]:
    return {"Key": key, "Value": value}


@pytest.fixture
def register(codedeploy: Any) -> Any:
    """Register instances of these names, each for a user of its own."""

    def register(*names: str) -> None:
        for name in names:
            codedeploy.register_on_premises_instance(
                instanceName=name, iamUserArn=f"arn:aws:iam::123456789012:user/{name}"
            )

    return register


@pytest.fixture
def instance(codedeploy: Any) -> Any:
    return lambda name: codedeploy.get_on_premises_instance(instanceName=name)["instanceInfo"]


@pytest.mark.parametrize("principal", [{"iamUserArn": USER}, {"iamSessionArn": SESSION}])
def test_register(codedeploy: Any, instance: Any, clock: Any, scope: Any, principal: Any) -> None:
    """S1.9, S8.1, S8.8: a user or a session; the ARN has a random end; tags are there, empty."""
    codedeploy.register_on_premises_instance(instanceName="web-1", **principal)
    found = instance("web-1")
    arn = found.pop("instanceArn")
    assert re.fullmatch(rf"arn:aws:codedeploy:{scope.region}:{scope.account}:instance/web-1_[A-Za-z0-9]{{10}}", arn)
    assert found.pop("registerTime").timestamp() == pytest.approx(clock.now, abs=0.001)
    assert found == {"instanceName": "web-1", "tags": [], **principal}


@pytest.mark.parametrize(
    ("principal", "code"),
    [
        ({}, "IamArnRequired"),
        ({"iamSessionArn": ""}, "IamArnRequired"),
        ({"iamUserArn": ""}, "IamUserArnRequired"),
        ({"iamUserArn": USER, "iamSessionArn": SESSION}, "MultipleIamArnsProvided"),
        ({"iamUserArn": "web-1"}, "InvalidIamUserArn"),
        ({"iamUserArn": SESSION}, "InvalidIamUserArn"),
        ({"iamUserArn": "arn:aws:iam::1234:user/web-1"}, "InvalidIamUserArn"),
        ({"iamSessionArn": USER}, "InvalidIamSessionArn"),
        ({"iamSessionArn": "arn:aws:sts::123456789012:assumed-role/hosts"}, "InvalidIamSessionArn"),
    ],
)
def test_register_without_one_good_principal(codedeploy: Any, refused: Any, principal: Any, code: str) -> None:
    """S8.1: exactly one of the two, of the right form."""
    with refused(code):
        codedeploy.register_on_premises_instance(instanceName="web-1", **principal)


@pytest.mark.parametrize("name", ["i-0123456789", "00:1a:2b", "a b", "x" * 101])
def test_bad_names(codedeploy: Any, refused: Any, name: str) -> None:
    """S1.4: the charset, 100 characters, and nothing that looks like an EC2 id."""
    with refused("InvalidInstanceName"):
        codedeploy.register_on_premises_instance(instanceName=name, iamUserArn=USER)


def test_names_and_principals_are_registered_once(codedeploy: Any, refused: Any) -> None:
    """S8.2: one name, one user, one session; a role serves many instances by its sessions."""
    codedeploy.register_on_premises_instance(instanceName="web-1", iamUserArn=USER)
    codedeploy.register_on_premises_instance(instanceName="web-2", iamSessionArn=SESSION)
    with refused("InstanceNameAlreadyRegistered"):
        codedeploy.register_on_premises_instance(instanceName="web-1", iamUserArn=USER + "x")
    with refused("IamUserArnAlreadyRegistered") as why:
        codedeploy.register_on_premises_instance(instanceName="web-3", iamUserArn=USER)
    assert "web-1" in why[0]
    with refused("IamSessionArnAlreadyRegistered"):
        codedeploy.register_on_premises_instance(instanceName="web-3", iamSessionArn=SESSION)
    codedeploy.register_on_premises_instance(instanceName="web-3", iamSessionArn=SESSION + "x")


def test_deregister(codedeploy: Any, register: Any, instance: Any, clock: Any) -> None:
    """S8.6, S8.8: the record stays with its tags and says when; once more is a success, and so is an unknown name."""
    register("web-1")
    codedeploy.add_tags_to_on_premises_instances(tags=[tag("Env", "prod")], instanceNames=["web-1"])
    codedeploy.deregister_on_premises_instance(instanceName="web-1")
    left = clock.now
    clock.advance(60)
    codedeploy.deregister_on_premises_instance(instanceName="web-1")
    codedeploy.deregister_on_premises_instance(instanceName="nope")
    found = instance("web-1")
    assert found["deregisterTime"].timestamp() == pytest.approx(left, abs=0.001)
    assert found["tags"] == [tag("Env", "prod")]


def test_register_again(codedeploy: Any, register: Any, instance: Any) -> None:
    """S8.5, S8.6: the name and the user are free at once; it is another instance, and has no tags."""
    register("web-1")
    codedeploy.add_tags_to_on_premises_instances(tags=[tag("Env", "prod")], instanceNames=["web-1"])
    before = instance("web-1")
    codedeploy.deregister_on_premises_instance(instanceName="web-1")
    register("web-1")
    after = instance("web-1")
    assert after["instanceArn"] != before["instanceArn"]
    assert "deregisterTime" not in after
    assert after["tags"] == []


def test_get_of_an_unknown_instance(codedeploy: Any, refused: Any) -> None:
    """S8.8: never registered is InstanceNotRegistered."""
    with refused("InstanceNotRegistered") as why:
        codedeploy.get_on_premises_instance(instanceName="nope")
    assert "nope" in why[0]


def test_batch_get(codedeploy: Any, register: Any, refused: Any) -> None:
    """S12.0b, S12.0c, S12.38: in order, unknown ones left out, 25 at most."""
    register("a", "b")
    found = codedeploy.batch_get_on_premises_instances(instanceNames=["b", "nope", "a"])["instanceInfos"]
    assert [one["instanceName"] for one in found] == ["b", "a"]
    with refused("BatchLimitExceeded"):
        codedeploy.batch_get_on_premises_instances(instanceNames=[f"a{n}" for n in range(26)])
    with refused("InvalidInstanceName"):
        codedeploy.batch_get_on_premises_instances(instanceNames=["i-1"])


def test_tags_times_instances(codedeploy: Any, register: Any, instance: Any) -> None:
    """S8.4: every tag on every instance; a key may have several values; what is there already is no matter."""
    register("a", "b")
    for tags in ([tag("Name", "x"), tag("Name", "y")], [tag("Name", "x"), tag("Empty", "")]):
        codedeploy.add_tags_to_on_premises_instances(tags=tags, instanceNames=["a", "b", "a"])
    expected = [tag("Empty", ""), tag("Name", "x"), tag("Name", "y")]
    assert instance("a")["tags"] == instance("b")["tags"] == expected


def test_remove_tags(codedeploy: Any, register: Any, instance: Any) -> None:
    """S8.4: key and value together say which; removing one that is not there is a success."""
    register("a", "b")
    codedeploy.add_tags_to_on_premises_instances(tags=[tag("Name", "x"), tag("Name", "y")], instanceNames=["a", "b"])
    codedeploy.remove_tags_from_on_premises_instances(tags=[tag("Name", "x"), tag("Nope", "z")], instanceNames=["a"])
    assert instance("a")["tags"] == [tag("Name", "y")]
    assert instance("b")["tags"] == [tag("Name", "x"), tag("Name", "y")]


@pytest.mark.parametrize("operation", ["add_tags_to_on_premises_instances", "remove_tags_from_on_premises_instances"])
@pytest.mark.parametrize(
    ("tags", "names", "code"),
    [
        ([], ["a"], "TagRequired"),
        ([tag("k", "v")], [], "InstanceNameRequired"),
        ([tag("k", "v")], ["i-1"], "InvalidInstanceName"),
        ([tag("", "v")], ["a"], "InvalidTag"),
        ([{"Value": "v"}], ["a"], "InvalidTag"),
        ([tag("k" * 129, "v")], ["a"], "InvalidTag"),
        ([tag("k", "v" * 257)], ["a"], "InvalidTag"),
        ([tag("k", "v")], [f"a{n}" for n in range(101)], "InstanceLimitExceeded"),
        ([tag("k", "v")], ["a", "nope"], "InstanceNotRegistered"),
    ],
)
def test_bad_tagging(
    codedeploy: Any, register: Any, refused: Any, instance: Any, operation: str, tags: Any, names: Any, code: str
) -> None:
    """S8.4: what is refused changes nothing."""
    register("a")
    with refused(code):
        getattr(codedeploy, operation)(tags=tags, instanceNames=names)
    assert instance("a")["tags"] == []


def test_tag_limit_is_atomic(codedeploy: Any, register: Any, refused: Any, instance: Any) -> None:
    """S8.4: at most ten tags an instance; one instance over it refuses all."""
    register("a", "b")
    codedeploy.add_tags_to_on_premises_instances(tags=[tag("k", str(n)) for n in range(10)], instanceNames=["a"])
    codedeploy.add_tags_to_on_premises_instances(tags=[tag("k", "3")], instanceNames=["a"])
    with refused("TagLimitExceeded"):
        codedeploy.add_tags_to_on_premises_instances(tags=[tag("k", "10")], instanceNames=["b", "a"])
    assert instance("b")["tags"] == []


def test_tags_of_a_deregistered_instance(codedeploy: Any, register: Any, refused: Any) -> None:
    """S8.4: deregistered is not registered."""
    register("a")
    codedeploy.deregister_on_premises_instance(instanceName="a")
    with refused("InstanceNotRegistered"):
        codedeploy.add_tags_to_on_premises_instances(tags=[tag("k", "v")], instanceNames=["a"])


def test_list(codedeploy: Any, register: Any, refused: Any) -> None:
    """S8.7: registered, deregistered, or both."""
    register("a", "b", "c")
    codedeploy.deregister_on_premises_instance(instanceName="b")
    names = {
        status: codedeploy.list_on_premises_instances(**members)["instanceNames"]
        for status, members in {
            "all": {},
            "in": {"registrationStatus": "Registered"},
            "out": {"registrationStatus": "Deregistered"},
        }.items()
    }
    assert names == {"all": ["a", "b", "c"], "in": ["a", "c"], "out": ["b"]}
    with refused("InvalidRegistrationStatus"):
        codedeploy.list_on_premises_instances(registrationStatus="Unsure")


def test_list_by_tags(codedeploy: Any, register: Any, refused: Any) -> None:
    """S8.7: filters are alternatives, and must be whole."""
    register("a", "b", "c")
    for name in ("a", "b"):
        codedeploy.add_tags_to_on_premises_instances(tags=[tag("Name", name)], instanceNames=[name])

    def matching(*filters: Any) -> Any:
        return codedeploy.list_on_premises_instances(tagFilters=list(filters))["instanceNames"]

    both = {"Type": "KEY_AND_VALUE"}
    assert matching(tag("Name", "a") | both, tag("Name", "b") | both) == ["a", "b"]
    assert matching({"Key": "Name", "Type": "KEY_ONLY"}) == ["a", "b"]
    assert matching({"Value": "b"}) == ["b"]
    for wrong in ({"Type": "KEY_AND_VALUE"}, {"Key": "a", "Type": "VALUE_ONLY"}, {"Key": "a", "Type": "SOME"}, {}):
        with refused("InvalidTagFilter"):
            matching(wrong)


def test_list_pages(tight: Any, pages: Any, refused: Any) -> None:
    """S12.0a: pages by name, also when filtered; a token keeps its filters."""
    for name in "abcde":
        tight.register_on_premises_instance(instanceName=name, iamUserArn=f"arn:aws:iam::123456789012:user/{name}")
    tight.add_tags_to_on_premises_instances(tags=[tag("k", "v")], instanceNames=["a", "c", "e"])
    listing = tight.list_on_premises_instances
    assert pages(listing, "instanceNames") == [["a", "b"], ["c", "d"], ["e"]]
    assert pages(listing, "instanceNames", tagFilters=[tag("k", "v")]) == [["a", "c"], ["e"]]
    with refused("InvalidNextToken"):
        listing(nextToken=listing()["nextToken"], registrationStatus="Registered")


def test_matching(codedeploy: Any, register: Any, store: Any, scope: Any) -> None:
    """S8.3, S8.5: deployments reach registered instances that match; they poll as their user or session."""
    register("a", "b", "c")
    codedeploy.register_on_premises_instance(instanceName="d", iamSessionArn=SESSION)
    codedeploy.add_tags_to_on_premises_instances(tags=[tag("Env", "prod")], instanceNames=["a", "b", "d"])
    codedeploy.deregister_on_premises_instance(instanceName="b")
    wanted = on_premises_tag_set({"onPremisesInstanceTagFilters": [{"Key": "Env", "Value": "p*"}]})
    found = store.read(lambda tx: instances.matching(tx, scope, wanted))
    assert [(one.name, one.host) for one in found] == [("a", "arn:aws:iam::123456789012:user/a"), ("d", SESSION)]
    assert store.read(lambda tx: instances.matching(tx, scope, [])) == []


def test_matching_is_quick(store: Any, scope: Any) -> None:
    """A deployment to 5,000 instances finds them in two queries."""

    def fill(tx: Any) -> None:
        rows = [
            {
                "account": scope.account,
                "region": scope.region,
                "name": f"h{n}",
                "arn": scope.new_instance_arn(f"h{n}"),
                "iam_user_arn": f"arn:aws:iam::{scope.account}:user/h{n}",
                "register_time": 1.0,
            }
            for n in range(5000)
        ]
        tx.execute(insert(tables.instances), rows)
        ids = tx.execute(select(tables.instances.c.id).where(tables.instances.c.region == scope.region)).scalars()
        tags = [
            {"instance_id": one, "key": key, "value": value}
            for one in ids
            for key, value in (("Env", "prod"), ("Role", "web"))
        ]
        tx.execute(insert(tables.instance_tags), tags)

    store.write(fill)
    wanted = on_premises_tag_set({"onPremisesInstanceTagFilters": [{"Key": "Env", "Value": "prod"}]})
    started = time.perf_counter()
    assert len(store.read(lambda tx: instances.matching(tx, scope, wanted))) == 5000
    taken = time.perf_counter() - started
    assert taken < 2, taken
