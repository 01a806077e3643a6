"""SNS of a real server: boto3 publishes, and real web hooks and a real mail server are told."""

from __future__ import annotations

import base64
import email
import email.policy
import itertools
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests import ports
from tests.acceptance.world import REGION, ControlPlane, self_signed, wait_until
from tests.webhook import Webhook

_numbers = itertools.count(1)


class Mailbox:
    """A mail server on a free port that keeps what it is given, but for mail to nobody."""

    def __init__(self) -> None:
        self.mails: list[email.message.EmailMessage] = []
        self.port = ports.kept()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)

    async def handle_RCPT(  # noqa: N802 - its caller's name
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if address.startswith("nobody@"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - its caller's name
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(mail, email.message.EmailMessage)
        self.mails.append(mail)
        return "250 OK"

    def __enter__(self) -> Mailbox:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as made:
        yield made


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory, mailbox: Mailbox) -> Iterator[ControlPlane]:
    smtp = f"smtp://127.0.0.1:{mailbox.port}?from=longshore@example.com"
    made = ControlPlane(tmp_path_factory.mktemp("sns"), options=("--smtp", smtp))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def sns(plane: ControlPlane) -> Any:
    return plane.client("sns")


@pytest.fixture
def topic(sns: Any) -> str:
    return str(sns.create_topic(Name=f"releases-{next(_numbers)}")["TopicArn"])


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with Webhook() as made:
        yield made


def subscribed(sns: Any, topic: str, hook: Webhook, **attributes: str) -> str:
    """The ARN of a web hook's subscription, which the hook has confirmed as SNS's documentation tells it to."""
    before = len(hook.received)
    sns.subscribe(
        TopicArn=topic,
        Protocol="http",
        Endpoint=f"http://127.0.0.1:{hook.port}/{next(_numbers)}",
        Attributes=attributes,
    )
    asked = wait_until("it is asked to confirm", lambda: hook.received[before:])[0]
    assert hook.headers[before]["x-amz-sns-message-type"] == asked["Type"] == "SubscriptionConfirmation"
    require_signed(asked)
    with urllib.request.urlopen(asked["SubscribeURL"], timeout=10) as answer:
        found = re.search("<SubscriptionArn>(.*)</SubscriptionArn>", answer.read().decode())
    assert found
    return found[1]


def require_signed(message: dict[str, Any]) -> None:
    """As its documentation tells a subscriber to check a message."""
    with urllib.request.urlopen(message["SigningCertURL"], timeout=10) as answer:
        key = x509.load_pem_x509_certificate(answer.read()).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    said = "".join(f"{name}\n{message[name]}\n" for name in names if name in message)
    digest = hashes.SHA1() if message["SignatureVersion"] == "1" else hashes.SHA256()
    key.verify(base64.b64decode(message["Signature"]), said.encode(), padding.PKCS1v15(), digest)


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_web_hook_is_told(sns: Any, topic: str, hook: Webhook, version: str) -> None:
    sns.set_topic_attributes(TopicArn=topic, AttributeName="SignatureVersion", AttributeValue=version)
    arn = subscribed(sns, topic, hook)
    sent = sns.publish(
        TopicArn=topic,
        Subject="SUCCEEDED: x",
        Message="with an é\nand two lines",
        MessageAttributes={"kind": {"DataType": "String", "StringValue": "end"}},
    )
    told = wait_until("it is told", lambda: hook.received[1:])[0]
    require_signed(told)
    assert (told["Subject"], told["Message"]) == ("SUCCEEDED: x", "with an é\nand two lines")
    assert (told["MessageId"], told["SignatureVersion"]) == (sent["MessageId"], version)
    assert told["MessageAttributes"] == {"kind": {"Type": "String", "Value": "end"}}
    assert hook.headers[1]["x-amz-sns-subscription-arn"] == arn
    assert hook.headers[1]["content-type"] == "text/plain; charset=UTF-8"
    with pytest.raises(InvalidSignature):
        require_signed(told | {"Message": "another"})
    with urllib.request.urlopen(told["UnsubscribeURL"], timeout=10) as answer:
        assert answer.status == 200
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []


def test_who_has_not_confirmed_is_not_told(sns: Any, topic: str, hook: Webhook) -> None:
    endpoint = f"http://127.0.0.1:{hook.port}/"
    made = sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint, ReturnSubscriptionArn=True)
    asked = wait_until("it is asked", lambda: hook.received)[0]
    (listed,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert listed["SubscriptionArn"] == "PendingConfirmation"
    sns.publish(TopicArn=topic, Message="too early")
    with pytest.raises(ClientError, match="token") as refused:
        sns.confirm_subscription(TopicArn=topic, Token="0" * 128)
    assert refused.value.response["Error"]["Code"] == "InvalidParameter"
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(re.sub("Token=.*", "Token=1", asked["SubscribeURL"]), timeout=10)
    sns.confirm_subscription(TopicArn=topic, Token=asked["Token"], AuthenticateOnUnsubscribe="true")
    sns.publish(TopicArn=topic, Message="in time")
    told = wait_until("it is told", lambda: hook.received[1:])[0]
    assert told["Message"] == "in time"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(told["UnsubscribeURL"], timeout=10)
    attributes = sns.get_subscription_attributes(SubscriptionArn=made["SubscriptionArn"])["Attributes"]
    assert (attributes["PendingConfirmation"], attributes["ConfirmationWasAuthenticated"]) == ("false", "true")
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsConfirmed"] == "1"


def test_raw_messages_filters_and_batches(sns: Any, topic: str, hook: Webhook) -> None:
    policy = json.dumps({"kind": ["failed"]})
    arn = subscribed(sns, topic, hook, RawMessageDelivery="true", FilterPolicy=policy)
    entries = [
        {
            "Id": kind,
            "Message": json.dumps({"kind": kind}),
            "MessageAttributes": {"kind": {"DataType": "String", "StringValue": kind}},
        }
        for kind in ("succeeded", "failed")
    ]
    answer = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=[*entries, {"Id": "bad", "Message": ""}])
    assert [one["Id"] for one in answer["Successful"]] == ["succeeded", "failed"]
    assert [(one["Id"], one["Code"]) for one in answer["Failed"]] == [("bad", "InvalidParameter")]
    told = wait_until("it is told", lambda: hook.received[1:])
    assert told == [{"kind": "failed"}]
    assert hook.headers[1]["x-amz-sns-rawdelivery"] == "true"
    sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName="FilterPolicy", AttributeValue="{}")
    per_protocol = {"default": '{"for": "all"}', "http": '{"for": "http"}'}
    sns.publish(TopicArn=topic, Message=json.dumps(per_protocol), MessageStructure="json")
    assert wait_until("it is told", lambda: hook.received[2:]) == [{"for": "http"}]


