"""What the service keeps: documents in the model's own words, and a few of ours beside them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from longshore.onebox.machinery.records import Document, Owner, Transaction
from longshore.onebox.services.elbv2 import errors
from longshore.wire.service import AwsError

BALANCER = "elbv2.load-balancer"
LISTENER = "elbv2.listener"
RULE = "elbv2.rule"
GROUP = "elbv2.target-group"
#: Those of one group, by its ARN: ``{"<id>:<port>": target}``.
TARGETS = "elbv2.targets"

_NOT_FOUND: dict[str, Callable[[Sequence[str]], AwsError]] = {
    BALANCER: errors.load_balancers_not_found,
    LISTENER: errors.listeners_not_found,
    RULE: errors.rules_not_found,
    GROUP: errors.target_groups_not_found,
    TARGETS: errors.target_groups_not_found,
}
#: Members of a document that no answer shows.
_OURS = frozenset({"Address", "Attributes", "Tags", "Asked", "DefaultRuleArn", "Classic"})

_NAME = re.compile("[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?")
_MOST_A_PAGE = 400

Input = dict[str, Any]
Output = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """One call, in the transaction that carries it out."""

    tx: Transaction
    owner: Owner
    #: Epoch seconds.
    now: float
    #: Whether it is about Classic Load Balancers. These are kept beside the others, and neither sees the other.
    is_classic: bool = False

    def find(self, kind: str, arn: str) -> Document | None:
        found = self.tx.get(kind, self.owner, arn)
        return found if found is not None and (kind == TARGETS or self._is_ours(found)) else None

    def require(self, kind: str, arn: str) -> Document:
        """A document; raises the error of its kind when there is none."""
        check_arns(kind, [arn])
        found = self.find(kind, arn)
        if found is None:
            raise _NOT_FOUND[kind]([arn])
        return found

    def all(self, kind: str) -> dict[str, Document]:
        """The owner's documents of a kind, by ARN."""
        return {arn: one for arn, one in self.tx.all(kind, self.owner).items() if self._is_ours(one)}

    def put(self, kind: str, arn: str, document: Document) -> None:
        mark = {"Classic": True} if self.is_classic and kind != TARGETS else {}
        self.tx.put(kind, self.owner, arn, document | mark)

    def _is_ours(self, document: Document) -> bool:
        return document.get("Classic", False) is self.is_classic

    def delete(self, kind: str, arn: str) -> None:
        self.tx.delete(kind, self.owner, arn)

    def chosen(
        self, kind: str, arns: Iterable[str], names: Iterable[str] = (), *, named_by: str = ""
    ) -> list[Document]:
        """The documents of these ARNs and names, or all of the kind; raises the kind's error when one is not there."""
        there = self.all(kind)
        arns, names = list(arns), list(names)
        check_arns(kind, arns)
        if not (arns or names):
            return list(there.values())
        by_name = {document[named_by]: document for document in there.values()} if names else {}
        missing = [arn for arn in arns if arn not in there] + [name for name in names if name not in by_name]
        if missing:
            raise _NOT_FOUND[kind](missing)
        found = {id(one): one for one in [*(there[arn] for arn in arns), *(by_name[name] for name in names)]}
        return list(found.values())

    def arn(self, rest: str) -> str:
        return f"arn:aws:elasticloadbalancing:{self.owner.region}:{self.owner.account}:{rest}"


#: How ARNs of each kind go on, and what they are ARNs of.
_RESOURCES = {
    BALANCER: ("loadbalancer/", "load balancer"),
    LISTENER: ("listener/", "listener"),
    RULE: ("listener-rule/", "listener rule"),
    GROUP: ("targetgroup/", "target group"),
    TARGETS: ("targetgroup/", "target group"),
}


def check_arns(kind: str, arns: Iterable[str]) -> None:
    """Raise a ValidationError, as AWS has it, for what is no ARN of this kind."""
    rest, named = _RESOURCES[kind]
    for arn in arns:
        parts = arn.split(":", 5)
        if parts[:3] != ["arn", "aws", "elasticloadbalancing"] or not parts[-1].startswith(rest):
            raise errors.validation(f"'{arn[:200]}' is not a valid {named} ARN")


def new_id() -> str:
    """What makes an ARN the only one of its name, for ever."""
    return secrets.token_hex(8)


def short(arn: str) -> str:
    """A name for what an ARN names that files and statistics may have, and that is as unique."""
    return "-".join(arn.split("/")[1:])


def shown(document: Document) -> Output:
    """A document as an answer shows it."""
    return {name: value for name, value in document.items() if name not in _OURS}


def page(given: Input, member: str, found: list[Output], key: str) -> Output:
    """One page of an answer: those after the marker, as many as asked for."""
    size = given.get("PageSize") or _MOST_A_PAGE
    after = given.get("Marker") or ""
    left = sorted((one for one in found if one[key] > after), key=lambda one: str(one[key]))
    answer: Output = {member: left[:size]}
    if len(left) > size:
        answer["NextMarker"] = left[size - 1][key]
    return answer


def refuse(given: Input, *members: str) -> None:
    """Raise an error for members of an input that would do nothing."""
    for member in members:
        if given.get(member):
            raise errors.not_configurable(f"{member} is not done here: leave it out.")


def check_name(name: str, kind: str) -> None:
    if not _NAME.fullmatch(name):
        raise errors.validation(
            f"The {kind} name '{name[:100]}' must be 1 to 32 letters, digits and hyphens, and begin and end with none."
        )


def tags_of(given: Input) -> dict[str, str]:
    """The tags that an input asks for."""
    tags = [(one["Key"], one.get("Value") or "") for one in given.get("Tags") or ()]
    if len(dict(tags)) < len(tags):
        raise AwsError("DuplicateTagKeys", "A tag key is given twice; give each once.")
    if len(tags) > MOST_TAGS:
        raise AwsError("TooManyTags", f"A resource has at most {MOST_TAGS} tags; give fewer.")
    return dict(tags)


MOST_TAGS = 50
