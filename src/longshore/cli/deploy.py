"""`longshore deploy`: what `aws deploy create-deployment` does, with parameters for the hooks."""

from __future__ import annotations

from typing import Annotated

import typer

from longshore import models
from longshore.cli import deployment_options as options
from longshore.cli.clients import client, explained, show_json
from longshore.cli.watch import Output, watch

_HELP = f"""Deploy, as `aws deploy create-deployment` does, with parameters for the hooks.

Options are those of the aws command; `longshore plan` takes them too and shows what would happen. Each --parameter is
an environment variable of every hook of the deployment. A rollback and a restart use the parameters of the deployment
whose revision they bring back. Parameters are shown to whoever may look at the deployment: no place for secrets.

Example: longshore deploy --application-name shop --deployment-group-name prod --s3-location
bucket=releases,key=shop/7.zip,bundleType=zip --parameter COLOUR=blue --watch

The plain aws command can do the same, told of our model:
AWS_DATA_PATH={models.DATA_PATH} aws longshore create-deployment --parameters name=COLOUR,value=blue …
"""


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
    application_name: options.Application,
    deployment_group_name: options.Group,
    s3_location: options.S3Location = None,
    github_location: options.GitHubLocation = None,
    revision: options.Revision = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A variable of the hooks: capitals, digits, underscores. Repeatable."),
    ] = None,
    deployment_config_name: options.Config = None,
    update_outdated_instances_only: options.OutdatedOnly = False,
    deployment_mode: options.Mode = None,
    target_instances: options.TargetInstances = None,
    description: Annotated[str | None, typer.Option(help="A comment on the deployment.")] = None,
    is_watched: Annotated[bool, typer.Option("--watch", help="Go on as `longshore watch`.")] = False,
    output: Annotated[Output, typer.Option(help="text to read, json for a script.")] = Output.TEXT,
    endpoint_url: Annotated[str | None, typer.Option(help="The server, if AWS_ENDPOINT_URL does not name it.")] = None,
) -> None:
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
    asked |= {"parameters": _parameters(parameter or [])} | ({"description": description} if description else {})
    made = client("longshore", endpoint_url=endpoint_url).create_deployment(**asked)
    if is_watched:
        return watch(made["deploymentId"], output, endpoint_url)
    if output is Output.JSON:
        show_json({"deploymentId": made["deploymentId"]})
    else:
        typer.echo(made["deploymentId"])


deploy.__doc__ = _HELP
