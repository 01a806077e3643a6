"""Mail to subscribers, by a mail server that the operator names."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from urllib.parse import parse_qs, unquote, urlsplit

#: Seconds for each word with the mail server.
_TIMEOUT = 15.0


class RefusedError(Exception):
    """The mail server will not take this, however often it is asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MailServer:
    """Who takes our mail."""

    host: str
    port: int
    #: TLS from the first byte on; else STARTTLS where the server has it.
    is_tls: bool
    #: Whom the mail is from.
    sender: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def send(self, recipient: str, *, subject: str, text: str) -> None:
        """Hand one mail over.

        Raises:
            RefusedError: never.
            OSError, smtplib.SMTPException: perhaps later.
        """
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = self.sender, recipient, subject
        mail.set_content(text)
        tls = ssl.create_default_context()
        try:
            with self._session(tls) as session:
                if not self.is_tls:
                    session.ehlo()
                    if session.has_extn("starttls"):
                        session.starttls(context=tls)
                    elif self.user is not None:
                        raise RefusedError("the mail server has no STARTTLS, and a password is not sent in clear")
                if self.user is not None:
                    session.login(self.user, self.password or "")
                session.send_message(mail)
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            if 500 <= _code(error) < 600:
                raise RefusedError(f"the mail server answers {_code(error)}") from error
            raise

    def _session(self, tls: ssl.SSLContext) -> smtplib.SMTP:
        if self.is_tls:
            return smtplib.SMTP_SSL(self.host, self.port, timeout=_TIMEOUT, context=tls)
        return smtplib.SMTP(self.host, self.port, timeout=_TIMEOUT)


def mail_server(url: str) -> MailServer:
    """Read ``smtp://USER:PASSWORD@HOST:PORT?from=ADDRESS`` or ``smtps://…``; raises ValueError that quotes nothing."""
    parts = urlsplit(url)
    sender = parse_qs(parts.query).get("from", [""])[0]
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or "@" not in sender:
        raise ValueError("it must be smtp://HOST:PORT?from=ADDRESS, or smtps://")
    is_tls = parts.scheme == "smtps"
    return MailServer(
        host=parts.hostname,
        port=parts.port or (465 if is_tls else 587),
        is_tls=is_tls,
        sender=sender,
        user=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
    )


def _code(error: smtplib.SMTPException) -> int:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return max(code for code, _ in error.recipients.values())
    return error.smtp_code if isinstance(error, smtplib.SMTPResponseException) else 0
