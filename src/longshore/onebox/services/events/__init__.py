"""EventBridge on this machine: rules that tell topics of SNS what happens."""

from longshore.onebox.services.events.rules import Rules as Rules
from longshore.onebox.services.events.service import service as service
