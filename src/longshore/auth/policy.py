"""May it? IAM's answer to one request: an explicit Deny, else an Allow, else no.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from longshore.auth.policy_document import Policy, Statement
from longshore.auth.policy_pattern import Keys, matches


class Verdict(Enum):
    """What some policies say about a request."""

    ALLOWED = "allowed"
    #: No statement is about it.
    NOT_ALLOWED = "not allowed"
    #: A statement forbids it, whatever others say.
    DENIED = "denied"


def decide(policies: Iterable[Policy], action: str, resource: str, keys: Keys) -> Verdict:
    """What `policies` say together about doing `action` to `resource`.

    `resource` is an ARN, or ``*`` for an action that is about no resource in particular; only ``*`` means that.
    """
    folded = action.lower()
    verdict = Verdict.NOT_ALLOWED
    for policy in policies:
        for statement in policy.statements:
            if statement.allows and verdict is Verdict.ALLOWED:
                continue
            if applies(statement, folded, resource, keys):
                if not statement.allows:
                    return Verdict.DENIED
                verdict = Verdict.ALLOWED
    return verdict


def applies(statement: Statement, folded_action: str, resource: str | None, keys: Keys) -> bool:
    """Whether a statement is about this action (in lower case) on this resource; None where it names no resources.

    A variable that the request cannot fill never widens anything: an Allow does not apply then, and in a Deny such a
    pattern means nothing, so that with NotResource it applies.
    """
    named = any(matches(action.resolved(keys) or ("",), folded_action) for action in statement.actions)
    if named is statement.other_actions:
        return False
    if resource is not None:
        found = [pattern.matches(resource, keys) for pattern in statement.resources]
        if statement.allows and statement.other_resources and None in found:
            return False
        if (True in found) is statement.other_resources:
            return False
    return all(one.holds(keys, to_allow=statement.allows) for one in statement.conditions)
