"""`longshore tokens`: what lets hosts enroll."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any

import typer

from longshore.cli.clients import client, explained, show_json
from longshore.cli.listing import Listing

app = typer.Typer(
    cls=Listing, no_args_is_help=True, help="Tokens by which hosts enroll themselves: longshore agent enroll."
)


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"


_Output = Annotated[Output, typer.Option(help="text to read, json for a script.")]
_EndpointUrl = Annotated[str | None, typer.Option(help="The server, if AWS_ENDPOINT_URL does not name it.")]
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}


@app.command()
@explained
def create(
    name_pattern: Annotated[str | None, typer.Option(help="Names hosts may take, as in 'web-*'; else any.")] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="A tag hosts may take, repeatable; else any."),
    ] = None,
    expires: Annotated[str, typer.Option(help="How long it is good for: 90s, 15m, 1h, 7d.")] = "1h",
    uses: Annotated[int, typer.Option(min=1, help="How many hosts it is good for.")] = 1,
    output: _Output = Output.TEXT,
    endpoint_url: _EndpointUrl = None,
) -> None:
    """Make a token. It is shown once, here; whoever holds it can enroll a host, within its limits."""
    asked: dict[str, Any] = {"expiresInSeconds": _seconds(expires), "uses": uses}
    if name_pattern is not None:
        asked["namePattern"] = name_pattern
    if tag:
        asked["tags"] = [_tag(one) for one in tag]
    made = client("longshore", endpoint_url=endpoint_url).create_enrollment_token(**asked)
    if output is Output.JSON:
        show_json({"Token": made["token"], "EnrollmentToken": _members(made["enrollmentToken"])})
        return
    typer.echo(made["token"])
    hosts = "one host" if uses == 1 else f"{uses} hosts"
    typer.echo(f"Good for {hosts}, until {made['enrollmentToken']['expireTime']:%Y-%m-%d %H:%M}.", err=True)


@app.command("list")
@explained
def list_tokens(output: _Output = Output.TEXT, endpoint_url: _EndpointUrl = None) -> None:
    """Show the tokens of the region, newest first: their limits, and which hosts used them."""
    service = client("longshore", endpoint_url=endpoint_url)
    found: list[dict[str, Any]] = []
    asked: dict[str, Any] = {}
    while True:
        page = service.list_enrollment_tokens(**asked)
        found += page["enrollmentTokens"]
        if "nextToken" not in page:
            break
        asked = {"nextToken": page["nextToken"]}
    if output is Output.JSON:
        show_json({"EnrollmentTokens": [_members(one) for one in found]})
        return
    for one in found:
        typer.echo(_line(one))
    if not found:
        typer.echo("No tokens. Make one with: longshore tokens create")


@app.command()
@explained
def revoke(
    token_id: Annotated[str, typer.Argument(help="The token's id, LSET…, as list shows it.")],
    endpoint_url: _EndpointUrl = None,
) -> None:
    """Take a token away: no host enrolls with it any more. Hosts that did stay enrolled."""
    client("longshore", endpoint_url=endpoint_url).revoke_enrollment_token(tokenId=token_id)
    typer.echo(f"{token_id} is good for nothing any more.")


def _line(one: dict[str, Any]) -> str:
    names = one["usedByInstanceNames"]
    limits = [f"names {one['namePattern']}"] if "namePattern" in one else []
    limits += [f"{tag['key']}={tag['value']}" for tag in one.get("tags", ())]
    ended = "revokeTime" in one
    end = f"{'revoked' if ended else 'until'} {one['revokeTime' if ended else 'expireTime']:%Y-%m-%d %H:%M}"
    used = f"{len(names)} of {one['uses']} used" + (f" ({', '.join(names)})" if names else "")
    return "  ".join([one["tokenId"], end, used, *limits])


def _seconds(said: str) -> int:
    found = re.fullmatch(r"(\d{1,9})([smhd])", said)
    if found is None:
        raise typer.BadParameter(f"{said} is no length of time; write 90s, 15m, 1h or 7d", param_hint="--expires")
    return int(found[1]) * _SECONDS[found[2]]


def _tag(said: str) -> dict[str, str]:
    key, equals, value = said.partition("=")
    if not equals or not key:
        raise typer.BadParameter(f"{said} is not KEY=VALUE", param_hint="--tag")
    return {"key": key, "value": value}


def _members(shown: dict[str, Any]) -> dict[str, Any]:
    """In the spelling of `longshore keys` and the IAM commands."""
    members = {name[0].upper() + name[1:]: value for name, value in shown.items()}
    if "Tags" in members:
        members["Tags"] = [{"Key": tag["key"], "Value": tag["value"]} for tag in members["Tags"]]
    return members
