"""`longshore demo`: the whole of it, on this machine, with nothing faked."""

from __future__ import annotations

import platform
import shlex
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from longshore.cli.demo.control import Server, Shell, program
from longshore.cli.demo.errors import DemoError
from longshore.cli.demo.ground import Ground, bases, left_behind, new_ground
from longshore.cli.demo.hosts import Host, hosts_with_views, plain_host, stop_agents
from longshore.cli.demo.story import Story
from longshore.onebox.machinery.host_view import HostViewError, why_not

_HOSTS = 5
_INTERRUPTED = 130


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the server and the hosts running, and say how to go on by hand.")
    ] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop what --keep left running, and do nothing else.")] = False,
) -> None:
    """Roll a small web shop over five hosts on this machine: release 1, release 2, and one that is broken.

    Everything is real: a server on a free loopback port, five agents with file systems and addresses of their own,
    and the aws command line, each of whose commands is shown. Takes about half a minute, and leaves nothing behind.

    Exit code: 0 everything went as promised; 1 something did not.
    """
    console = Console(highlight=False, soft_wrap=True)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        for ground in left_behind(kept_too=stop):
            console.print(f"Ending what an earlier demo left in {ground.directory}", style="dim")
            ground.clear()
        if stop:
            return
        kept = _run(console, keep=keep)
    except (DemoError, HostViewError) as error:
        console.print(f"\nlongshore demo: {error}", style="red", markup=False)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print("\nInterrupted; everything is stopped.")
        raise typer.Exit(_INTERRUPTED) from None
    raise typer.Exit(0 if kept else 1)


def _run(console: Console, *, keep: bool) -> bool:
    """Set the stage, tell the story, clear away; whether all promises were kept."""
    began = time.monotonic()
    program("aws")
    base, lacking = _base()
    with ExitStack() as undo:
        ground = new_ground(base)
        undo.callback(ground.clear)
        server = Server(ground.directory)
        undo.callback(server.stop)
        hosts = _make_hosts(console, ground, undo, lacking)
        console.print(f"$ {server.command}", style="bold cyan")
        server.start()
        for name, value in server.exports.items():
            console.print(f"$ export {name}={value}", style="bold cyan")
        shell = Shell(console, server.exports, ground.directory)
        story = Story(console=console, server=server, hosts=hosts, directory=ground.directory, shell=shell)
        kept = story.tell()
        console.print(
            f"\n{'All as promised' if kept else 'NOT as promised'}, in {time.monotonic() - began:.0f} seconds.",
            style="bold green" if kept else "bold red",
        )
        if keep:
            ground.keep()
            undo.pop_all()
            _say_how_to_go_on(console, ground, story)
    return kept


def _base() -> tuple[Path, str]:
    """Where hosts can have views of their own; or any place, and what is lacking."""
    lacking = ""
    for base in bases():
        reason = why_not(base)
        if reason is None:
            return base, ""
        lacking = lacking or reason
    return bases()[0], lacking


def _make_hosts(console: Console, ground: Ground, undo: ExitStack, lacking: str) -> list[Host]:
    if platform.system() != "Linux":
        raise DemoError(
            f"{lacking}. The agent runs on Linux only: run the demo in a Linux machine or container, as in\n"
            '  docker run --rm -it --privileged -v "$PWD":/longshore -w /longshore python:3 make demo'
        )
    if lacking:
        console.print(
            f"Five hosts need file systems of their own, and here they cannot have them: {lacking}.\n"
            "So there is one host, which shares this machine's files: its shop goes to a folder of the demo's.",
            style="yellow",
        )
        hosts = plain_host(ground.directory)
    else:
        hosts = hosts_with_views(ground.directory, _HOSTS)
    undo.callback(stop_agents, hosts)
    for host in hosts:
        host.prepare()
    return hosts


def _say_how_to_go_on(console: Console, ground: Ground, story: Story) -> None:
    host = story.hosts[0]
    lines = ["", "Everything is still running. To go on by hand:", ""]
    lines += [f"export PATH={Path(program('aws')).parent}:$PATH"]
    lines += [f"export {name}={value}" for name, value in story.server.exports.items()]
    lines += [
        "",
        "aws deploy list-deployments",
        f"longshore watch {story.last_deployment}",
        "# bring the hosts that failed back to release 2:",
        "aws deploy create-deployment --application-name shop --deployment-group-name prod "
        "--s3-location bucket=releases,key=shop-2.zip,bundleType=zip",
        f"curl http://{story.hosts[-1].address}/",
        "# the releases, to change and to push:",
        f"ls {ground.directory}/shop-*",
        f"# the log of {host.name}'s agent:",
        f"tail {host.log}",
    ]
    if host.view is not None:
        lines += [f"# a shell on {host.name}:", shlex.join(host.view.command(["sh"]))]
    lines += ["", "To stop it all: longshore demo --stop", ""]
    console.print("\n".join(lines), markup=False)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
