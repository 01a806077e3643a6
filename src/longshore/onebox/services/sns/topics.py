"""Topics and who is subscribed to them, and what is on its way there: in the records."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from longshore.onebox.machinery.records import Document, Owner, Records, Transaction
from longshore.onebox.services.sns import errors, filter_policy
from longshore.onebox.services.sns.messages import Message
from longshore.onebox.services.sns.signing import Signer
from longshore.wire.service import AwsError

TOPIC = "sns.topic"
SUBSCRIPTION = "sns.subscription"
DELIVERY = "sns.delivery"
#: Deliveries of one account in one region that may be on their way.
MOST_DELIVERIES = 10_000
#: A subscription that nobody confirms is forgotten, seconds.
CONFIRM_WITHIN = 3 * 86400


class Topics:
    """The topics of everybody."""

    def __init__(
        self, records: Records, signer: Signer, url: str, *, nudge: Callable[[Owner, str, float], None]
    ) -> None:
        """`url` is where subscribers reach this server; `nudge` hears of every new delivery, and when it is due."""
        self._records = records
        self._signer = signer
        self._url = url.rstrip("/")
        self._nudge = nudge

    def publish(self, tx: Transaction, owner: Owner, arn: str, message: Message, now: float) -> None:
        """Have a message delivered to a topic's subscribers, once the transaction is committed. Raises AwsError."""
        topic = existing(tx, owner, arn)
        ready = [
            (identifier, one)
            for identifier, one in tx.all(SUBSCRIPTION, owner).items()
            if one["topic"] == arn and not one["pending"] and _is_wanted(one, message)
        ]
        if ready and tx.count(DELIVERY, owner) + len(ready) > MOST_DELIVERIES:
            raise AwsError("Throttled", "Too many messages are on their way; try again later.", 429)
        for identifier, one in ready:
            self._send(tx, owner, identifier, self._notification(topic, one, message, now), now)

    def publish_in(
        self, tx: Transaction, owner: Owner, topic_arn: str, *, subject: str | None, message: str, now: float
    ) -> str | None:
        """Tell a topic's subscribers something, once the transaction is committed; why not, if it cannot be."""
        # Alarms and rules tell topics of their own account alone, in whichever region these are.
        try:
            said = Message(id=str(uuid.uuid4()), subject=subject, texts={"default": message}, attributes={})
            region = topic_arn.split(":")[3] if topic_arn.count(":") == 5 else owner.region
            self.publish(tx, Owner(owner.account, region), topic_arn, said, now)
        except AwsError as error:
            return error.message
        return None

    def ask_to_confirm(
        self, tx: Transaction, owner: Owner, identifier: str, subscription: Document, now: float
    ) -> None:
        """Ask a new subscriber whether it wants to be one."""
        arn, token = subscription["topic"], subscription["token"]
        version = existing(tx, owner, arn)["attributes"]["SignatureVersion"]
        asked = {"Action": "ConfirmSubscription", "TopicArn": arn, "Token": token}
        message = {
            "Type": "SubscriptionConfirmation",
            "MessageId": str(uuid.uuid4()),
            "Token": token,
            "TopicArn": arn,
            "Message": (
                f"Somebody has subscribed this address to the topic {arn}. Visit the SubscribeURL if you want that;"
                " else do nothing."
            ),
            "SubscribeURL": f"{self._url}/?{urlencode(asked)}",
            "Timestamp": _iso(now),
        }
        document = self._signed(message, version)
        self._send(tx, owner, identifier, _delivery(subscription, document, json.dumps(document, indent=2)), now)

    def confirm(self, tx: Transaction, owner: Owner, arn: str, token: str, *, is_signed: bool, now: float) -> str:
        """Make a subscription one, by the token that was sent to the subscriber; its ARN. Raises AwsError."""
        for identifier, one in tx.all(SUBSCRIPTION, owner).items():
            if one["topic"] == arn and one["token"] == token:
                if one["pending"] and one["created"] < now - CONFIRM_WITHIN:
                    break
                tx.put(SUBSCRIPTION, owner, identifier, one | {"pending": False, "is_authenticated": is_signed})
                return str(one["arn"])
        raise errors.invalid("The token is not one of this topic, or is too old: subscribe again.")

    def sweep(self, now: float) -> None:
        """Forget subscriptions that nobody confirmed."""
        with self._records.transaction() as tx:
            for owner, identifier, one in tx.everyones(SUBSCRIPTION):
                if one["pending"] and one["created"] < now - CONFIRM_WITHIN:
                    tx.delete(SUBSCRIPTION, owner, identifier)

    def _notification(self, topic: Document, subscription: Document, said: Message, now: float) -> dict[str, Any]:
        text = said.texts.get(subscription["protocol"], said.texts["default"])
        if subscription["attributes"].get("RawMessageDelivery") == "true":
            message = {"Type": "Notification", "MessageId": said.id, "TopicArn": topic["arn"]}
            return _delivery(subscription, message, text) | {"is_raw": True}
        asked = {"Action": "Unsubscribe", "SubscriptionArn": subscription["arn"]}
        message = {"Type": "Notification", "MessageId": said.id, "TopicArn": topic["arn"]}
        if said.subject is not None:
            message["Subject"] = said.subject
        message |= {"Message": text, "Timestamp": _iso(now), "UnsubscribeURL": f"{self._url}/?{urlencode(asked)}"}
        document: dict[str, Any] = self._signed(message, topic["attributes"]["SignatureVersion"])
        if said.attributes:
            document["MessageAttributes"] = {
                name: {"Type": one["DataType"], "Value": one.get("StringValue", "")}
                for name, one in said.attributes.items()
            }
        return _delivery(subscription, document, json.dumps(document, indent=2))

    def _signed(self, message: dict[str, str], version: str) -> dict[str, Any]:
        return message | {
            "SignatureVersion": version,
            "Signature": self._signer.sign(message, version),
            "SigningCertURL": f"{self._url}{self._signer.page}",
        }

    def _send(self, tx: Transaction, owner: Owner, subscription_id: str, delivery: dict[str, Any], now: float) -> None:
        identifier = f"{now:017.6f}/{uuid.uuid4()}"
        row = {**delivery, "subscription_id": subscription_id, "created": now, "due": now, "tries": 0}
        tx.put(DELIVERY, owner, identifier, row)
        # Whoever hears of it too early waits for this transaction.
        self._nudge(owner, identifier, now)


def existing(tx: Transaction, owner: Owner, arn: str) -> Document:
    """A topic by its ARN; raises AwsError."""
    parts = arn.split(":")
    is_own = len(parts) == 6 and parts[:3] == ["arn", "aws", "sns"] and parts[3:5] == [owner.region, owner.account]
    topic = tx.get(TOPIC, owner, parts[5]) if is_own else None
    if topic is None:
        raise errors.not_found(f"There is no topic {arn} in {owner.region}.")
    return topic


def last_of(arn: str) -> str:
    """What stands at the end of an ARN: a topic's name, or a subscription's id."""
    return arn.rpartition(":")[2]


def _delivery(subscription: Document, message: Mapping[str, Any], body: str) -> dict[str, Any]:
    return {
        "protocol": subscription["protocol"],
        "endpoint": subscription["endpoint"],
        "subscription_arn": None if subscription["pending"] else subscription["arn"],
        "message": {name: value for name, value in message.items() if name != "Signature"},
        "body": body,
        "is_raw": False,
    }


def _is_wanted(subscription: Document, message: Message) -> bool:
    policy = subscription["attributes"].get("FilterPolicy")
    return not policy or filter_policy.wants(json.loads(policy), message.attributes)


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
