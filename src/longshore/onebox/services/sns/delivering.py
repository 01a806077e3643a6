"""Takes what was published to subscribers: at least once, again and later where it fails, and for hours."""

from __future__ import annotations

import heapq
import smtplib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
import urllib3

from longshore.onebox.machinery.records import Document, Owner, Records
from longshore.onebox.services.sns import mail, posting
from longshore.onebox.services.sns.mail import MailServer
from longshore.onebox.services.sns.topics import DELIVERY, SUBSCRIPTION

log = structlog.get_logger()

_AT_ONCE = 8
#: After the first failure, doubled with each further one, at most the last, seconds.
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 300.0
#: After this no more is tried, seconds.
_GIVE_UP = 6 * 3600.0
_SWEEP_EVERY = 3600.0
_PAUSE_AFTER_ERROR = 5.0


class Delivering:
    """Delivers until stopped. The rows say what is to be delivered; in memory is only when."""

    def __init__(
        self,
        records: Records,
        mail_server: MailServer | None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._records = records
        self._mail_server = mail_server
        self._clock = clock
        self._lock = threading.Lock()
        #: When, whose, which: the earliest first.
        self._waiting: list[tuple[float, Owner, str]] = []
        self._news = threading.Event()
        self._stopping = False
        self._free = threading.Semaphore(_AT_ONCE)
        self._pool = ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="sns")
        self._thread = threading.Thread(target=self._run, name="sns", daemon=True)
        self._sweeps: list[Callable[[float], None]] = []

    def also_sweep(self, sweep: Callable[[float], None]) -> None:
        """Have this called once an hour, with the time."""
        self._sweeps.append(sweep)

    def start(self) -> None:
        with self._records.transaction() as tx:
            rows = tx.everyones(DELIVERY)
        for owner, identifier, row in rows:
            self.nudge(owner, identifier, row["due"])
        self._thread.start()

    def stop(self) -> None:
        """Begin no more; what does not end soon is delivered again by the next server."""
        self._stopping = True
        self._news.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def nudge(self, owner: Owner, identifier: str, due: float) -> None:
        """There is a delivery of this id, or will be once the transaction that is open is committed."""
        with self._lock:
            heapq.heappush(self._waiting, (due, owner, identifier))
        self._news.set()

    def _run(self) -> None:
        sweep_at = 0.0
        while not self._stopping:
            self._news.clear()
            try:
                now = self._clock()
                if now >= sweep_at:
                    sweep_at = now + _SWEEP_EVERY
                    for sweep in self._sweeps:
                        sweep(now)
                self._news.wait(self._start_due(now))
            except Exception:
                log.exception("deliveries_failed")
                self._news.wait(_PAUSE_AFTER_ERROR)

    def _start_due(self, now: float) -> float:
        """Start what is due; returns how long nothing else is, seconds."""
        while not self._stopping:
            with self._lock:
                if not self._waiting:
                    return _SWEEP_EVERY
                due, owner, identifier = self._waiting[0]
                if due > now:
                    return min(due - now, _SWEEP_EVERY)
                heapq.heappop(self._waiting)
            self._free.acquire()
            self._pool.submit(self._deliver, owner, identifier)
        return 0.0

    def _deliver(self, owner: Owner, identifier: str) -> None:
        try:
            with self._records.transaction() as tx:
                row = tx.get(DELIVERY, owner, identifier)
                if row is not None and tx.get(SUBSCRIPTION, owner, row["subscription_id"]) is None:
                    # Whoever has left is told no more.
                    tx.delete(DELIVERY, owner, identifier)
                    row = None
            if row is not None:
                self._try(owner, identifier, row)
        except Exception:
            log.exception("delivery_failed")
            self.nudge(owner, identifier, self._clock() + _PAUSE_AFTER_ERROR)
        finally:
            self._free.release()

    def _try(self, owner: Owner, identifier: str, row: Document) -> None:
        said = {"topic": row["message"]["TopicArn"], "protocol": row["protocol"], "tries": row["tries"] + 1}
        try:
            self._hand_over(row)
        except (posting.RefusedError, mail.RefusedError) as error:
            self._give_up(owner, identifier, said, str(error))
        except (OSError, ValueError, smtplib.SMTPException, urllib3.exceptions.HTTPError) as error:
            now = self._clock()
            if now > row["created"] + _GIVE_UP:
                self._give_up(owner, identifier, said, str(error))
                return
            pause = min(_FIRST_PAUSE * 2 ** min(row["tries"], 16), _LONGEST_PAUSE)
            with self._records.transaction() as tx:
                tx.put(DELIVERY, owner, identifier, row | {"tries": row["tries"] + 1, "due": now + pause})
            log.warning("delivery_put_off", seconds=pause, reason=str(error), **said)
            self.nudge(owner, identifier, now + pause)
        else:
            with self._records.transaction() as tx:
                tx.delete(DELIVERY, owner, identifier)
            log.info("message_delivered", **said)

    def _give_up(self, owner: Owner, identifier: str, said: dict[str, Any], reason: str) -> None:
        with self._records.transaction() as tx:
            tx.delete(DELIVERY, owner, identifier)
        log.error("message_dropped", reason=reason, **said)

    def _hand_over(self, row: Document) -> None:
        message = row["message"]
        if row["protocol"] in ("http", "https"):
            headers = {
                "content-type": "text/plain; charset=UTF-8",
                "user-agent": "Longshore Simple Notification Service",
                "x-amz-sns-message-type": message["Type"],
                "x-amz-sns-message-id": message["MessageId"],
                "x-amz-sns-topic-arn": message["TopicArn"],
            }
            if row["subscription_arn"]:
                headers["x-amz-sns-subscription-arn"] = row["subscription_arn"]
            if row["is_raw"]:
                headers["x-amz-sns-rawdelivery"] = "true"
            posting.post(row["endpoint"], headers, row["body"])
            return
        if self._mail_server is None:
            raise mail.RefusedError("this server has no mail server any more: start it with --smtp")
        subject = message.get("Subject") or (
            "Subscription confirmation" if message["Type"] == "SubscriptionConfirmation" else "Notification"
        )
        self._mail_server.send(row["endpoint"], subject=subject, text=_text(row))


def _text(row: Document) -> str:
    """What a mail says."""
    message = row["message"]
    if row["protocol"] == "email-json":
        return str(row["body"])
    if message["Type"] == "SubscriptionConfirmation":
        return f"{message['Message']}\n\n{message['SubscribeURL']}\n"
    return f"{message['Message']}\n\n--\nTo be told no more of {message['TopicArn']}:\n{message['UnsubscribeURL']}\n"
