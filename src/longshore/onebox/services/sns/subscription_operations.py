"""SNS's operations on subscriptions."""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from longshore.onebox.machinery.records import Document, Owner, Records, Transaction
from longshore.onebox.services.calls import owner_of, page
from longshore.onebox.services.sns import errors, filter_policy
from longshore.onebox.services.sns.topics import SUBSCRIPTION, Topics, existing, last_of
from longshore.wire.service import AwsError, Call

_ADDRESS = re.compile(r"[^@\s,;<>\"]{1,64}@[^@\s,;<>\"]{1,255}")
_MOST_SUBSCRIPTIONS = 1000
_PAGE = 100
_PROTOCOLS = ("http", "https", "email", "email-json")


class SubscriptionOperations:
    """Answers them."""

    def __init__(self, records: Records, topics: Topics, *, sends_mail: bool) -> None:
        self._records = records
        self._topics = topics
        self._sends_mail = sends_mail

    def subscribe(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        owner, arn = owner_of(call), given["TopicArn"]
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
        owner = owner_of(call)
        with self._records.transaction() as tx:
            existing(tx, owner, given["TopicArn"])
            arn = self._topics.confirm(tx, owner, given["TopicArn"], given["Token"], is_signed=True, now=call.now)
            if given.get("AuthenticateOnUnsubscribe") == "true":
                identifier = last_of(arn)
                subscription = _subscription(tx, owner, arn)
                tx.put(SUBSCRIPTION, owner, identifier, subscription | {"must_sign": True})
        return {"SubscriptionArn": arn}

    def unsubscribe(self, call: Call, given: dict[str, Any]) -> None:
        owner, arn = owner_of(call), given["SubscriptionArn"]
        with self._records.transaction() as tx:
            found = tx.get(SUBSCRIPTION, owner, last_of(arn))
            if found is not None and found["arn"] == arn:
                tx.delete(SUBSCRIPTION, owner, last_of(arn))

    def list_subscriptions(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        owner, arn = owner_of(call), given.get("TopicArn")
        with self._records.transaction() as tx:
            if arn is not None:
                existing(tx, owner, arn)
            found = [one for one in tx.all(SUBSCRIPTION, owner).values() if arn in (None, one["topic"])]
        shown, token = page(found, given.get("NextToken"), _PAGE, refused="InvalidParameter")
        return {
            "Subscriptions": [
                {
                    "SubscriptionArn": "PendingConfirmation" if one["pending"] else one["arn"],
                    "Owner": owner.account,
                    "Protocol": one["protocol"],
                    "Endpoint": one["endpoint"],
                    "TopicArn": one["topic"],
                }
                for one in shown
            ],
            **token,
        }

    def get_subscription_attributes(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        owner = owner_of(call)
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
        owner, arn = owner_of(call), given["SubscriptionArn"]
        name, value = given["AttributeName"], given.get("AttributeValue", "")
        with self._records.transaction() as tx:
            subscription = _subscription(tx, owner, arn)
            attributes = {key: one for key, one in subscription["attributes"].items() if key != name}
            if value not in ("", "{}"):
                attributes[name] = value
            _require_subscription_attributes(subscription["protocol"], {name: value, **attributes})
            tx.put(SUBSCRIPTION, owner, last_of(arn), subscription | {"attributes": attributes})

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


def _said(value: object) -> str:
    return "true" if value else "false"


def _is_plain(text: str) -> bool:
    return all("!" <= one <= "~" for one in text)


def _subscription(tx: Transaction, owner: Owner, arn: str) -> Document:
    found = tx.get(SUBSCRIPTION, owner, last_of(arn))
    if found is None or found["arn"] != arn:
        raise errors.not_found(f"There is no subscription {arn}.")
    return found


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
