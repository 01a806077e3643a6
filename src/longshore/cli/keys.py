"""`longshore keys`: what hosts sign with."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from longshore.cli.clients import client, explained, show_json
from longshore.cli.listing import Listing

app = typer.Typer(
    cls=Listing, no_args_is_help=True, help="Access keys of hosts. A host's key lets it poll and report as itself."
)


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"


_Output = Annotated[Output, typer.Option(help="text to read, json for a script.")]
_EndpointUrl = Annotated[str | None, typer.Option(help="The server, if AWS_ENDPOINT_URL does not name it.")]


@app.command()
@explained
def create(
    user: Annotated[str, typer.Option(help="Name of the user, as in the instance's iam-user-arn.")],
    output: _Output = Output.TEXT,
    endpoint_url: _EndpointUrl = None,
) -> None:
    """Make a key for a host's user. Its secret is shown once, here.

    As text, it comes as lines for the agent's configuration file.
    """
    service = client("longshore", endpoint_url=endpoint_url)
    key = service.create_access_key(userName=user)["accessKey"]
    if output is Output.JSON:
        show_json({"AccessKey": {_member(name): value for name, value in key.items()}})
        return
    typer.echo(f"region: {service.meta.region_name}")
    typer.echo(f"iam_user_arn: {key['userArn']}")
    typer.echo(f"aws_access_key_id: {key['accessKeyId']}")
    typer.echo(f"aws_secret_access_key: {key['secretAccessKey']}")
    typer.echo(f"specification_signer: {key['specificationSigner']}")


@app.command("list")
@explained
def list_keys(
    user: Annotated[str | None, typer.Option(help="Only this user's.")] = None,
    output: _Output = Output.TEXT,
    endpoint_url: _EndpointUrl = None,
) -> None:
    """Show who holds which keys, without their secrets."""
    asked = {"userName": user} if user else {}
    held = client("longshore", endpoint_url=endpoint_url).list_access_keys(**asked)["accessKeys"]
    if output is Output.JSON:
        show_json({"AccessKeys": [{_member(name): value for name, value in key.items()} for key in held]})
        return
    for key in held:
        typer.echo(f"{key['accessKeyId']}  {key['userName']}  made {key['createTime']:%Y-%m-%d %H:%M}")
    if not held:
        typer.echo("No keys. Make one with: longshore keys create --user NAME")


@app.command()
@explained
def delete(
    access_key_id: Annotated[str, typer.Argument(help="The key's id, AKIA…")], endpoint_url: _EndpointUrl = None
) -> None:
    """Take a key away: the host that signs with it is locked out at once."""
    client("longshore", endpoint_url=endpoint_url).delete_access_key(accessKeyId=access_key_id)
    typer.echo(f"{access_key_id} is gone.")


def _member(name: str) -> str:
    """A member in the spelling of `aws iam create-access-key`, which scripts know."""
    return name[0].upper() + name[1:]
