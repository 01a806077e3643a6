"""IAM policy documents: read, and refused where they say something that would not be heeded.

Pure. The grammar: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from longshore.auth.policy_arn import ArnPattern, arn_pattern
from longshore.auth.policy_condition import BadConditionError, Condition, condition
from longshore.auth.policy_keys import is_heeded
from longshore.auth.policy_pattern import BadPatternError, Pattern, pattern

#: Variables have a meaning from this version on; a document without a version is of the older one.
_WITH_VARIABLES: Final = "2012-10-17"
_VERSIONS: Final = (_WITH_VARIABLES, "2008-10-17")
_ACTION = re.compile(r"[A-Za-z0-9-]+:[A-Za-z0-9*?]+")
_SID = re.compile(r"[A-Za-z0-9]*")
_CONDITION_KEY = re.compile(r"[A-Za-z0-9-]+:\S+")
_ACCOUNT = re.compile(r"[0-9]{12}")
#: Deeper than any policy, and far from Python's limit.
_DEEPEST = 12


class MalformedPolicyError(ValueError):
    """A document that is no policy; the message says where and what to write instead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Principals:
    """Whom a statement of a trust policy is about."""

    #: Twelve digits each: everybody there to whom that account gives the right.
    accounts: frozenset[str] = frozenset()
    #: Users, roles and sessions by ARN.
    arns: frozenset[str] = frozenset()
    #: Services of AWS, as in ``codedeploy.amazonaws.com``.
    services: frozenset[str] = frozenset()
    everybody: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """One rule."""

    allows: bool
    #: Lower case, since actions are the same in any case.
    actions: tuple[Pattern, ...]
    #: NotAction: about every action but these.
    other_actions: bool = False
    resources: tuple[ArnPattern, ...] = ()
    #: NotResource: about every resource but these.
    other_resources: bool = False
    conditions: tuple[Condition, ...] = ()
    #: In trust policies alone.
    principals: Principals | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """A document, read."""

    statements: tuple[Statement, ...]


@lru_cache(maxsize=1024)
def identity_policy(text: str) -> Policy:
    """A policy of a user, a role or a session. Raises MalformedPolicyError."""
    return _policy(text, is_trust=False)


@lru_cache(maxsize=1024)
def trust_policy(text: str) -> Policy:
    """Who may assume a role. Raises MalformedPolicyError."""
    return _policy(text, is_trust=True)


def _policy(text: str, *, is_trust: bool) -> Policy:
    document = _json(text)
    if not isinstance(document, dict):
        raise MalformedPolicyError("A policy is a JSON object with Version and Statement.")
    _only(document, ("Version", "Id", "Statement"), "policy")
    version = document.get("Version", _VERSIONS[-1])
    if version not in _VERSIONS:
        raise MalformedPolicyError(f"Version must be 2012-10-17 (or 2008-10-17), not {_shown(version)}.")
    if not isinstance(document.get("Id", ""), str):
        raise MalformedPolicyError("Id must be a string.")
    if "Statement" not in document:
        raise MalformedPolicyError("A policy needs a Statement.")
    statements = document["Statement"]
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise MalformedPolicyError("Statement must be an object, or a list of them that is not empty.")
    sids: set[str] = set()
    made = []
    for number, statement in enumerate(statements, 1):
        where = f"Statement {number}"
        if not isinstance(statement, dict):
            raise MalformedPolicyError(f"{where} must be a JSON object.")
        sid = statement.get("Sid", "")
        if not isinstance(sid, str) or not _SID.fullmatch(sid):
            raise MalformedPolicyError(f"Statement IDs (SID) must be alpha-numeric; {where} has {_shown(sid)}.")
        if sid and sid in sids:
            raise MalformedPolicyError(f"Statement IDs (SID) in a single policy must be unique; {sid} is there twice.")
        sids.add(sid)
        made.append(_statement(statement, where, is_trust=is_trust, variables=version == _WITH_VARIABLES))
    return Policy(tuple(made))


def _statement(statement: Mapping[str, Any], where: str, *, is_trust: bool, variables: bool) -> Statement:
    prohibited = ("Resource", "NotResource") if is_trust else ("Principal", "NotPrincipal")
    for element in prohibited:
        if element in statement:
            kind = "trust policy of a role" if is_trust else "policy of a user, role or session"
            raise MalformedPolicyError(f"{where} has the prohibited element {element}: a {kind} has none.")
    known = ("Sid", "Effect", "Action", "NotAction", "Condition")
    _only(statement, (*known, *(("Principal",) if is_trust else ("Resource", "NotResource"))), where)
    effect = statement.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise MalformedPolicyError(f"{where} needs an Effect, Allow or Deny, and has {_shown(effect)}.")
    action = _one_of(statement, ("Action", "NotAction"), where)
    principals = None
    resource = "Resource"
    resources: tuple[ArnPattern, ...] = ()
    if is_trust:
        principals = _principals(statement.get("Principal"), where)
    else:
        resource = _one_of(statement, ("Resource", "NotResource"), where)
        resources = tuple(
            _resource(text, resource, where, variables=variables)
            for text in _strings(statement[resource], f"{resource} of {where}")
        )
    return Statement(
        allows=effect == "Allow",
        actions=tuple(_action(text, action, where) for text in _strings(statement[action], f"{action} of {where}")),
        other_actions=action == "NotAction",
        resources=resources,
        other_resources=resource == "NotResource",
        conditions=tuple(_conditions(statement.get("Condition", {}), where, variables=variables)),
        principals=principals,
    )


