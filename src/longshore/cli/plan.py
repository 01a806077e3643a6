"""`longshore plan`: what a deployment would do, before it is made."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from longshore.cli import deployment_options as options
from longshore.cli.clients import client, explained, show_json

#: Instances shown one by one; of the others the waves' sizes.
_MOST_SHOWN = 40
#: Originals named in their line.
_MOST_NAMED = 8
_INSTALLED = {
    "PLANNED": ("has it already", "green"),
    "CURRENT": ("runs the current one", ""),
    "OTHER": ("runs another one", "yellow"),
    "UNKNOWN": ("not known", "dim"),
}

_HEALTHY: dict[bool | None, str | Text] = {
    True: "yes",
    False: Text("no", style="yellow"),
    None: Text("not known", style="dim"),
}


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"


@explained
def plan(
    application_name: options.Application,
    deployment_group_name: options.Group,
    s3_location: options.S3Location = None,
    github_location: options.GitHubLocation = None,
    revision: options.Revision = None,
    deployment_config_name: options.Config = None,
    update_outdated_instances_only: options.OutdatedOnly = False,
    deployment_mode: options.Mode = None,
    target_instances: options.TargetInstances = None,
    output: Annotated[Output, typer.Option(help="text to read, json for a script.")] = Output.TEXT,
    endpoint_url: Annotated[str | None, typer.Option(help="The server, if AWS_ENDPOINT_URL does not name it.")] = None,
) -> None:
    """Show what `aws deploy create-deployment` with the same options would do now. Nothing is changed.

    Which instances take part, in which order and how many at a time; how many stay up; how long it may take, from the
    last success; and everything that will make it fail.

    Exit code: 0 it can be deployed; 1 it would be refused or fail; 2 used wrongly.
    """
    asked = options.asked_for(
        application_name,
        deployment_group_name,
        s3_location=s3_location,
        github_location=github_location,
        revision=revision,
        config=deployment_config_name,
        outdated_only=update_outdated_instances_only,
        mode=deployment_mode,
        target_instances=target_instances,
    )
    made = client("longshore", endpoint_url=endpoint_url).plan_deployment(**asked)
    del made["ResponseMetadata"]
    if output is Output.JSON:
        show_json(made)
    else:
        _show(made)
    raise typer.Exit(1 if any(problem["isFatal"] for problem in made["problems"]) else 0)


def _show(made: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    config = made["deploymentConfigName"].removeprefix("CodeDeployDefault.")
    console.print(Text.assemble("deploys  ", (_named(made["revision"]), "bold"), f"  with {config}"))
    if current := made.get("currentRevision"):
        is_same = current == made["revision"]
        console.print(f"replaces {'the same revision' if is_same else _named(current)}")
    instances = made["instances"]
    if instances and made["waves"]:
        waves = f"{made['waves']} wave{'s' if made['waves'] > 1 else ''}"
        blue_green = made.get("blueGreen")
        stays = "stay up" if blue_green is None else "must come through"
        console.print(
            f"on {_targets(len(instances), blue_green)}, at most {made['instancesAtOnce']} at a time: {waves};"
            f" {made['minimumHealthyInstances']} {stays}"
        )
        if balancers := made.get("loadBalancers"):
            is_in_place = "BlockTraffic" in made["lifecycleEvents"]
            how = (
                "out while it is deployed to, back when healthy" if is_in_place else "these get its traffic when ready"
            )
            console.print(f"behind   {', '.join(balancers)}: {how}")
        if blue_green is not None:
            _show_originals(console, blue_green)
        console.print(_table(instances))
    elif not instances and not made["problems"]:
        console.print("on no instance: all of the deployment group have the revision already")
    if "estimatedSeconds" in made:
        what = "takes" if "blueGreen" not in made else "is at work for"
        console.print(f"{what} about {made['estimatedSeconds']:.0f} s, as the last success did")
    for problem in made["problems"]:
        mark, style = ("✘ will fail:", "bold red") if problem["isFatal"] else ("! ", "yellow")
        console.print(Text.assemble((f"{mark} {problem['code']}", style), f"  {problem['message']}"))
    if not made["problems"]:
        console.print(Text("✔ nothing speaks against it", style="green"))


def _targets(count: int, blue_green: dict[str, Any] | None) -> str:
    if blue_green is None:
        return f"{count} instance(s)"
    copied = blue_green.get("copiedAutoScalingGroup")
    return f"{count} replacement(s)" if copied is None else f"as many new instances as these {count} of {copied}"


def _show_originals(console: Console, blue_green: dict[str, Any]) -> None:
    """What becomes of those that serve, and when."""
    if (wait := blue_green.get("readyWaitSeconds")) is not None:
        console.print(f"waits    at most {_minutes(wait)} for: aws deploy continue-deployment; then it stops")
    originals = blue_green["originals"]
    if not originals:
        console.print("then     no original loses traffic: the group has no other instances")
        return
    named = ", ".join(originals[:_MOST_NAMED]) + (" …" if len(originals) > _MOST_NAMED else "")
    after = blue_green.get("terminationWaitSeconds")
    if after is None:
        end = "they are kept, and leave the group"
    else:
        end = "they are terminated" + (f" {_minutes(after)} later" if after else "")
    console.print(f"then     {len(originals)} original(s) lose their traffic, all at once; {end}: {named}")


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:g} min"


def _table(instances: list[dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    has_zones = any("availabilityZone" in one for one in instances)
    for name in ("wave", *(["zone"] if has_zones else []), "instance", "healthy", "revision", "agent seen"):
        table.add_column(name, justify="right" if name == "wave" else "left")
    for one in instances[:_MOST_SHOWN]:
        said, style = _INSTALLED[one["installedRevision"]]
        seen = one.get("lastSeenTime")
        table.add_row(
            str(one["wave"]),
            *([one.get("availabilityZone", "")] if has_zones else []),
            one["instanceName"],
            _HEALTHY[one.get("isHealthy")],
            Text(said, style=style),
            f"{seen:%Y-%m-%d %H:%M}" if seen else "",
        )
    if len(instances) > _MOST_SHOWN:
        table.add_row("", Text(f"… {len(instances) - _MOST_SHOWN} more", style="dim"))
    return table


def _named(location: dict[str, Any]) -> str:
    """A revision in a few words."""
    if s3 := location.get("s3Location"):
        version = f" version {s3['version']}" if s3.get("version") else ""
        return f"s3://{s3['bucket']}/{s3['key']}{version}"
    if github := location.get("gitHubLocation"):
        return f"{github['repository']} at {github['commitId'][:12]}"
    return str(location.get("revisionType", "a revision"))
