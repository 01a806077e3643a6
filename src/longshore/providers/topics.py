"""Topics where people have them: SNS, and whatever Apprise reaches (`ports.Topics`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from longshore.domain.ids import Scope
from longshore.providers.ports import PermanentError, Topics, TransientError

_TIMEOUT = 5.0
#: Of SNS: asking again will not help.
_FINAL = frozenset(
    {"NotFound", "NotFoundException", "InvalidParameter", "InvalidParameterException", "AuthorizationError"}
)


class SnsTopics:
    """Topics of SNS, or of what speaks its API at another address."""

    def __init__(self, endpoint_url: str | None) -> None:
        self._endpoint_url = endpoint_url

    def publish(self, scope: Scope, topic_arn: str, *, subject: str, message: str) -> None:
        """See `ports.Topics`."""
        try:
            client: Any = boto3.session.Session().client(
                "sns",
                # A topic may be in another region than the deployment.
                region_name=topic_arn.split(":")[3] if topic_arn.count(":") == 5 else scope.region,
                endpoint_url=self._endpoint_url,
                config=Config(connect_timeout=_TIMEOUT, read_timeout=_TIMEOUT, retries={"total_max_attempts": 1}),
            )
            client.publish(TopicArn=topic_arn, Subject=subject, Message=message)
        except ClientError as error:
            said = error.response["Error"]
            kind = PermanentError if said["Code"] in _FINAL else TransientError
            raise kind(f"SNS answers {said['Code']}: {said['Message']}") from error
        except BotoCoreError as error:
            raise TransientError(f"SNS cannot be asked: {error}") from error


class AppriseTopics:
    """Topics whose subscribers are Apprise URLs: mail, chat, web hooks and a hundred others."""

    def __init__(self, urls: Mapping[str, Sequence[str]], *, otherwise: Topics | None) -> None:
        """`urls` by topic ARN; topics that it does not have are `otherwise`'s."""
        self._urls = urls
        self._otherwise = otherwise

    def publish(self, scope: Scope, topic_arn: str, *, subject: str, message: str) -> None:
        """See `ports.Topics`. Those who got it get it again when another one could not be reached."""
        urls = self._urls.get(topic_arn)
        if urls is None:
            if self._otherwise is None:
                raise PermanentError(
                    f"nobody is subscribed to {topic_arn}: name it in the --topics file, or start the server with"
                    " --sns aws"
                )
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
