"""What the demo does, act by act, and what it promises in each."""

from __future__ import annotations

import configparser
import functools
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from rich.console import Console, RenderableType
from rich.text import Text

from longshore.cli.demo.control import Server, Shell
from longshore.cli.demo.errors import DemoError
from longshore.cli.demo.hosts import Host
from longshore.cli.demo.prober import Prober
from longshore.cli.demo.revisions import BROKEN_SAYS, make_revisions
from longshore.cli.watch import show
from longshore.cli.watch_follow import Follower, follow
from longshore.cli.watch_progress import Progress

_APPLICATION, _GROUP, _BUCKET = "shop", "prod", "releases"
_CONFIG = "CodeDeployDefault.HalfAtATime"
_ROLE = "arn:aws:iam::000000000000:role/CodeDeploy"
#: A deployment here takes seconds; one that takes this long never ends.
_DEPLOYMENT_SECONDS = 60.0
#: How often the table moves.
_LOOK_SECONDS = 0.1


@dataclass(kw_only=True)
class Story:
    """One run of the demo, once its server listens and its hosts are made."""

    console: Console
    server: Server
    hosts: list[Host]
    directory: Path
    shell: Shell
    #: What was promised, and whether it was kept.
    promises: list[tuple[str, bool]] = field(default_factory=list)
    last_deployment: str = ""

    @property
    def promised_healthy(self) -> int:
        """HalfAtATime: half of the hosts, rounded up, but always one may be worked on."""
        return min(math.ceil(len(self.hosts) / 2), len(self.hosts) - 1)

    @property
    def _count(self) -> int:
        return len(self.hosts)

    @property
    def _is_fleet(self) -> bool:
        """Whether there are hosts enough for any to be spared."""
        return self._count > 1

    def tell(self) -> bool:
        """All acts; whether every promise was kept."""
        folders = make_revisions(self.directory, self.hosts[0])
        self._say("An application, and hosts that can be told apart by their tags and keys")
        self.shell.run("aws", "deploy", "create-application", "--application-name", _APPLICATION)
        self._register_hosts()
        self._start_agents()
        self._create_group()
        self.shell.run("aws", "s3", "mb", f"s3://{_BUCKET}")
        self._first_release(folders[0])
        self._second_release(folders[1])
        self._broken_release(folders[2])
        return self._sum_up()

    def _register_hosts(self) -> None:
        account = _ROLE.split(":")[4]
        for host in self.hosts:
            self.shell.run(
                *("aws", "deploy", "register-on-premises-instance", "--instance-name", host.name),
                *("--iam-user-arn", f"arn:aws:iam::{account}:user/{host.name}"),
            )
        self.shell.run(
            *("aws", "deploy", "add-tags-to-on-premises-instances", "--tags", "Key=role,Value=web"),
            *("--instance-names", *(host.name for host in self.hosts)),
        )

    def _start_agents(self) -> None:
        exports = self.server.exports
        for host in self.hosts:
            made = self.shell.run("longshore", "keys", "create", "--user", host.name, "--output", "json", quiet=True)
            command = host.start_agent(
                json.loads(made)["AccessKey"], exports["AWS_ENDPOINT_URL"], exports["AWS_REGION"]
            )
            self.console.print(Text.assemble((f"{host.name}$ ", "dim"), (command, "bold cyan")))

    def _create_group(self) -> None:
        self.shell.run(
            *("aws", "deploy", "create-deployment-group", "--application-name", _APPLICATION),
            *("--deployment-group-name", _GROUP, "--deployment-config-name", _CONFIG, "--service-role-arn", _ROLE),
            *("--on-premises-tag-set", "onPremisesTagSetList=[[{Key=role,Value=web,Type=KEY_AND_VALUE}]]"),
        )

    def _first_release(self, folder: Path) -> None:
        self._say(f"Release 1 to {self._count} hosts, half of them at a time" if self._is_fleet else "Release 1")
        ended = self._deploy(1, folder)
        self._promise("release 1 was deployed to every host", self._succeeded(ended))
        for host in self.hosts:
            self.console.print(f"  http://{host.address}/  {host.answer('/') or 'does not answer'}")
        self._promise_release(1)

    def _second_release(self, folder: Path) -> None:
        self._say("Release 2, while customers keep asking every host")
        with self._prober() as prober:
            ended = self._deploy(2, folder, prober)
        self._promise("release 2 was deployed to every host", self._succeeded(ended))
        self._promise_release(2)
        self._promise_floor("release 2", prober)

    def _broken_release(self, folder: Path) -> None:
        limit = ": the deployment must stop before it harms more hosts than it may" if self._is_fleet else ""
        self._say(f"Release 3, which cannot start{limit}")
        with self._prober() as prober:
            ended = self._deploy(3, folder, prober)
        spared, total = self.promised_healthy, len(self.hosts)
        kept_back = (ended.counts.get("Failed", 0), ended.counts.get("Skipped", 0)) == (total - spared, spared)
        limit = f"stopped after {total - spared} hosts, and {spared} were spared" if self._is_fleet else "failed"
        self._promise(f"the broken release 3 {limit}", ended.status == "Failed" and kept_back)
        tails = [event.log_tail for target in ended.failed_targets if (event := target.failed_event)]
        self._promise("the failing script's log is on the screen", any(BROKEN_SAYS in tail for tail in tails))
        if self._is_fleet:
            self._promise(f"{spared} hosts still answer with release 2", self._versions().count("2") >= spared)
        self._promise_floor("release 3", prober)

    def _deploy(self, version: int, folder: Path, prober: Prober | None = None) -> Progress:
        key = f"shop-{version}.zip"
        self.shell.run(
            *("aws", "deploy", "push", "--application-name", _APPLICATION, "--ignore-hidden-files"),
            *("--s3-location", f"s3://{_BUCKET}/{key}", "--source", str(folder)),
            quiet=True,
        )
        answer = self.shell.run(
            *("aws", "deploy", "create-deployment", "--application-name", _APPLICATION),
            *("--deployment-group-name", _GROUP, "--s3-location", f"bucket={_BUCKET},key={key},bundleType=zip"),
            quiet=True,
        )
        self.last_deployment = json.loads(answer)["deploymentId"]
        self.console.print(Text.assemble(("$ ", "dim"), (f"longshore watch {self.last_deployment}", "bold cyan")))
        return show(
            self._looks(self.last_deployment),
            footer=lambda: [self._health(prober)] if prober and self._is_fleet else [],
            line=lambda text: self.console.print(f"  {text}", markup=False),
        )

    def _looks(self, deployment_id: str) -> Iterator[Progress]:
        """Each look at the deployment; raises `DemoError` when something died or nothing comes of it."""
        deadline = time.monotonic() + _DEPLOYMENT_SECONDS
        for seen in follow(Follower(self._codedeploy(), deployment_id), every=_LOOK_SECONDS):
            yield seen
            self.check()
            if time.monotonic() > deadline:
                agents = "\n".join(str(host.log) for host in self.hosts)
                raise DemoError(
                    f"{deployment_id} has not ended after {_DEPLOYMENT_SECONDS:.0f} s. {self.server.log_end()}\n"
                    f"The agents' logs:\n{agents}"
                )

    def check(self) -> None:
        """Raise `DemoError` when the server or an agent has died."""
        self.server.check()
        for host in self.hosts:
            host.check()

    def _codedeploy(self) -> Any:
        exports = self.server.exports
        owner = configparser.ConfigParser(interpolation=None)
        owner.read(exports["AWS_SHARED_CREDENTIALS_FILE"])
        session = boto3.session.Session(
            aws_access_key_id=owner["default"]["aws_access_key_id"],
            aws_secret_access_key=owner["default"]["aws_secret_access_key"],
            region_name=exports["AWS_REGION"],
        )
        return session.client(
            "codedeploy",
            endpoint_url=exports["AWS_ENDPOINT_URL"],
            config=Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 2}, proxies={}),
        )

    def _prober(self) -> Prober:
        return Prober({host.name: functools.partial(_is_well, host) for host in self.hosts})

    def _health(self, prober: Prober) -> RenderableType:
        style = "green" if prober.fewest >= self.promised_healthy else "bold red"
        return Text(
            f"{prober.answering} of {prober.total} hosts answer; never fewer than {prober.fewest}, "
            f"promised {self.promised_healthy}",
            style=style,
        )

    def _versions(self) -> list[str | None]:
        return [host.answer("/version") for host in self.hosts]

    def _promise(self, what: str, kept: bool) -> None:
        self.promises.append((what, kept))

    def _promise_release(self, version: int) -> None:
        who = f"all {self._count} hosts answer" if self._is_fleet else "the host answers"
        self._promise(f"{who} with release {version}", self._versions() == [str(version)] * self._count)

    def _promise_floor(self, release: str, prober: Prober) -> None:
        if not self._is_fleet:
            return
        self._promise(
            f"during {release} at least {prober.fewest} of {prober.total} hosts answered at every moment, "
            f"{self.promised_healthy} were promised ({prober.tries} requests)",
            prober.fewest >= self.promised_healthy,
        )

    def _succeeded(self, ended: Progress) -> bool:
        return ended.status == "Succeeded" and ended.counts == {"Succeeded": self._count}

    def _say(self, what: str) -> None:
        self.console.print()
        self.console.print(what, style="bold")

    def _sum_up(self) -> bool:
        self._say("What was promised")
        for what, kept in self.promises:
            mark, style = ("✔", "green") if kept else ("✘", "bold red")
            self.console.print(Text.assemble((f"  {mark} ", style), what))
        return all(kept for _, kept in self.promises)


def _is_well(host: Host) -> bool:
    return host.answer("/health", seconds=3.0) is not None
