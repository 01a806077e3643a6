"""Topics where people have them: SNS, and whatever Apprise reaches (`ports.Topics`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from botocore.exceptions import BotoCoreError, ClientError

from longshore.domain.ids import Scope
from longshore.providers.clients import Clients
from longshore.providers.ports import PermanentError, Topics, TransientError

#: Of SNS: asking again will not help.
_FINAL = frozenset(
    {"NotFound", "NotFoundException", "InvalidParameter", "InvalidParameterException", "AuthorizationError"}
)


class SnsTopics:
    """Topics of SNS."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def publish(self, scope: Scope, topic_arn: str, *, subject: str, message: str) -> None:
        """See `ports.Topics`."""
        # A topic may be in another region than the deployment.
        region = topic_arn.split(":")[3] if topic_arn.count(":") == 5 else scope.region
        try:
            client = self._clients.client("sns", Scope(scope.account, region))
            client.publish(TopicArn=topic_arn, Subject=subject, Message=message)
        except ClientError as error:
            said = error.response["Error"]
            kind = PermanentError if said["Code"] in _FINAL else TransientError
            raise kind(f"SNS answers {said['Code']}: {said['Message']}") from error
        except BotoCoreError as error:
            raise TransientError(f"SNS cannot be asked: {error}") from error


class AppriseTopics:
    """Topics whose subscribers are Apprise URLs: mail, chat, web hooks and a hundred others."""

    def __init__(self, urls: Mapping[str, Sequence[str]], *, otherwise: Topics) -> None:
        """`urls` by topic ARN; topics that it does not have are `otherwise`'s."""
        self._urls = urls
        self._otherwise = otherwise

    def publish(self, scope: Scope, topic_arn: str, *, subject: str, message: str) -> None:
        """See `ports.Topics`. Those who got it get it again when another one could not be reached."""
        urls = self._urls.get(topic_arn)
        if urls is None:
            self._otherwise.publish(scope, topic_arn, subject=subject, message=message)
            return
        # A fifth of a second and many modules: only for who uses it.
        from apprise import Apprise

        apprise = Apprise()
        for url in urls:
            if not apprise.add(url):
                raise PermanentError(f"a URL of {topic_arn} in the --topics file is none that Apprise knows")
        if not apprise.notify(title=subject, body=message):
            raise TransientError(f"not every subscriber of {topic_arn} could be reached")
