"""The least a request can cost in this stack: a Starlette application that reads a body and answers as many bytes."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.setting import BenchError, process, program
from bench.swarm import Link

_START_SECONDS = 15.0

_APPLICATION = """\
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def answer(request: Request) -> Response:
    await request.body()
    return Response(b" " * int(request.path_params["size"]), media_type="application/x-amz-json-1.1")


app = Starlette(routes=[Route("/{size}", answer, methods=["POST"])])
"""


@contextlib.contextmanager
def server(directory: Path, port: int) -> Iterator[int]:
    """The application under uvicorn with the loop and parser that our server uses; yields its process id."""
    (directory / "bare_application.py").write_text(_APPLICATION)
    argv = [
        *(program("uvicorn"), "bare_application:app", "--app-dir", str(directory), "--port", str(port)),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
        *("--no-server-header", "--timeout-keep-alive", "120"),
    ]
    with process(argv, output=directory / "bare.out") as running:
        yield running.pid


async def links(port: int, count: int) -> list[Link]:
    """Connections to it, once it listens."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _START_SECONDS
    while True:
        try:
            return [await Link.to("127.0.0.1", port) for _ in range(count)]
        except OSError:
            if loop.time() > deadline:
                raise BenchError("The bare application does not start.") from None
            await asyncio.sleep(0.05)


async def replay(every: Sequence[Link], requests: Sequence[bytes]) -> None:
    """Send these requests over every link, each after the answer to the one before."""
    left = len(every)
    done = asyncio.get_running_loop().create_future()

    def run(link: Link) -> None:
        rest = iter(requests)

        def step(_answer: bytes) -> None:
            nonlocal left
            following = next(rest, None)
            if following is not None:
                link.send(following, step)
                return
            left -= 1
            if left == 0:
                done.set_result(None)

        step(b"")

    for link in every:
        run(link)
    await asyncio.wait_for(done, 300)


if __name__ == "__main__":
    sys.exit("This is a part of bench.agents.")
