"""EventBridge (`ports.Topics`): an event bus is a topic that wants its messages in another form."""

from __future__ import annotations

import json

from botocore.exceptions import BotoCoreError, ClientError

from longshore.domain.event_bus import is_bus
from longshore.providers.clients import Clients
from longshore.providers.ports import Access, PermanentError, Topics, TransientError

#: Of EventBridge, for a call or for an entry: another time it may work.
_TRANSIENT = frozenset({"InternalException", "InternalFailure", "ServiceUnavailable", "ThrottlingException"})


class EventBuses:
    """Event buses of EventBridge: told by the control plane's own key, for they are the account's and no group's."""

    def __init__(self, clients: Clients, *, source: str, otherwise: Topics) -> None:
        """`source` is whom events are from; what is no event bus is `otherwise`'s."""
        self._clients = clients
        self._source = source
        self._otherwise = otherwise

    def publish(self, access: Access, topic_arn: str, *, subject: str, message: str) -> None:
        """See `ports.Topics`; the message is as `domain.event_bus` has it."""
        if not is_bus(topic_arn):
            self._otherwise.publish(access, topic_arn, subject=subject, message=message)
            return
        said = json.loads(message)
        entry = {
            "EventBusName": topic_arn.rpartition("/")[2],
            "Source": self._source,
            "DetailType": subject,
            "Resources": said["resources"],
            "Detail": json.dumps(said["detail"]),
        }
        try:
            answer = self._clients.client("events", access.scope).put_events(Entries=[entry])
        except ClientError as error:
            code, words = error.response["Error"]["Code"], error.response["Error"]["Message"]
            is_passing = code in _TRANSIENT or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
            raise _refused(code, words, is_passing=is_passing) from error
        except BotoCoreError as error:
            raise TransientError(f"EventBridge cannot be asked: {error}") from error
        (result,) = answer["Entries"]
        if code := result.get("ErrorCode"):
            raise _refused(code, result.get("ErrorMessage", ""), is_passing=code in _TRANSIENT)


def _refused(code: str, words: str, *, is_passing: bool) -> TransientError | PermanentError:
    kind = TransientError if is_passing else PermanentError
    return kind(f"EventBridge answers {code}: {words}")
