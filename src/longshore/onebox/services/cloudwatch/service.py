"""CloudWatch behind the port, as far as it is there: metrics that programs put, and alarms on them."""

from __future__ import annotations

from longshore import models
from longshore.onebox.machinery.records import Records
from longshore.onebox.services.calls import Operation, in_threads
from longshore.onebox.services.cloudwatch import errors
from longshore.onebox.services.cloudwatch.alarm_operations import AlarmOperations
from longshore.onebox.services.cloudwatch.alarms import Alarms
from longshore.onebox.services.cloudwatch.metric_operations import MetricOperations
from longshore.onebox.services.cloudwatch.metrics import Metrics
from longshore.onebox.services.cloudwatch.watching import Watching
from longshore.wire.service import Service


def service(records: Records, metrics: Metrics, alarms: Alarms, watching: Watching) -> Service:
    """CloudWatch, for everybody."""
    on_metrics = MetricOperations(records, metrics, watching)
    on_alarms = AlarmOperations(records, alarms, watching)
    reading: dict[str, Operation] = {
        "GetMetricStatistics": on_metrics.get_metric_statistics,
        "GetMetricData": on_metrics.get_metric_data,
        "ListMetrics": on_metrics.list_metrics,
        "DescribeAlarms": on_alarms.describe_alarms,
        "DescribeAlarmsForMetric": on_alarms.describe_alarms_for_metric,
        "DescribeAlarmHistory": on_alarms.describe_alarm_history,
        "ListTagsForResource": on_alarms.list_tags,
    }
    changing: dict[str, Operation] = {
        "PutMetricAlarm": on_alarms.put_metric_alarm,
        "PutCompositeAlarm": on_alarms.put_composite_alarm,
        "DeleteAlarms": on_alarms.delete_alarms,
        "SetAlarmState": on_alarms.set_alarm_state,
        "EnableAlarmActions": on_alarms.enable_alarm_actions,
        "DisableAlarmActions": on_alarms.disable_alarm_actions,
        "TagResource": on_alarms.tag,
        "UntagResource": on_alarms.untag,
    }
    return Service(
        model=models.load_later("cloudwatch"),
        # A datum a second of every program is no change that an auditor asks for.
        handlers=in_threads(reading | changing | {"PutMetricData": on_metrics.put_metric_data}),
        explain=errors.explain,
        signing_names=frozenset({"monitoring"}),
        target_prefixes=frozenset({"GraniteServiceVersion20100801"}),
        unrecorded=frozenset(changing),
        overlay={"AlarmName": {"pattern": r"[^\u0000-\u001f\u007f]*"}},
    )
