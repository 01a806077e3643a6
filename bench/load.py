"""A steady load on one URL, and what became of every request: ``python -m bench.load URL --rate 250 --record FILE``.

Open-loop: request number k is sent k/rate seconds after the first, however long others take, so that a pause of the
server shows as what it is. A tenth of the requests come by connections of their own, the others by kept ones. No
request is tried a second time. It goes on until SIGTERM or SIGINT, and then writes down what is still under way.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

#: Seconds that a request may take.
_TIMEOUT = 10.0
#: Requests under way at once: more than a healthy server ever has.
_AT_ONCE = 64
_OWN_CONNECTION_EVERY = 10


@dataclass(frozen=True, slots=True)
class Sample:
    """One request."""

    #: When it was sent, epoch seconds, and how many seconds its answer took.
    at: float
    seconds: float
    #: Of HTTP; 0 when there was no answer.
    status: int
    #: Which release answered, and on which host.
    release: str
    host: str
    #: What went wrong; "" for nothing.
    error: str

    @property
    def is_good(self) -> bool:
        return self.status == 200 and not self.error


@contextlib.contextmanager
def load(url: str, record: Path, *, rate: float = 250) -> Iterator[None]:
    """Load `url` from a process of its own while the block lasts; `read` gives what was recorded."""
    argv = [sys.executable, "-m", "bench.load", url, "--rate", str(rate), "--record", str(record)]
    record.unlink(missing_ok=True)
    running = subprocess.Popen(argv, cwd=Path(__file__).parents[1])
    try:
        # Asked to end any sooner, it would end without a record.
        deadline = time.monotonic() + _TIMEOUT
        while not record.exists() and running.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        yield
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(timeout=2 * _TIMEOUT)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait(timeout=_TIMEOUT)


def read(record: Path) -> list[Sample]:
    """What a load has recorded, in the order of sending."""
    with record.open(newline="") as file:
        rows = list(csv.DictReader(file))
    samples = [
        Sample(float(row["at"]), float(row["seconds"]), int(row["status"]), row["release"], row["host"], row["error"])
        for row in rows
    ]
    return sorted(samples, key=lambda sample: sample.at)


def pace(samples: Sequence[Sample]) -> float:
    """How many requests a second were sent."""
    return (len(samples) - 1) / (samples[-1].at - samples[0].at)


class _Load:
    def __init__(self, url: str, rate: float) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._request = f"GET {parts.path or '/'} HTTP/1.1\r\nhost: {parts.netloc}\r\n".encode()
        self._rate = rate
        self._began = time.time()
        self._numbers = itertools.count()
        self.samples: list[Sample] = []
        self.is_stopping = asyncio.Event()

    async def work(self) -> None:
        """Send one request after the other, each when its time has come."""
        kept: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self.is_stopping.is_set():
            number = next(self._numbers)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self.is_stopping.wait(), max(self._began + number / self._rate - time.time(), 0.0001)
                )
                break
            is_alone = number % _OWN_CONNECTION_EVERY == 0
            sent = time.time()
            link = None if is_alone else kept
            try:
                async with asyncio.timeout(_TIMEOUT):
                    if link is None:
                        link = await asyncio.open_connection(self._host, self._port)
                    status, release, host, is_open = await self._exchange(*link, is_last=is_alone)
                sample = Sample(sent, time.time() - sent, status, release, host, "")
            except (OSError, ValueError, KeyError, IndexError, TimeoutError, asyncio.IncompleteReadError) as error:
                sample, is_open = Sample(sent, time.time() - sent, 0, "", "", f"{type(error).__name__}: {error}"), False
            self.samples.append(sample)
            if link is not None and (is_alone or not is_open):
                link[1].close()
            if not is_alone:
                kept = link if is_open else None
        if kept is not None:
            kept[1].close()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_last: bool
    ) -> tuple[int, str, str, bool]:
        """Status, release, host, and whether the connection may be used again."""
        writer.write(self._request + (b"connection: close\r\n\r\n" if is_last else b"\r\n"))
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
        status = int(head[0].split(" ")[1])
        headers = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
        body = await reader.readexactly(int(headers["content-length"]))
        is_open = headers.get("connection") != "close"
        if status != 200:
            return status, "", "", is_open
        said = json.loads(body)
        return status, str(said["release"]), str(said["host"]), is_open


async def _run(url: str, rate: float, record: Path) -> None:
    sending = _Load(url, rate)
    for asked in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(asked, sending.is_stopping.set)
    record.touch()
    await asyncio.gather(*(sending.work() for _ in range(_AT_ONCE)))
    with record.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(field.name for field in fields(Sample))
        rows.writerows(map(astuple, sending.samples))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=250, help="requests a second")
    parser.add_argument("--record", type=Path, required=True, help="CSV file, written at the end")
    asked = parser.parse_args()
    asyncio.run(_run(asked.url, asked.rate, asked.record))


if __name__ == "__main__":
    main()
