"""Topics where people have them: SNS, and whatever Apprise reaches (`ports.Topics`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from longshore.domain.ids import Scope
from longshore.providers.ports import Access, PermanentError, Topics, TransientError
from longshore.providers.service_roles import ServiceRoles


class SnsTopics:
    """Topics of SNS."""

    def __init__(self, roles: ServiceRoles) -> None:
        self._roles = roles

    def publish(self, access: Access, topic_arn: str, *, subject: str, message: str) -> None:
        """See `ports.Topics`."""
        # A topic may be in another region than the deployment.
        region = topic_arn.split(":")[3] if topic_arn.count(":") == 5 else access.scope.region
        there = replace(access, scope=Scope(access.scope.account, region))
        self._roles.call(there, "sns", "publish", TopicArn=topic_arn, Subject=subject, Message=message)


class AppriseTopics:
    """Topics whose subscribers are Apprise URLs: mail, chat, web hooks and a hundred others."""

    def __init__(self, urls: Mapping[str, Sequence[str]], *, otherwise: Topics) -> None:
        """`urls` by topic ARN; topics that it does not have are `otherwise`'s."""
        self._urls = urls
        self._otherwise = otherwise

    def publish(self, access: Access, topic_arn: str, *, subject: str, message: str) -> None:
        """See `ports.Topics`. Those who got it get it again when another one could not be reached."""
        urls = self._urls.get(topic_arn)
        if urls is None:
            self._otherwise.publish(access, topic_arn, subject=subject, message=message)
            return
        # A fifth of a second and many modules: only for who uses it.
        from apprise import Apprise

        apprise = Apprise()
        for url in urls:
            if not apprise.add(url):
                raise PermanentError(f"a URL of {topic_arn} in the --topics file is none that Apprise knows")
        if not apprise.notify(title=subject, body=message):
            raise TransientError(f"not every subscriber of {topic_arn} could be reached")
