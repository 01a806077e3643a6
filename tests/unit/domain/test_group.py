"""Tag filters and tag sets (server.md S7.2, S7.3)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.domain.group import (
    BadTagFilterError,
    TagFilter,
    demands,
    ec2_tag_set,
    is_member,
    on_premises_tag_set,
    tag_filter,
)

Tag = tuple[str, str]

texts = st.text(alphabet="abAB*.[\n", max_size=4)
keys = st.text(alphabet="abAB", min_size=1, max_size=3)
filters = st.fixed_dictionaries(
    {},
    optional={"Key": texts, "Value": texts, "Type": st.sampled_from(["KEY_ONLY", "VALUE_ONLY", "KEY_AND_VALUE"])},
)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"Key": "a", "Type": "KEY_ONLY"}, TagFilter(key="a", value=None)),
        ({"Key": "a", "Value": "", "Type": "KEY_ONLY"}, TagFilter(key="a", value=None)),
        ({"Value": "v", "Type": "VALUE_ONLY"}, TagFilter(key=None, value="v")),
        ({"Key": "a", "Value": "v", "Type": "KEY_AND_VALUE"}, TagFilter(key="a", value="v")),
        ({"Key": "a", "Value": "", "Type": "KEY_AND_VALUE"}, TagFilter(key="a", value="")),
        ({"Key": "a"}, TagFilter(key="a", value=None)),
        ({"Value": "v"}, TagFilter(key=None, value="v")),
        ({"Key": "a", "Value": "v"}, TagFilter(key="a", value="v")),
    ],
)
def test_types(asked: dict[str, Any], expected: TagFilter) -> None:
    """S7.3: a type says which parts count; a missing type follows from the parts."""
    assert tag_filter(asked) == expected


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"Key": "", "Value": ""},
        {"Type": "KEY_ONLY"},
        {"Type": "KEY_ONLY", "Value": "v"},
        {"Type": "KEY_ONLY", "Key": "a", "Value": "v"},
        {"Type": "VALUE_ONLY", "Key": "a"},
        {"Type": "VALUE_ONLY", "Key": "a", "Value": "v"},
        {"Type": "KEY_AND_VALUE", "Key": "a"},
        {"Type": "KEY_AND_VALUE", "Value": "v"},
        {"Type": "ANY", "Key": "a", "Value": "v"},
    ],
)
def test_wrong_combinations(asked: dict[str, Any]) -> None:
    """S7.3: parts that do not fit the type, or none."""
    with pytest.raises(BadTagFilterError):
        tag_filter(asked)


@pytest.mark.parametrize(
    ("pattern", "value", "matches"),
    [
        ("GRP-*a", "GRP-1a", True),
        ("GRP-*a", "GRP-XYZ-a", True),
        ("GRP-*a", "GRP-a", True),
        ("GRP-*a", "grp-1a", False),
        ("GRP-*a", "GRP-1ab", False),
        ("*", "", True),
        ("a.c", "abc", False),
    ],
)
def test_wildcards(pattern: str, value: str, matches: bool) -> None:
    """S7.3: a star is any run of characters; everything else is itself, case included."""
    assert tag_filter({"Key": "k", "Value": pattern}).matches([("k", value)]) is matches


def test_flat_filters_are_alternatives() -> None:
    """S7.2: one filter of a flat list is enough."""
    wanted = ec2_tag_set({"ec2TagFilters": [{"Key": "a"}, {"Key": "b"}]})
    assert is_member(wanted, [("b", "1"), ("other", "2")])
    assert not is_member(wanted, [("c", "1")])


def test_groups_must_all_match() -> None:
    """S7.2: one filter of every group."""
    groups = [[{"Key": "Env", "Value": "prod"}, {"Key": "Env", "Value": "beta"}], [{"Key": "Role"}]]
    wanted = on_premises_tag_set({"onPremisesTagSet": {"onPremisesTagSetList": groups}})
    assert is_member(wanted, [("Env", "beta"), ("Role", "web")])
    assert not is_member(wanted, [("Env", "beta")])
    assert not is_member(wanted, [("Role", "web")])


def test_no_filters_mean_nobody() -> None:
    """S7.6, S8.5: a group without filters has no instances of that kind."""
    documents: list[dict[str, Any]] = [
        {},
        {"ec2TagFilters": []},
        {"onPremisesTagSet": {"onPremisesTagSetList": []}},
    ]
    for document in documents:
        assert not is_member(ec2_tag_set(document), [("a", "b")])
        assert not is_member(on_premises_tag_set(document), [("a", "b")])


def test_each_kind_reads_its_own_members() -> None:
    """S7.1: EC2's filters say nothing of on-premises instances."""
    document = {"ec2TagFilters": [{"Key": "a"}], "onPremisesInstanceTagFilters": [{"Key": "b"}]}
    assert ec2_tag_set(document) == [[TagFilter(key="a", value=None)]]
    assert on_premises_tag_set(document) == [[TagFilter(key="b", value=None)]]


@given(filters, st.lists(st.tuples(keys, texts), max_size=4))
def test_a_filter_is_refused_or_decides_by_its_parts(asked: dict[str, str], tags: list[Tag]) -> None:
    """S7.3: whatever is accepted looks at the key it names and at no other."""
    try:
        wanted = tag_filter(asked)
    except BadTagFilterError:
        return
    alone = [one for one in tags if wanted.key in (None, one[0])]
    assert wanted.matches(tags) is wanted.matches(alone)
    if wanted.value is None:
        assert wanted.matches(tags) is bool(alone)


@given(keys, texts)
def test_a_tag_matches_the_filter_made_of_it(key: str, value: str) -> None:
    """S7.3: key and value as they are; a star in them also matches itself."""
    assert tag_filter({"Key": key, "Value": value, "Type": "KEY_AND_VALUE"}).matches([(key, value)])


@given(st.lists(st.tuples(keys, texts), min_size=1, max_size=4), st.tuples(keys, texts))
def test_more_tags_never_hurt(tags: list[Tag], another: Tag) -> None:
    """S7.2: other tags on the instance do not matter."""
    wanted = [[TagFilter(key=key, value=value)] for key, value in tags]
    assert is_member(wanted, tags)
    assert is_member(wanted, [another, *tags])


@pytest.mark.parametrize(
    ("groups", "does"),
    [
        ([[{"Key": "Env"}], [{"Key": "at"}]], True),
        ([[{"Key": "at", "Value": "10.*"}, {"Key": "at", "Value": "*:81"}]], True),
        ([[{"Key": "Env"}, {"Key": "at"}]], False),
        ([[{"Value": "at"}]], False),
        ([], False),
    ],
)
def test_a_tag_that_is_demanded(groups: list[list[dict[str, str]]], does: bool) -> None:
    assert demands(ec2_tag_set({"ec2TagSet": {"ec2TagSetList": groups}}), "at") is does


parts = st.builds(TagFilter, key=st.none() | keys, value=st.none() | texts)


@given(
    st.lists(st.lists(parts, min_size=1, max_size=3), min_size=1, max_size=3), st.lists(st.tuples(keys, texts)), keys
)
def test_whoever_is_meant_has_what_is_demanded(wanted: list[list[TagFilter]], tags: list[Tag], key: str) -> None:
    if demands(wanted, key):
        assert not is_member(wanted, [tag for tag in tags if tag[0] != key])
