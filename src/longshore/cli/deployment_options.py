"""The options by which `longshore plan` and `longshore deploy` are told of a deployment: those of `aws deploy`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

Application = Annotated[str, typer.Option("--application-name", help="The application.")]
Group = Annotated[str, typer.Option("--deployment-group-name", help="The deployment group.")]
S3Location = Annotated[
    str | None,
    typer.Option("--s3-location", help="bucket=…,key=…,bundleType=zip|tgz|tar[,version=…][,eTag=…]"),
]
GitHubLocation = Annotated[str | None, typer.Option("--github-location", help="repository=…,commitId=…")]
Revision = Annotated[str | None, typer.Option("--revision", help="The revision as JSON, as `aws deploy` takes it.")]
Config = Annotated[str | None, typer.Option("--deployment-config-name", help="If it is not the group's own.")]
OutdatedOnly = Annotated[
    bool, typer.Option("--update-outdated-instances-only", help="Leave out instances that are up to date.")
]
TargetInstances = Annotated[
    str | None,
    typer.Option("--target-instances", help="The replacements of a blue/green deployment, as JSON."),
]
Mode = Annotated[str | None, typer.Option("--deployment-mode", help="STANDARD or RESTART.")]


def asked_for(
    application: str,
    group: str,
    *,
    s3_location: str | None,
    github_location: str | None,
    revision: str | None,
    config: str | None,
    outdated_only: bool,
    mode: str | None,
    target_instances: str | None,
) -> dict[str, Any]:
    """The members of CreateDeployment that these options mean; raises typer.BadParameter."""
    asked: dict[str, Any] = {
        "applicationName": application,
        "deploymentGroupName": group,
        "revision": _revision(s3_location, github_location, revision),
        "deploymentConfigName": config,
        "updateOutdatedInstancesOnly": outdated_only or None,
        "deploymentMode": mode,
        "targetInstances": None if target_instances is None else _object(target_instances, "--target-instances"),
    }
    return {name: value for name, value in asked.items() if value is not None}


def _revision(s3: str | None, github: str | None, whole: str | None) -> dict[str, Any] | None:
    if sum(given is not None for given in (s3, github, whole)) > 1:
        raise typer.BadParameter("give one of --s3-location, --github-location and --revision")
    if s3 is not None:
        return {"revisionType": "S3", "s3Location": _members(s3, "--s3-location")}
    if github is not None:
        return {"revisionType": "GitHub", "gitHubLocation": _members(github, "--github-location")}
    return None if whole is None else _object(whole, "--revision")


def _object(text: str, option: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{option} must be a JSON object")
    return found


def _members(text: str, option: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",")]
    if any(not separator or not name for name, separator, _ in pairs):
        raise typer.BadParameter(f"{option} is a list of name=value with commas between, not {text!r}")
    return {name: value for name, _, value in pairs}
