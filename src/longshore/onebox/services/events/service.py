"""EventBridge behind the port, as far as it is there: rules on the default bus, and topics that they tell."""

from __future__ import annotations

from longshore import models
from longshore.onebox.machinery.records import Records
from longshore.onebox.services.calls import Operation, in_threads
from longshore.onebox.services.events import errors
from longshore.onebox.services.events.event_operations import EventOperations
from longshore.onebox.services.events.rule_operations import RuleOperations
from longshore.onebox.services.events.rules import Rules
from longshore.wire.service import Service


def service(records: Records, rules: Rules) -> Service:
    """EventBridge, for everybody."""
    on_rules = RuleOperations(records, rules)
    on_events = EventOperations(records, rules)
    reading: dict[str, Operation] = {
        "DescribeRule": on_rules.describe_rule,
        "ListRules": on_rules.list_rules,
        "ListTargetsByRule": on_rules.list_targets_by_rule,
        "ListRuleNamesByTarget": on_rules.list_rule_names_by_target,
        "ListTagsForResource": on_rules.list_tags,
        "TestEventPattern": on_events.try_pattern,
        "DescribeEventBus": on_events.describe_event_bus,
        "ListEventBuses": on_events.list_event_buses,
    }
    changing: dict[str, Operation] = {
        "PutRule": on_rules.put_rule,
        "DeleteRule": on_rules.delete_rule,
        "EnableRule": on_rules.enable_rule,
        "DisableRule": on_rules.disable_rule,
        "PutTargets": on_rules.put_targets,
        "RemoveTargets": on_rules.remove_targets,
        "TagResource": on_rules.tag,
        "UntagResource": on_rules.untag,
    }
    return Service(
        model=models.load_later("events"),
        # As with a metric's data: what happens is no change that an auditor asks for.
        handlers=in_threads(reading | changing | {"PutEvents": on_events.put_events}),
        explain=errors.explain,
        signing_names=frozenset({"events"}),
        target_prefixes=frozenset({"AWSEvents"}),
        unrecorded=frozenset(changing),
    )