def test_refusals_and_a_kill_lose_nothing(tmp_path: Path) -> None:
    plane = ControlPlane(tmp_path)
    plane.start()
    try:
        with Webhook() as hook:
            sns = plane.client("sns")
            topic = sns.create_topic(Name="releases")["TopicArn"]
            subscribed(sns, topic, hook)
            hook.refuses = 10**6
            for number in range(20):
                sns.publish(TopicArn=topic, Message=str(number))
            wait_until("it was tried", lambda: hook.refuses < 10**6 - 3)
            plane.kill()
            hook.refuses = 3
            plane.start()

            def told() -> set[str]:
                return {one["Message"] for one in hook.received[1:]}

            wait_until("all was told", lambda: told() == {str(number) for number in range(20)}, seconds=60)
    finally:
        plane.stop()


def test_a_web_hook_by_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = self_signed(tmp_path / "tls")
    monkeypatch.setenv("SSL_CERT_FILE", str(pair[0]))
    plane = ControlPlane(tmp_path)
    plane.start()
    try:
        with Webhook(certificate=pair) as hook:
            sns = plane.client("sns")
            topic = sns.create_topic(Name="releases")["TopicArn"]
            sns.subscribe(TopicArn=topic, Protocol="https", Endpoint=f"https://127.0.0.1:{hook.port}/wrong-name")
            sns.subscribe(TopicArn=topic, Protocol="https", Endpoint=f"https://user:pw@localhost:{hook.port}/right?a=b")
            wait_until("it is asked", lambda: hook.received)
            assert hook.headers[0]["host"] == f"localhost:{hook.port}"
            assert hook.headers[0]["authorization"].startswith("Basic ")
            wait_until("the other is put off", lambda: "delivery_put_off" in plane.log.read_text())
            assert len(hook.received) == 1
    finally:
        plane.stop()


