"""Policies: what they say of a request, held against a second implementation; and what is no policy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.auth.policy import Verdict, decide
from longshore.auth.policy_condition import OPERATORS
from longshore.auth.policy_document import MalformedPolicyError, identity_policy, trust_policy
from longshore.auth.policy_managed import MANAGED_POLICIES
from longshore.auth.policy_pattern import matches, pattern
from tests.unit.auth import policy_oracle
from tests.unit.auth.policies import Request, allows, denies, documents, requests, several_documents

many = settings(max_examples=250, deadline=None)


def verdict(made: Sequence[dict[str, Any]], request: Request) -> Verdict:
    action, resource, keys = request
    policies = [identity_policy(json.dumps(document)) for document in made]
    return decide(policies, action, resource, lambda name: keys.get(name.lower()))


def is_allowed(made: Sequence[dict[str, Any]], request: Request) -> bool:
    return verdict(made, request) is Verdict.ALLOWED


def policy(*made: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(made)}


@settings(max_examples=1500, deadline=None)
@given(several_documents, requests)
def test_our_verdict_is_that_of_a_second_implementation(made: list[dict[str, Any]], request: Request) -> None:
    assert is_allowed(made, request) == policy_oracle.allowed(made, *request)


@many
@given(requests)
def test_without_a_statement_nothing_is_allowed(request: Request) -> None:
    assert verdict([], request) is Verdict.NOT_ALLOWED


@many
@given(several_documents, denies, requests)
def test_a_deny_never_gives(made: list[dict[str, Any]], deny: dict[str, Any], request: Request) -> None:
    if is_allowed([*made, policy(deny)], request):
        assert is_allowed(made, request)


@many
@given(several_documents, allows, requests)
def test_an_allow_never_takes_away(made: list[dict[str, Any]], allow: dict[str, Any], request: Request) -> None:
    if is_allowed(made, request):
        assert is_allowed([*made, policy(allow)], request)


@many
@given(several_documents, denies, requests)
def test_a_deny_that_is_about_the_request_wins(
    made: list[dict[str, Any]], deny: dict[str, Any], request: Request
) -> None:
    if verdict([policy(deny)], request) is Verdict.DENIED:
        everything = policy({"Effect": "Allow", "Action": "*", "Resource": "*"})
        assert verdict([everything, *made, policy(deny)], request) is Verdict.DENIED


@many
@given(several_documents, requests, st.data())
def test_neither_order_nor_grouping_matters(made: list[dict[str, Any]], request: Request, data: st.DataObject) -> None:
    shuffled = [
        {**document, "Statement": data.draw(st.permutations(document["Statement"]))}
        for document in data.draw(st.permutations(made))
    ]
    apart = [{**document, "Statement": one} for document in shuffled for one in document["Statement"]]
    assert verdict(made, request) == verdict(shuffled, request) == verdict(apart, request)


@many
@given(several_documents, requests)
def test_how_a_document_is_written_does_not_matter(made: list[dict[str, Any]], request: Request) -> None:
    action, resource, keys = request

    def rewritten(document: dict[str, Any]) -> str:
        longer = [
            {
                name: value if isinstance(value, list) or name in ("Effect", "Condition") else [value]
                for name, value in one.items()
            }
            for one in document["Statement"]
        ]
        return json.dumps({**document, "Statement": longer}, indent=3, sort_keys=True)

    again = [identity_policy(rewritten(document)) for document in made]
    assert decide(again, action, resource, lambda name: keys.get(name.lower())) == verdict(made, request)


few = st.text("ab*?", max_size=10)


@settings(max_examples=1500, deadline=None)
@given(few, few)
def test_wildcards_match_what_they_say(wanted: str, text: str) -> None:
    pieces = pattern(wanted).resolved(lambda _name: None)
    assert pieces is not None
    assert matches(pieces, text) == policy_oracle.like(policy_oracle.tokens(wanted, {}, variables=False), text)


@pytest.mark.parametrize(
    "wanted", ["*a" * 500 + "b", "a*" * 500 + "b", "*?" * 500 + "b", "*" * 1000 + "b", "?*a" * 400]
)
def test_no_pattern_takes_for_ever(wanted: str) -> None:
    """A matcher that tries every way would not end before the universe does."""
    pieces = pattern(wanted).resolved(lambda _name: None)
    assert pieces is not None
    assert not matches(pieces, "a" * 1100 + "c")


def test_what_a_variable_brings_is_text_and_no_pattern() -> None:
    document = policy(
        {"Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::releases/${aws:PrincipalTag/team}/*"}
    )

    def may(team: str, key: str) -> bool:
        return is_allowed(
            [document], ("s3:GetObject", f"arn:aws:s3:::releases/{key}", {"aws:principaltag/team": [team]})
        )

    assert may("web", "web/1.zip")
    assert not may("*", "web/1.zip")
    assert not may("we?", "web/1.zip")
    assert not may("we\0", "web/1.zip")
    assert not may("", "web/1.zip")


def test_a_second_value_of_a_key_cannot_be_smuggled_past_a_condition() -> None:
    """Two tags whose keys differ by case alone are two values of one condition key."""
    only_web = policy(
        {
            "Effect": "Allow",
            "Action": "*",
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:RequestTag/team": "web"}},
        }
    )
    unless_web = policy(
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {
            "Effect": "Deny",
            "Action": "*",
            "Resource": "*",
            "Condition": {"StringNotEquals": {"aws:RequestTag/team": "web"}},
        },
    )
    for document in (only_web, unless_web):
        assert is_allowed([document], ("iam:GetUser", "*", {"aws:requesttag/team": ["web"]}))
        assert not is_allowed([document], ("iam:GetUser", "*", {"aws:requesttag/team": ["db"]}))
        assert not is_allowed([document], ("iam:GetUser", "*", {"aws:requesttag/team": ["web", "db"]}))


def test_an_address_is_itself_also_where_both_families_share_a_socket() -> None:
    document = policy(
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {
            "Effect": "Deny",
            "Action": "*",
            "Resource": "*",
            "Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.9/24"}},
        },
    )

    def may(source: str) -> bool:
        return is_allowed([document], ("iam:GetUser", "*", {"aws:sourceip": [source]}))

    assert may("198.51.100.1")
    assert not may("192.0.2.1")
    assert not may("::ffff:192.0.2.1")


def test_every_operator_is_in_the_made_up_policies() -> None:
    from tests.unit.auth import policies

    assert {*policies._OPERATORS, "Null"} == OPERATORS


@pytest.mark.parametrize("managed", MANAGED_POLICIES, ids=lambda managed: managed.name)
def test_managed_policies_are_policies(managed: Any) -> None:
    assert managed.policy.statements


# What is no policy.

ALLOW = {"Effect": "Allow", "Action": "codedeploy:*", "Resource": "*"}


def changed(**changes: Any) -> str:
    return json.dumps(policy({name: value for name, value in {**ALLOW, **changes}.items() if value is not None}))


HOSTILE = {
    "nothing": "",
    "no JSON": "{",
    "a list": "[]",
    "a text": '"Allow"',
    "a number": "1",
    "null": "null",
    "no statement": '{"Version": "2012-10-17"}',
    "an empty list of statements": '{"Version": "2012-10-17", "Statement": []}',
    "a statement that is a text": '{"Statement": ["Allow"]}',
    "a statement that is null": '{"Statement": null}',
    "another version": json.dumps({"Version": "2012-10-18", "Statement": [ALLOW]}),
    "a version that is a number": json.dumps({"Version": 2012, "Statement": [ALLOW]}),
    "a version that is a list": json.dumps({"Version": ["2012-10-17"], "Statement": [ALLOW]}),
    "an unknown element": json.dumps({"Statement": [ALLOW], "Statements": []}),
    "an unknown element of a statement": changed(Actions="codedeploy:Get*"),
    "an element twice": '{"Statement": [{"Effect": "Deny", "Effect": "Allow", "Action": "*", "Resource": "*"}]}',
    "an effect in lower case": changed(Effect="allow"),
    "an effect that is a list": changed(Effect=["Allow"]),
    "no effect": changed(Effect=None),
    "no action": changed(Action=None),
    "an empty list of actions": changed(Action=[]),
    "an action and a NotAction": changed(NotAction="iam:*"),
    "an action without a service": changed(Action="GetApplication"),
    "an action of any service": changed(Action="*:GetApplication"),
    "an action with a variable": changed(Action="codedeploy:${aws:username}"),
    "an action with a space": changed(Action="codedeploy:Get Application"),
    "an action that is a number": changed(Action=[1]),
    "no resource": changed(Resource=None),
    "a resource and a NotResource": changed(NotResource="*"),
    "a resource that is a name": changed(Resource="shop"),
    "a resource of any service": changed(Resource="arn:aws:*:us-east-1:000000000000:application:shop"),
    "a resource that is an object": changed(Resource={"arn": "*"}),
    "a resource with an open variable name": changed(Resource="arn:aws:s3:::${username}"),
    "a resource with a NUL": changed(Resource="arn:aws:s3:::a\0b"),
    "a principal": changed(Principal="*"),
    "a condition that is a text": changed(Condition="Bool"),
    "a condition without keys": changed(Condition={"Bool": {}}),
    "a condition without values": changed(Condition={"Bool": {"aws:SecureTransport": []}}),
    "an unknown operator": changed(Condition={"StringMatches": {"aws:username": "a"}}),
    "an operator in lower case": changed(Condition={"stringequals": {"aws:username": "a"}}),
    "an operator on a made-up set": changed(Condition={"ForSomeValues:StringEquals": {"aws:username": "a"}}),
    "Null with IfExists": changed(Condition={"NullIfExists": {"aws:username": "true"}}),
    "Null of a set": changed(Condition={"ForAnyValue:Null": {"aws:username": "true"}}),
    "a key without a service": changed(Condition={"StringEquals": {"username": "a"}}),
    "a Bool that is neither": changed(Condition={"Bool": {"aws:SecureTransport": "yes"}}),
    "a number that is none": changed(Condition={"NumericEquals": {"s3:max-keys": "many"}}),
    "a number that is infinite": changed(Condition={"NumericEquals": {"s3:max-keys": "Infinity"}}),
    "a date that is none": changed(Condition={"DateLessThan": {"aws:CurrentTime": "tomorrow"}}),
    "a thirteenth month": changed(Condition={"DateLessThan": {"aws:CurrentTime": "2026-13-01"}}),
    "an address that is none": changed(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}}),
    "an ARN that is none": changed(Condition={"ArnEquals": {"aws:PrincipalArn": "alice"}}),
    "a statement id with a space": changed(Sid="one two"),
    "a statement id twice": json.dumps(policy({**ALLOW, "Sid": "A"}, {**ALLOW, "Sid": "A"})),
    "deep lists": "[" * 100_000,
    "deep objects": '{"a":' * 100_000,
    "deep values": changed(Condition={"Bool": {"aws:SecureTransport": [[[[[[[[[[[["true"]]]]]]]]]]]]}}),
    "a number of a million digits": '{"Version": ' + "1" * 1_000_000 + "}",
    "NaN": '{"Version": "2012-10-17", "Statement": NaN}',
    "a byte order mark": "\ufeff" + json.dumps(policy(ALLOW)),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(MalformedPolicyError):
        identity_policy(text)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["*", "Allow"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Statement", "Effect", "Action", "Resource", "Condition", "Version", "Principal", "AWS", "Bool"]
            )
            | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=250, deadline=None)
@given(anything)
def test_whatever_comes_is_read_or_refused(value: Any) -> None:
    for read in (identity_policy, trust_policy):
        for text in (
            json.dumps(value),
            json.dumps({"Statement": value}),
            json.dumps(policy({**ALLOW, "Condition": value})),
        ):
            with suppress(MalformedPolicyError):
                read(text)


@many
@given(documents, st.data())
def test_a_document_cut_or_changed_anywhere_is_read_or_refused(made: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(made)
    at = data.draw(st.integers(0, len(text) - 1))
    for broken in (text[:at], text[:at] + data.draw(st.characters()) + text[at + 1 :]):
        with suppress(MalformedPolicyError):
            identity_policy(broken)


# Condition keys.


@pytest.mark.parametrize(
    "key", ["aws:SourceVpce", "AWS:username", "aws:PrincipalTag/Team", "iam:PassedToService", "ec2:Region", "s3:prefix"]
)
def test_a_condition_key_that_is_heeded_is_kept(key: str) -> None:
    assert identity_policy(changed(Condition={"StringEquals": {key: "x"}}))


@pytest.mark.parametrize(
    "key",
    [
        *("aws:Referer", "aws:usrname", "aws:PrincipalTag", "aws:PrincipalTag/", "aws:RequestTag/${aws:username}"),
        *("s3:ExistingObjectTag/team", "iam:Anything", "codedeploy:Application", "sts:RoleArn", "longshore:x"),
    ],
)
def test_one_that_no_request_fills_is_refused_since_a_deny_would_lean_on_it_in_vain(key: str) -> None:
    with pytest.raises(MalformedPolicyError, match="no request here fills"):
        identity_policy(changed(Effect="Deny", Condition={"StringEquals": {key: "x"}}))
