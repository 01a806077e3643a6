"""SNS's operations, as far as they are there."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

from longshore import models
from longshore.onebox.machinery.records import Document, Owner, Records, Transaction
from longshore.onebox.services.sns import errors, filter_policy
from longshore.onebox.services.sns.topics import SUBSCRIPTION, TOPIC, Message, Topics, existing
from longshore.wire.service import AwsError, Call, Handler, Service

_Operation = Callable[[Call, dict[str, Any]], Mapping[str, Any] | None]
_T = TypeVar("_T")

_NAME = re.compile(r"[A-Za-z0-9_-]{1,256}")
_ADDRESS = re.compile(r"[^@\s,;<>\"]{1,64}@[^@\s,;<>\"]{1,255}")
_LONGEST_MESSAGE = 256 * 1024
_MOST_TOPICS = 1000
_MOST_SUBSCRIPTIONS = 1000
_MOST_TAGS = 50
_PAGE = 100
_TOPIC_DEFAULTS = {"DisplayName": "", "SignatureVersion": "2"}
_PROTOCOLS = ("http", "https", "email", "email-json")


class Sns:
    """Topics of everybody, behind the port."""

    def __init__(self, records: Records, topics: Topics, *, sends_mail: bool) -> None:
        self._records = records
        self._topics = topics
        self._sends_mail = sends_mail

    def service(self) -> Service:
        """SNS behind the port."""
        reading: dict[str, _Operation] = {
            "ListTopics": self.list_topics,
            "GetTopicAttributes": self.get_topic_attributes,
            "ListSubscriptions": self.list_subscriptions,
            "ListSubscriptionsByTopic": self.list_subscriptions,
            "GetSubscriptionAttributes": self.get_subscription_attributes,
            "ListTagsForResource": self.list_tags,
        }
        changing: dict[str, _Operation] = {
            "CreateTopic": self.create_topic,
            "DeleteTopic": self.delete_topic,
            "SetTopicAttributes": self.set_topic_attributes,
            "Subscribe": self.subscribe,
            "ConfirmSubscription": self.confirm_subscription,
            "Unsubscribe": self.unsubscribe,
            "SetSubscriptionAttributes": self.set_subscription_attributes,
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "Publish": self.publish,
            "PublishBatch": self.publish_batch,
        }
        return Service(
            model=models.load_later("sns"),
            handlers={name: _in_thread(operation) for name, operation in (reading | changing).items()},
            explain=errors.explain,
            signing_names=frozenset({"sns"}),
            unrecorded=frozenset(changing),
        )

    # Topics.

    def create_topic(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        name, attributes = given["Name"], given.get("Attributes") or {}
        if name.endswith(".fifo") or attributes.get("FifoTopic") == "true":
            raise errors.invalid("FIFO topics are not supported by this server.")
        if not _NAME.fullmatch(name):
            raise errors.invalid("A topic's Name has letters, digits, - and _, at most 256 of them.")
        _require_topic_attributes(attributes)
        tags = {tag["Key"]: tag["Value"] for tag in given.get("Tags") or ()}
        _require_tags(tags)
        owner = _owner(call)
        arn = f"arn:aws:sns:{owner.region}:{owner.account}:{name}"
        with self._records.transaction() as tx:
            there = tx.get(TOPIC, owner, name)
            if there is not None:
                if any(there["attributes"][key] != value for key, value in attributes.items()):
                    raise errors.invalid(f"The topic {name} is there already, with other attributes.")
                if tags and tags != there["tags"]:
                    raise errors.invalid(f"The topic {name} is there already, with other tags.")
            else:
                if len(tx.all(TOPIC, owner)) >= _MOST_TOPICS:
                    raise AwsError("TopicLimitExceeded", f"There are {_MOST_TOPICS} topics in {owner.region}.", 403)
                tx.put(TOPIC, owner, name, {"arn": arn, "attributes": _TOPIC_DEFAULTS | attributes, "tags": tags})
        return {"TopicArn": arn}

    def delete_topic(self, call: Call, given: dict[str, Any]) -> None:
        """One that is not there is none the less gone."""
        owner, arn = _owner(call), given["TopicArn"]
        with self._records.transaction() as tx:
            try:
                existing(tx, owner, arn)
            except AwsError:
                return
            tx.delete(TOPIC, owner, _last(arn))
            for identifier, one in tx.all(SUBSCRIPTION, owner).items():
                if one["topic"] == arn:
                    tx.delete(SUBSCRIPTION, owner, identifier)

    def list_topics(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        with self._records.transaction() as tx:
            arns = [topic["arn"] for topic in tx.all(TOPIC, _owner(call)).values()]
        page, token = _page(arns, given.get("NextToken"))
        return {"Topics": [{"TopicArn": arn} for arn in page], **token}

    def get_topic_attributes(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        owner, arn = _owner(call), given["TopicArn"]
        with self._records.transaction() as tx:
            topic = existing(tx, owner, arn)
            pending = [one["pending"] for one in tx.all(SUBSCRIPTION, owner).values() if one["topic"] == arn]
        counted = {
            "SubscriptionsConfirmed": str(pending.count(False)),
            "SubscriptionsPending": str(pending.count(True)),
            "SubscriptionsDeleted": "0",
        }
        return {"Attributes": {"TopicArn": arn, "Owner": owner.account, **topic["attributes"], **counted}}

    def set_topic_attributes(self, call: Call, given: dict[str, Any]) -> None:
        owner, name = _owner(call), given["AttributeName"]
        attributes = {name: given.get("AttributeValue", _TOPIC_DEFAULTS.get(name, ""))}
        _require_topic_attributes(attributes)
        with self._records.transaction() as tx:
            topic = existing(tx, owner, given["TopicArn"])
            topic["attributes"] |= attributes
            tx.put(TOPIC, owner, _last(given["TopicArn"]), topic)

    # Subscriptions.

    def subscribe(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        owner, arn = _owner(call), given["TopicArn"]
        protocol, endpoint = given["Protocol"], given.get("Endpoint", "")
        self._require_endpoint(protocol, endpoint)
        attributes = given.get("Attributes") or {}
        _require_subscription_attributes(protocol, attributes)
        with self._records.transaction() as tx:
            existing(tx, owner, arn)
            known = tx.all(SUBSCRIPTION, owner)
            same = [
                (identifier, one)
                for identifier, one in known.items()
                if (one["topic"], one["protocol"], one["endpoint"]) == (arn, protocol, endpoint)
            ]
            if same:
                identifier, subscription = same[0]
                if attributes and attributes != subscription["attributes"]:
                    raise errors.invalid("That endpoint is subscribed already, with other attributes.")
            else:
                if len(known) >= _MOST_SUBSCRIPTIONS:
                    raise AwsError(
                        "SubscriptionLimitExceeded", f"There are {_MOST_SUBSCRIPTIONS} in {owner.region}.", 403
                    )
                identifier = str(uuid.uuid4())
                subscription = {
                    "arn": f"{arn}:{identifier}",
                    "topic": arn,
                    "protocol": protocol,
                    "endpoint": endpoint,
                    "attributes": attributes,
                    "pending": True,
                    "token": secrets.token_hex(64),
                    "created": call.now,
                    "is_authenticated": False,
                    "principal": call.caller.arn,
                }
            if subscription["pending"]:
                # Asked for again, it is new again.
                subscription["created"] = call.now
                tx.put(SUBSCRIPTION, owner, identifier, subscription)
                self._topics.ask_to_confirm(tx, owner, identifier, subscription, call.now)
        is_told = not subscription["pending"] or given.get("ReturnSubscriptionArn")
        return {"SubscriptionArn": subscription["arn"] if is_told else "pending confirmation"}

    def confirm_subscription(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        owner = _owner(call)
        with self._records.transaction() as tx:
            existing(tx, owner, given["TopicArn"])
            arn = self._topics.confirm(tx, owner, given["TopicArn"], given["Token"], is_signed=True, now=call.now)
            if given.get("AuthenticateOnUnsubscribe") == "true":
                identifier = _last(arn)
                subscription = _subscription(tx, owner, arn)
                tx.put(SUBSCRIPTION, owner, identifier, subscription | {"must_sign": True})
        return {"SubscriptionArn": arn}

    def unsubscribe(self, call: Call, given: dict[str, Any]) -> None:
        owner, arn = _owner(call), given["SubscriptionArn"]
        with self._records.transaction() as tx:
            found = tx.get(SUBSCRIPTION, owner, _last(arn))
            if found is not None and found["arn"] == arn:
                tx.delete(SUBSCRIPTION, owner, _last(arn))

    def list_subscriptions(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        owner, arn = _owner(call), given.get("TopicArn")
        with self._records.transaction() as tx:
            if arn is not None:
                existing(tx, owner, arn)
            found = [one for one in tx.all(SUBSCRIPTION, owner).values() if arn in (None, one["topic"])]
        page, token = _page(found, given.get("NextToken"))
        return {
            "Subscriptions": [
                {
                    "SubscriptionArn": "PendingConfirmation" if one["pending"] else one["arn"],
                    "Owner": owner.account,
                    "Protocol": one["protocol"],
                    "Endpoint": one["endpoint"],
                    "TopicArn": one["topic"],
                }
                for one in page
            ],
            **token,
        }

    def get_subscription_attributes(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        owner = _owner(call)
        with self._records.transaction() as tx:
            one = _subscription(tx, owner, given["SubscriptionArn"])
        told = {
            "SubscriptionArn": one["arn"],
            "TopicArn": one["topic"],
            "Owner": owner.account,
            "SubscriptionPrincipal": one["principal"],
            "Protocol": one["protocol"],
            "Endpoint": one["endpoint"],
            "PendingConfirmation": _said(one["pending"]),
            "ConfirmationWasAuthenticated": _said(one["is_authenticated"]),
            "RawMessageDelivery": "false",
        }
        if "FilterPolicy" in one["attributes"]:
            told["FilterPolicyScope"] = "MessageAttributes"
        return {"Attributes": told | one["attributes"]}

    def set_subscription_attributes(self, call: Call, given: dict[str, Any]) -> None:
        owner, arn = _owner(call), given["SubscriptionArn"]
        name, value = given["AttributeName"], given.get("AttributeValue", "")
        with self._records.transaction() as tx:
            subscription = _subscription(tx, owner, arn)
            attributes = {key: one for key, one in subscription["attributes"].items() if key != name}
            if value not in ("", "{}"):
                attributes[name] = value
            _require_subscription_attributes(subscription["protocol"], {name: value, **attributes})
            tx.put(SUBSCRIPTION, owner, _last(arn), subscription | {"attributes": attributes})

    # Messages.

    def publish(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        arn = given.get("TopicArn") or given.get("TargetArn")
        if arn is None:
            raise errors.invalid("Give a TopicArn: this server sends no SMS.")
        message = _message(given)
        with self._records.transaction() as tx:
            self._topics.publish(tx, _owner(call), arn, message, call.now)
        return {"MessageId": message.id}

    def publish_batch(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        entries = given["PublishBatchRequestEntries"]
        if not entries:
            raise AwsError("EmptyBatchRequest", "The batch has no entries.")
        if len(entries) > 10:
            raise AwsError("TooManyEntriesInBatchRequest", "A batch has at most 10 entries.")
        if len({entry["Id"] for entry in entries}) < len(entries):
            raise AwsError("BatchEntryIdsNotDistinct", "Two entries have the same Id.")
        if any(not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", entry["Id"]) for entry in entries):
            raise AwsError("InvalidBatchEntryId", "An Id has letters, digits, - and _, at most 80 of them.")
        done, failed = [], []
        with self._records.transaction() as tx:
            existing(tx, _owner(call), given["TopicArn"])
            for entry in entries:
                try:
                    message = _message(entry)
                    self._topics.publish(tx, _owner(call), given["TopicArn"], message, call.now)
                except AwsError as error:
                    failed.append(
                        {"Id": entry["Id"], "Code": error.code, "Message": error.message, "SenderFault": True}
                    )
                else:
                    done.append({"Id": entry["Id"], "MessageId": message.id})
        return {"Successful": done, "Failed": failed}

    # Tags.

    def list_tags(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        with self._records.transaction() as tx:
            tags = _tagged(tx, _owner(call), given["ResourceArn"])["tags"]
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def tag(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        return self._retag(call, given, lambda tags: tags | {tag["Key"]: tag["Value"] for tag in given["Tags"]})

    def untag(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        gone = set(given["TagKeys"])
        return self._retag(call, given, lambda tags: {key: value for key, value in tags.items() if key not in gone})

    def _retag(
        self, call: Call, given: dict[str, Any], change: Callable[[dict[str, str]], dict[str, str]]
    ) -> dict[str, Any]:
        owner, arn = _owner(call), given["ResourceArn"]
        with self._records.transaction() as tx:
            topic = _tagged(tx, owner, arn)
            topic["tags"] = change(topic["tags"])
            _require_tags(topic["tags"])
            tx.put(TOPIC, owner, _last(arn), topic)
        return {}

    def _require_endpoint(self, protocol: str, endpoint: str) -> None:
        if protocol not in _PROTOCOLS:
            raise errors.invalid(f"This server delivers by {', '.join(_PROTOCOLS)}, and not by {protocol}.")
        if protocol in ("http", "https"):
            parts = urlsplit(endpoint)
            if parts.scheme != protocol or not parts.hostname or not _is_plain(endpoint):
                raise errors.invalid(f"The Endpoint must be an {protocol}:// URL.")
            return
        if not self._sends_mail:
            raise errors.invalid("This server sends no mail: start it with --smtp smtp://HOST:PORT?from=ADDRESS.")
        if not _ADDRESS.fullmatch(endpoint) or not _is_plain(endpoint):
            raise errors.invalid("The Endpoint must be a mail address.")


def _in_thread(operation: _Operation) -> Handler:
    async def handler(call: Call, given: dict[str, Any]) -> Mapping[str, Any] | None:
        return await asyncio.to_thread(operation, call, given)

    return handler


def _owner(call: Call) -> Owner:
    return Owner(call.caller.account, call.caller.region)


def _last(arn: str) -> str:
    return arn.rpartition(":")[2]


def _said(value: object) -> str:
    return "true" if value else "false"


def _is_plain(text: str) -> bool:
    return all("!" <= one <= "~" for one in text)


def _subscription(tx: Transaction, owner: Owner, arn: str) -> Document:
    found = tx.get(SUBSCRIPTION, owner, _last(arn))
    if found is None or found["arn"] != arn:
        raise errors.not_found(f"There is no subscription {arn}.")
    return found


def _tagged(tx: Transaction, owner: Owner, arn: str) -> Document:
    try:
        return existing(tx, owner, arn)
    except AwsError:
        raise AwsError("ResourceNotFound", f"There is no topic {arn} in {owner.region}.", 404) from None


def _require_topic_attributes(attributes: Mapping[str, str]) -> None:
    for name, value in attributes.items():
        if name not in _TOPIC_DEFAULTS:
            known = " and ".join(_TOPIC_DEFAULTS)
            raise errors.invalid(f"{name} is not supported by this server: a topic has {known}.")
        if name == "SignatureVersion" and value not in ("1", "2"):
            raise errors.invalid("SignatureVersion must be 1 or 2.")
        if name == "DisplayName" and len(value) > 100:
            raise errors.invalid("A DisplayName has at most 100 characters.")


def _require_subscription_attributes(protocol: str, attributes: Mapping[str, str]) -> None:
    for name, value in attributes.items():
        match name:
            case "RawMessageDelivery":
                if value not in ("true", "false"):
                    raise errors.invalid("RawMessageDelivery must be true or false.")
                if value == "true" and protocol not in ("http", "https"):
                    raise errors.invalid("RawMessageDelivery is for http and https.")
            case "FilterPolicy":
                try:
                    filter_policy.read(value or "{}")
                except filter_policy.FilterPolicyError as error:
                    raise errors.invalid(f"The FilterPolicy is not one: {error}.") from None
            case "FilterPolicyScope":
                if value != "MessageAttributes":
                    raise errors.invalid("FilterPolicyScope can only be MessageAttributes on this server.")
            case _:
                raise errors.invalid(f"{name} is not supported by this server.")


def _require_tags(tags: Mapping[str, str]) -> None:
    if len(tags) > _MOST_TAGS:
        raise AwsError("TagLimitExceeded", f"A topic has at most {_MOST_TAGS} tags.")


def _message(given: Mapping[str, Any]) -> Message:
    """What a Publish, or an entry of a batch, says. Raises AwsError."""
    text, subject = given["Message"], given.get("Subject")
    if not text:
        raise errors.invalid("The Message must not be empty.")
    if len(text.encode()) > _LONGEST_MESSAGE:
        raise errors.invalid(f"The Message must not have more than {_LONGEST_MESSAGE} bytes.")
    if subject is not None and (not 0 < len(subject) <= 100 or not all(" " <= one <= "~" for one in subject)):
        raise errors.invalid("A Subject is one line of ASCII, at most 100 characters.")
    if given.get("MessageDeduplicationId") or given.get("MessageGroupId"):
        raise errors.invalid("Groups and deduplication are for FIFO topics, which are not supported by this server.")
    texts = {"default": text}
    if structure := given.get("MessageStructure"):
        if structure != "json":
            raise errors.invalid("MessageStructure can only be json.")
        try:
            texts = json.loads(text)
        except ValueError:
            raise errors.invalid("With the MessageStructure json, the Message must be JSON.") from None
        if not isinstance(texts, dict) or not isinstance(texts.get("default"), str):
            raise errors.invalid("With the MessageStructure json, the Message must have a text named default.")
        texts = {name: one for name, one in texts.items() if isinstance(one, str)}
    attributes = given.get("MessageAttributes") or {}
    for name, one in attributes.items():
        if "BinaryValue" in one:
            raise errors.invalid(f"The attribute {name} is binary, which this server does not deliver.")
        if one["DataType"].partition(".")[0] == "Number" and not re.fullmatch(
            r"-?\d{1,38}(\.\d{1,38})?([eE][+-]?\d{1,3})?", one.get("StringValue", "")
        ):
            raise errors.invalid(f"The attribute {name} is no number.")
    return Message(id=str(uuid.uuid4()), subject=subject, texts=texts, attributes=attributes)


def _page(found: Sequence[_T], token: str | None) -> tuple[list[_T], dict[str, str]]:
    """A page of a list, and what asks for the next one."""
    try:
        start = int(base64.urlsafe_b64decode(token)) if token else 0
    except (ValueError, binascii.Error):
        raise errors.invalid("The NextToken is not one that this server gave.") from None
    end = start + _PAGE
    more = {"NextToken": base64.urlsafe_b64encode(b"%d" % end).decode()} if end < len(found) else {}
    return list(found[start:end]), more