def test_mail(sns: Any, topic: str, mailbox: Mailbox, plane: ControlPlane) -> None:
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="ops@example.com")
    asked = wait_until("the mail that asks", lambda: mailbox.mails)[0]
    assert (asked["To"], asked["From"]) == ("ops@example.com", "longshore@example.com")
    link = re.search(r"http://\S+", asked.get_content())
    assert link
    with urllib.request.urlopen(link[0], timeout=10) as answer:
        assert answer.status == 200
    sns.publish(TopicArn=topic, Subject="FAILED: x", Message="It failed, as é said.")
    told = wait_until("the mail that tells", lambda: mailbox.mails[1:])[0]
    assert told["Subject"] == "FAILED: x"
    assert told.get_content().startswith("It failed, as é said.")
    assert "Action=Unsubscribe" in told.get_content()
    sns.subscribe(TopicArn=topic, Protocol="email-json", Endpoint="nobody@example.com")
    wait_until("who is refused is told no more", lambda: "answers 550" in plane.log.read_text())


def test_what_is_refused(sns: Any, topic: str, tmp_path: Path) -> None:
    def refused(operation: str, words: str, code: str = "InvalidParameter", **given: Any) -> None:
        with pytest.raises(ClientError, match=words) as error:
            getattr(sns, operation)(**given)
        assert error.value.response["Error"]["Code"] == code

    refused("create_topic", "FIFO", Name="a.fifo")
    refused("create_topic", "letters", Name="a b")
    refused("create_topic", "Policy is not supported", Name="a", Attributes={"Policy": "{}"})
    refused("subscribe", "not by sqs", TopicArn=topic, Protocol="sqs", Endpoint="arn:aws:sqs:x")
    refused("subscribe", "https:// URL", TopicArn=topic, Protocol="https", Endpoint="http://example.com/")
    refused("subscribe", "mail address", TopicArn=topic, Protocol="email", Endpoint="a@b@c")
    refused("publish", "no topic", "NotFound", TopicArn=f"{topic}-gone", Message="x")
    refused("publish", "no topic", "NotFound", TopicArn=topic.replace("000000000000", "111111111111"), Message="x")
    refused("publish", "one line", TopicArn=topic, Message="x", Subject="a\nb")
    refused("publish", "not have more", TopicArn=topic, Message="x" * 300_000)
    refused("get_subscription_attributes", "no subscription", "NotFound", SubscriptionArn=f"{topic}:1")
    without = ControlPlane(tmp_path)
    without.start()
    try:
        sns = without.client("sns")
        topic = sns.create_topic(Name="releases")["TopicArn"]
        refused("subscribe", "--smtp", TopicArn=topic, Protocol="email", Endpoint="ops@example.com")
    finally:
        without.stop()


def test_link_local_addresses_are_not_called(sns: Any, topic: str, plane: ControlPlane) -> None:
    """There a cloud's machines get their secrets from."""
    for host in ("169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "0.0.0.0"):
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=f"http://{host}/latest/meta-data")
    wait_until("all are given up", lambda: plane.log.read_text().count("nothing is posted to such an address") == 4)


def test_topics_by_the_aws_cli(plane: ControlPlane, sns: Any) -> None:
    name = f"cli-{next(_numbers)}"
    arn = plane.aws("sns", "create-topic", "--name", name, "--tags", "Key=team,Value=web")["TopicArn"]
    assert arn == f"arn:aws:sns:{REGION}:000000000000:{name}"
    assert sns.create_topic(Name=name)["TopicArn"] == arn, "it is there already"
    plane.aws("sns", "set-topic-attributes", "--topic-arn", arn, "--attribute-name", "DisplayName", *_value("Web"))
    assert plane.aws("sns", "get-topic-attributes", "--topic-arn", arn)["Attributes"]["DisplayName"] == "Web"
    assert plane.aws("sns", "list-tags-for-resource", "--resource-arn", arn)["Tags"] == [
        {"Key": "team", "Value": "web"}
    ]
    plane.aws("sns", "untag-resource", "--resource-arn", arn, "--tag-keys", "team")
    assert sns.list_tags_for_resource(ResourceArn=arn)["Tags"] == []
    plane.aws("sns", "delete-topic", "--topic-arn", arn)
    assert {"TopicArn": arn} not in plane.aws("sns", "list-topics")["Topics"]


def _value(text: str) -> tuple[str, str]:
    return "--attribute-value", text
