"""EventBridge's operations on rules and their targets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from longshore.onebox.machinery.records import Document, Owner, Records
from longshore.onebox.services.calls import owner_of, page
from longshore.onebox.services.events import errors, pattern
from longshore.onebox.services.events.rules import BUS, RULE, Rules, existing
from longshore.onebox.services.events.telling import TellingError, require
from longshore.wire.service import AwsError, Call

_NAME = re.compile(r"[.A-Za-z0-9_-]{1,64}")
_TOPIC = re.compile(r"arn:aws:sns:[a-z0-9-]+:(\d{12}):[A-Za-z0-9_-]+")
_MOST_RULES = 300
_MOST_TARGETS = 5
_MOST_TAGS = 50
_PAGE = 100
#: What a target may say here; everything else is for targets that are no topics.
_TARGET = frozenset({"Id", "Arn", "Input", "InputPath", "InputTransformer"})


class RuleOperations:
    """Answers them."""

    def __init__(self, records: Records, rules: Rules) -> None:
        self._records = records
        self._rules = rules

    def put_rule(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        name, owner = given["Name"], owner_of(call)
        require_default(given, owner)
        if not _NAME.fullmatch(name):
            raise errors.validation("A rule's Name has letters, digits, ., - and _, at most 64 of them.")
        for refused, why in (("ScheduleExpression", "has no schedules"), ("RoleArn", "needs no role for topics")):
            if given.get(refused):
                raise errors.validation(f"{refused} is not supported: this server {why}.")
        if not given.get("EventPattern"):
            raise errors.validation("Give an EventPattern: it says which events the rule is about.")
        read_pattern(given["EventPattern"])
        state = given.get("State", "ENABLED")
        if state not in ("ENABLED", "DISABLED"):
            raise errors.validation("State must be ENABLED or DISABLED.")
        with self._records.transaction() as tx:
            there = tx.get(RULE, owner, name)
            if there is None and tx.count(RULE, owner) >= _MOST_RULES:
                raise AwsError("LimitExceededException", f"There are {_MOST_RULES} rules in {owner.region}.")
            tags = {tag["Key"]: tag["Value"] for tag in given.get("Tags") or ()}
            rule = {
                "pattern": given["EventPattern"],
                "state": state,
                "description": given.get("Description"),
                # Of a rule that is there, both stay as they are.
                "targets": {} if there is None else there["targets"],
                "tags": tags if there is None else there["tags"],
            }
            self._rules.put(tx, owner, name, rule)
        return {"RuleArn": _arn(owner, name)}

    def describe_rule(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        owner = owner_of(call)
        require_default(given, owner)
        with self._records.transaction() as tx:
            return _described(owner, given["Name"], existing(tx, owner, given["Name"])) | {"CreatedBy": owner.account}

    def list_rules(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        owner = owner_of(call)
        require_default(given, owner)
        with self._records.transaction() as tx:
            known = tx.all(RULE, owner)
        found = [
            _described(owner, name, rule)
            for name, rule in known.items()
            if name.startswith(given.get("NamePrefix", ""))
        ]
        return _paged("Rules", found, given)

    def delete_rule(self, call: Call, given: dict[str, Any]) -> None:
        """One that is not there is none the less gone."""
        owner, name = owner_of(call), given["Name"]
        require_default(given, owner)
        with self._records.transaction() as tx:
            rule = tx.get(RULE, owner, name)
            if rule is not None and rule["targets"]:
                raise errors.validation("Rule can't be deleted since it has targets.")
            self._rules.delete(tx, owner, name)

    def enable_rule(self, call: Call, given: dict[str, Any]) -> None:
        self._change(call, given, given["Name"], {"state": "ENABLED"})

    def disable_rule(self, call: Call, given: dict[str, Any]) -> None:
        self._change(call, given, given["Name"], {"state": "DISABLED"})

    def put_targets(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        for target in given["Targets"]:
            _require_target(target, owner_of(call))
        added = {target["Id"]: target for target in given["Targets"]}
        owner, name = owner_of(call), given["Rule"]
        require_default(given, owner)
        with self._records.transaction() as tx:
            rule = existing(tx, owner, name)
            targets = rule["targets"] | added
            if len(targets) > _MOST_TARGETS:
                raise AwsError("LimitExceededException", f"A rule has at most {_MOST_TARGETS} targets.")
            self._rules.put(tx, owner, name, rule | {"targets": targets})
        return {"FailedEntryCount": 0, "FailedEntries": []}

    def remove_targets(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        owner, name = owner_of(call), given["Rule"]
        require_default(given, owner)
        with self._records.transaction() as tx:
            rule = existing(tx, owner, name)
            left = {one: target for one, target in rule["targets"].items() if one not in given["Ids"]}
            self._rules.put(tx, owner, name, rule | {"targets": left})
        failed = [
            {"TargetId": one, "ErrorCode": "ResourceNotFoundException", "ErrorMessage": f"There is no target {one}."}
            for one in given["Ids"]
            if one not in rule["targets"]
        ]
        return {"FailedEntryCount": len(failed), "FailedEntries": failed}

    def list_targets_by_rule(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        owner = owner_of(call)
        require_default(given, owner)
        with self._records.transaction() as tx:
            rule = existing(tx, owner, given["Rule"])
        return _paged("Targets", list(rule["targets"].values()), given)

    def list_rule_names_by_target(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        owner = owner_of(call)
        require_default(given, owner)
        with self._records.transaction() as tx:
            known = tx.all(RULE, owner)
        wanted = given["TargetArn"]
        names = [name for name, rule in known.items() if any(one["Arn"] == wanted for one in rule["targets"].values())]
        return _paged("RuleNames", names, given)

    # Tags.

    def list_tags(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        owner = owner_of(call)
        with self._records.transaction() as tx:
            tags = existing(tx, owner, _name_in(given["ResourceARN"], owner))["tags"]
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def tag(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        self._retag(call, given, {tag["Key"]: tag["Value"] for tag in given["Tags"]}, frozenset())
        return {}

    def untag(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        self._retag(call, given, {}, frozenset(given["TagKeys"]))
        return {}

    def _retag(self, call: Call, given: dict[str, Any], added: dict[str, str], gone: frozenset[str]) -> None:
        owner = owner_of(call)
        name = _name_in(given["ResourceARN"], owner)
        with self._records.transaction() as tx:
            rule = existing(tx, owner, name)
            tags = {key: value for key, value in rule["tags"].items() if key not in gone} | added
            if len(tags) > _MOST_TAGS:
                raise AwsError("LimitExceededException", f"A rule has at most {_MOST_TAGS} tags.")
            self._rules.put(tx, owner, name, rule | {"tags": tags})

    def _change(self, call: Call, given: dict[str, Any], name: str, change: Document) -> None:
        owner = owner_of(call)
        require_default(given, owner)
        with self._records.transaction() as tx:
            self._rules.put(tx, owner, name, existing(tx, owner, name) | change)


def require_default(given: Mapping[str, Any], owner: Owner) -> None:
    """Refuse every bus but the one that there is; raises AwsError."""
    if given.get("EventBusName", BUS) not in (BUS, bus_arn(owner)):
        raise errors.not_found(f"Event bus {given['EventBusName']} does not exist: this server has {BUS} alone.")


def bus_arn(owner: Owner) -> str:
    return f"arn:aws:events:{owner.region}:{owner.account}:event-bus/{BUS}"


def read_pattern(text: str) -> pattern.Pattern:
    """An event pattern; raises AwsError."""
    try:
        return pattern.read(text)
    except pattern.PatternError as error:
        raise AwsError("InvalidEventPatternException", f"Event pattern is not valid. Reason: {error}.") from None


def _require_target(target: Mapping[str, Any], owner: Owner) -> None:
    topic = _TOPIC.fullmatch(target["Arn"])
    if topic is None or topic[1] != owner.account:
        raise errors.validation(f"{target['Arn']} is no topic of SNS of this account: rules here tell those alone.")
    if others := sorted(set(target) - _TARGET):
        raise errors.validation(f"{others[0]} is not supported by this server: a topic needs none.")
    try:
        require(target)
    except TellingError as error:
        raise errors.validation(f"The target {target['Id']}: {error}.") from None


def _described(owner: Owner, name: str, rule: Document) -> dict[str, Any]:
    shown = {
        "Name": name,
        "Arn": _arn(owner, name),
        "EventPattern": rule["pattern"],
        "State": rule["state"],
        "EventBusName": BUS,
    }
    return shown | ({"Description": rule["description"]} if rule["description"] else {})


def _arn(owner: Owner, name: str) -> str:
    return f"arn:aws:events:{owner.region}:{owner.account}:rule/{name}"


def _name_in(arn: str, owner: Owner) -> str:
    if not arn.startswith(_arn(owner, "")):
        raise errors.not_found(f"{arn} is no rule in {owner.region}.")
    return arn.rpartition("/")[2]


def _paged(member: str, found: list[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    shown, token = page(found, given.get("NextToken"), given.get("Limit", _PAGE), refused="ValidationException")
    return {member: shown, **token}