def _action(text: str, element: str, where: str) -> Pattern:
    if text != "*" and not _ACTION.fullmatch(text):
        raise MalformedPolicyError(
            f"{element} of {where} has {_shown(text)}; actions are prefaced by a service, as in codedeploy:Get*."
        )
    return pattern(text.lower(), variables=False)


def _resource(text: str, element: str, where: str, *, variables: bool) -> ArnPattern:
    try:
        return arn_pattern(text, variables=variables)
    except BadPatternError as problem:
        raise MalformedPolicyError(f"{element} of {where} {problem}.") from None


def _conditions(given: object, where: str, *, variables: bool) -> Iterable[Condition]:
    if not isinstance(given, dict):
        raise MalformedPolicyError(f"Condition of {where} must be an object of operators.")
    for operator, by_key in given.items():
        if not isinstance(by_key, dict) or not by_key:
            raise MalformedPolicyError(f"{operator} in Condition of {where} must be an object of keys and values.")
        for key, values in by_key.items():
            if not _CONDITION_KEY.fullmatch(key):
                raise MalformedPolicyError(
                    f"Condition of {where} has the key {_shown(key)}; "
                    "keys are prefaced by a service, as in aws:SourceIp."
                )
            if not is_heeded(key.lower()):
                raise MalformedPolicyError(
                    f"Condition of {where} has the key {_shown(key)}, which no request here fills."
                )
            texts = _strings(_as_texts(values), f"{operator} on {key} in {where}")
            try:
                yield condition(operator, key.lower(), texts, variables=variables)
            except BadConditionError as problem:
                raise MalformedPolicyError(f"Condition of {where}: {problem}") from None


def _principals(given: object, where: str) -> Principals:
    if given == "*":
        return Principals(everybody=True)
    if not isinstance(given, dict) or not given:
        raise MalformedPolicyError(f'{where} needs a Principal: "*", or an object such as {{"AWS": "arn:aws:iam::…"}}.')
    accounts, arns, services, everybody = set(), set(), set[str](), False
    for kind, named in given.items():
        texts = _strings(named, f"Principal {kind} of {where}")
        if kind == "Service":
            services.update(texts)
            continue
        if kind == "Federated":
            continue  # none calls this server: they are kept, and match nobody
        if kind != "AWS":
            raise MalformedPolicyError(f"{where} has a Principal of the unknown kind {_shown(kind)}.")
        for text in texts:
            parts = text.split(":", 5)
            if text == "*":
                everybody = True
            elif _ACCOUNT.fullmatch(text):
                accounts.add(text)
            elif len(parts) != 6 or parts[0] != "arn" or parts[2] not in ("iam", "sts") or set("*?") & set(text):
                raise MalformedPolicyError(f'Invalid principal in policy: "AWS":{_shown(text)}')
            elif parts[5] == "root":
                accounts.add(parts[4])
            else:
                arns.add(text)
    return Principals(
        accounts=frozenset(accounts), arns=frozenset(arns), services=frozenset(services), everybody=everybody
    )


def _one_of(statement: Mapping[str, Any], elements: Sequence[str], where: str) -> str:
    present = [element for element in elements if element in statement]
    if len(present) != 1:
        raise MalformedPolicyError(f"{where} needs either {' or '.join(elements)}, and one of them only.")
    return present[0]


def _only(given: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for element in given:
        if element not in known:
            raise MalformedPolicyError(
                f"The {where} has an unknown element {_shown(element)}; it may have {_list(known)}."
            )


def _strings(given: object, where: str) -> list[str]:
    values = given if isinstance(given, list) else [given]
    texts = [value for value in values if isinstance(value, str)]
    if not texts or len(texts) != len(values):
        raise MalformedPolicyError(f"{where} must be a string, or a list of strings that is not empty.")
    return texts


def _as_texts(values: object) -> object:
    """Condition values may be written as JSON's own booleans and numbers."""
    if isinstance(values, list):
        return [_as_text(value) for value in values]
    return _as_text(values)


def _as_text(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _json(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise MalformedPolicyError(f"The policy says {_shown(twice)} twice in one object.")
        return found

    if _nesting(text) > _DEEPEST:
        raise MalformedPolicyError("The policy is nested too deeply.")
    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=_no_constant)
    except MalformedPolicyError:
        raise
    except ValueError as problem:
        raise MalformedPolicyError(f"Syntax errors in policy: {problem}.") from None


def _nesting(text: str) -> int:
    """No less than how deep the JSON is nested, brackets inside strings counted too."""
    deepest = depth = 0
    for sign in text:
        if sign in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif sign in "]}":
            depth -= 1
    return deepest


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _shown(value: object) -> str:
    return json.dumps(value)[:200]


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}"
