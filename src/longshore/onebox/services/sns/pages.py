"""What subscribers open unsigned: the links in their messages, and the certificate that these are signed with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from longshore.onebox.machinery.records import Owner, Records
from longshore.onebox.services.sns import errors
from longshore.onebox.services.sns.signing import Signer
from longshore.onebox.services.sns.topics import SUBSCRIPTION, Topics
from longshore.wire.endpoint import ASGIApp, Receive, Scope, Send
from longshore.wire.service import AwsError

_NAMESPACE = "http://sns.amazonaws.com/doc/2010-03-31/"
#: Characters of a link's query.
_LONGEST = 2048


def pages_of(signer: Signer) -> dict[str, ASGIApp]:
    """The certificate, by its path."""

    async def certificate(_scope: Scope, _receive: Receive, send: Send) -> None:
        await _send(send, 200, b"application/x-pem-file", signer.certificate)

    return {signer.page: certificate}


def unsigned_of(records: Records, topics: Topics, *, now: Callable[[], float]) -> dict[str, ASGIApp]:
    """What the links in messages do, by their Action. What they name is a secret that only the subscriber was told."""

    def confirm(asked: Mapping[str, str]) -> str:
        arn = asked.get("TopicArn", "")
        with records.transaction() as tx:
            confirmed = topics.confirm(tx, _owner(arn), arn, asked.get("Token", ""), is_signed=False, now=now())
        return f"<SubscriptionArn>{escape(confirmed)}</SubscriptionArn>"

    def unsubscribe(asked: Mapping[str, str]) -> str:
        arn = asked.get("SubscriptionArn", "")
        with records.transaction() as tx:
            identifier = arn.rpartition(":")[2]
            found = tx.get(SUBSCRIPTION, _owner(arn), identifier)
            if found is not None and found["arn"] == arn:
                if found.get("must_sign"):
                    raise AwsError("AuthorizationError", "Its owner alone can end this subscription.", 403)
                tx.delete(SUBSCRIPTION, _owner(arn), identifier)
        return ""

    return {
        "ConfirmSubscription": _page("ConfirmSubscription", confirm),
        "Unsubscribe": _page("Unsubscribe", unsubscribe),
    }


def _owner(arn: str) -> Owner:
    parts = arn.split(":")
    if len(parts) < 6:
        raise errors.invalid("That is no ARN of a topic.")
    return Owner(parts[4], parts[3])


def _page(action: str, work: Callable[[Mapping[str, str]], str]) -> ASGIApp:
    async def page(scope: Scope, _receive: Receive, send: Send) -> None:
        query = scope["query_string"][:_LONGEST].decode("latin-1")
        asked = {name: values[-1] for name, values in parse_qs(query, max_num_fields=16).items()}
        try:
            result = await asyncio.to_thread(work, asked)
        except AwsError as error:
            said = f"<Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error>"
            body = f'<ErrorResponse xmlns="{_NAMESPACE}">{said}</ErrorResponse>'
            await _send(send, error.status, b"text/xml", body.encode())
            return
        body = f'<{action}Response xmlns="{_NAMESPACE}"><{action}Result>{result}</{action}Result></{action}Response>'
        await _send(send, 200, b"text/xml", body.encode())

    return page


async def _send(send: Send, status: int, kind: bytes, body: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
