"""SNS's operations on topics, and what is published to them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from longshore.onebox.machinery.records import Document, Owner, Records, Transaction
from longshore.onebox.services.calls import owner_of, page
from longshore.onebox.services.sns import errors
from longshore.onebox.services.sns.messages import message_of
from longshore.onebox.services.sns.topics import SUBSCRIPTION, TOPIC, Topics, existing, last_of
from longshore.wire.service import AwsError, Call

_NAME = re.compile(r"[A-Za-z0-9_-]{1,256}")
_MOST_TOPICS = 1000
_MOST_TAGS = 50
_PAGE = 100
_DEFAULTS = {"DisplayName": "", "SignatureVersion": "2"}


class TopicOperations:
    """Answers them."""

    def __init__(self, records: Records, topics: Topics) -> None:
        self._records = records
        self._topics = topics

    def create_topic(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        name, attributes = given["Name"], given.get("Attributes") or {}
        if name.endswith(".fifo") or attributes.get("FifoTopic") == "true":
            raise errors.invalid("FIFO topics are not supported by this server.")
        if not _NAME.fullmatch(name):
            raise errors.invalid("A topic's Name has letters, digits, - and _, at most 256 of them.")
        _require_topic_attributes(attributes)
        tags = {tag["Key"]: tag["Value"] for tag in given.get("Tags") or ()}
        _require_tags(tags)
        owner = owner_of(call)
        arn = f"arn:aws:sns:{owner.region}:{owner.account}:{name}"
        with self._records.transaction() as tx:
            there = tx.get(TOPIC, owner, name)
            if there is not None:
                if any(there["attributes"][key] != value for key, value in attributes.items()):
                    raise errors.invalid(f"The topic {name} is there already, with other attributes.")
                if tags and tags != there["tags"]:
                    raise errors.invalid(f"The topic {name} is there already, with other tags.")
            else:
                if tx.count(TOPIC, owner) >= _MOST_TOPICS:
                    raise AwsError("TopicLimitExceeded", f"There are {_MOST_TOPICS} topics in {owner.region}.", 403)
                tx.put(TOPIC, owner, name, {"arn": arn, "attributes": _DEFAULTS | attributes, "tags": tags})
        return {"TopicArn": arn}

    def delete_topic(self, call: Call, given: dict[str, Any]) -> None:
        """One that is not there is none the less gone."""
        owner, arn = owner_of(call), given["TopicArn"]
        with self._records.transaction() as tx:
            try:
                existing(tx, owner, arn)
            except AwsError:
                return
            tx.delete(TOPIC, owner, last_of(arn))
            for identifier, one in tx.all(SUBSCRIPTION, owner).items():
                if one["topic"] == arn:
                    tx.delete(SUBSCRIPTION, owner, identifier)

    def list_topics(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        with self._records.transaction() as tx:
            arns = [topic["arn"] for topic in tx.all(TOPIC, owner_of(call)).values()]
        shown, token = page(arns, given.get("NextToken"), _PAGE, refused="InvalidParameter")
        return {"Topics": [{"TopicArn": arn} for arn in shown], **token}

    def get_topic_attributes(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        owner, arn = owner_of(call), given["TopicArn"]
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
        owner, name = owner_of(call), given["AttributeName"]
        attributes = {name: given.get("AttributeValue", _DEFAULTS.get(name, ""))}
        _require_topic_attributes(attributes)
        with self._records.transaction() as tx:
            topic = existing(tx, owner, given["TopicArn"])
            topic["attributes"] |= attributes
            tx.put(TOPIC, owner, last_of(given["TopicArn"]), topic)

    def publish(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        arn = given.get("TopicArn") or given.get("TargetArn")
        if arn is None:
            raise errors.invalid("Give a TopicArn: this server sends no SMS.")
        message = message_of(given)
        with self._records.transaction() as tx:
            self._topics.publish(tx, owner_of(call), arn, message, call.now)
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
            existing(tx, owner_of(call), given["TopicArn"])
            for entry in entries:
                try:
                    message = message_of(entry)
                    self._topics.publish(tx, owner_of(call), given["TopicArn"], message, call.now)
                except AwsError as error:
                    failed.append(
                        {"Id": entry["Id"], "Code": error.code, "Message": error.message, "SenderFault": True}
                    )
                else:
                    done.append({"Id": entry["Id"], "MessageId": message.id})
        return {"Successful": done, "Failed": failed}

    def list_tags(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        with self._records.transaction() as tx:
            tags = _tagged(tx, owner_of(call), given["ResourceArn"])["tags"]
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def tag(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        return self._retag(call, given, lambda tags: tags | {tag["Key"]: tag["Value"] for tag in given["Tags"]})

    def untag(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        gone = set(given["TagKeys"])
        return self._retag(call, given, lambda tags: {key: value for key, value in tags.items() if key not in gone})

    def _retag(
        self, call: Call, given: dict[str, Any], change: Callable[[dict[str, str]], dict[str, str]]
    ) -> dict[str, Any]:
        owner, arn = owner_of(call), given["ResourceArn"]
        with self._records.transaction() as tx:
            topic = _tagged(tx, owner, arn)
            topic["tags"] = change(topic["tags"])
            _require_tags(topic["tags"])
            tx.put(TOPIC, owner, last_of(arn), topic)
        return {}


def _tagged(tx: Transaction, owner: Owner, arn: str) -> Document:
    try:
        return existing(tx, owner, arn)
    except AwsError:
        raise AwsError("ResourceNotFound", f"There is no topic {arn} in {owner.region}.", 404) from None


def _require_topic_attributes(attributes: Mapping[str, str]) -> None:
    for name, value in attributes.items():
        if name not in _DEFAULTS:
            known = " and ".join(_DEFAULTS)
            raise errors.invalid(f"{name} is not supported by this server: a topic has {known}.")
        if name == "SignatureVersion" and value not in ("1", "2"):
            raise errors.invalid("SignatureVersion must be 1 or 2.")
        if name == "DisplayName" and len(value) > 100:
            raise errors.invalid("A DisplayName has at most 100 characters.")


def _require_tags(tags: Mapping[str, str]) -> None:
    if len(tags) > _MOST_TAGS:
        raise AwsError("TagLimitExceeded", f"A topic has at most {_MOST_TAGS} tags.")
