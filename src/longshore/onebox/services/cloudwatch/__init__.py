"""CloudWatch on this machine: metrics that programs put, and alarms that are looked at for real."""

from longshore.onebox.services.cloudwatch.alarms import Alarms as Alarms
from longshore.onebox.services.cloudwatch.metrics import Metrics as Metrics
from longshore.onebox.services.cloudwatch.service import service as service
from longshore.onebox.services.cloudwatch.watching import Watching as Watching
