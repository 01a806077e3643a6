"""`longshore deploy`: what `aws deploy create-deployment` does, with parameters for the hooks."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from longshore import models
from longshore.cli.clients import client, explained, show_json
from longshore.cli.watch import Output, watch

_HELP = f"""Deploy a revision that is in S3 or at GitHub, with parameters for its hooks.

Options are those of `aws deploy create-deployment`, and each --parameter is an environment variable of every hook of
the deployment. A rollback and a restart use the parameters of the deployment whose revision they bring back. Parameters
are shown to whoever may look at the deployment: no place for secrets.

Example: longshore deploy --application-name shop --deployment-group-name prod --s3-location
bucket=releases,key=shop/7.zip,bundleType=zip --parameter COLOUR=blue --watch

The plain aws command can do the same, told of our model:
AWS_DATA_PATH={models.DATA_PATH} aws longshore create-deployment --parameters name=COLOUR,value=blue …
"""


def _pairs(option: str, said: str, *known: str) -> dict[str, str]:
    """`key=value,key=value`, as the aws command takes it."""
    pairs = {}
    for part in said.split(","):
        name, equals, value = part.strip().partition("=")
        if name not in known or not equals:
            raise typer.BadParameter(f"{option} takes {','.join(f'{each}=…' for each in known)}; not {part!r}")
        pairs[name] = value
    return pairs


def _revision(s3: str | None, github: str | None) -> dict[str, Any]:
    if (s3 is None) == (github is None):
        raise typer.BadParameter("say what to deploy: --s3-location or --github-location")
    if s3 is not None:
        location = _pairs("--s3-location", s3, "bucket", "key", "bundleType", "version", "eTag")
        return {"revisionType": "S3", "s3Location": location}
    assert github is not None
    return {"revisionType": "GitHub", "gitHubLocation": _pairs("--github-location", github, "repository", "commitId")}


def _parameters(given: list[str]) -> list[dict[str, str]]:
    parameters = []
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise typer.BadParameter(f"--parameter takes NAME=VALUE; not {each!r}")
        parameters.append({"name": name, "value": value})
    return parameters


@explained
def deploy(
    application_name: Annotated[str, typer.Option(help="The application.")],
    deployment_group_name: Annotated[str, typer.Option(help="The deployment group.")],
    s3_location: Annotated[
        str | None, typer.Option(metavar="bucket=…,key=…,bundleType=…", help="A bundle in S3.")
    ] = None,
    github_location: Annotated[
        str | None, typer.Option(metavar="repository=…,commitId=…", help="A commit at GitHub, or of any git host.")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A variable of the hooks: capitals, digits, underscores. Repeatable."),
    ] = None,
    deployment_config_name: Annotated[str | None, typer.Option(help="The pace; else the group's.")] = None,
    description: Annotated[str | None, typer.Option(help="A comment on the deployment.")] = None,
    is_watched: Annotated[bool, typer.Option("--watch", help="Go on as `longshore watch`.")] = False,
    output: Annotated[Output, typer.Option(help="text to read, json for a script.")] = Output.TEXT,
    endpoint_url: Annotated[str | None, typer.Option(help="The server, if AWS_ENDPOINT_URL does not name it.")] = None,
) -> None:
    asked = {
        "applicationName": application_name,
        "deploymentGroupName": deployment_group_name,
        "revision": _revision(s3_location, github_location),
        "deploymentConfigName": deployment_config_name,
        "description": description,
        "parameters": _parameters(parameter or []),
    }
    service = client("longshore", endpoint_url=endpoint_url)
    made = service.create_deployment(**{name: value for name, value in asked.items() if value is not None})
    if is_watched:
        return watch(made["deploymentId"], output, endpoint_url)
    if output is Output.JSON:
        show_json({"deploymentId": made["deploymentId"]})
    else:
        typer.echo(made["deploymentId"])


deploy.__doc__ = _HELP
