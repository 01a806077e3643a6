"""`longshore audit`: who changed what, and who was refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer

from longshore.cli.clients import client, explained
from longshore.cli.listing import Listing
from longshore.domain.audit import BEGINNING, BrokenChainError, Entry, Head, Outcome, Record, verified

app = typer.Typer(
    cls=Listing,
    invoke_without_command=True,
    help="Who changed what, and who was refused: one record a call, chained so that none can be altered unseen.",
)


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"


class OutcomeChoice(StrEnum):
    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    FAILED = "failed"


_EndpointUrl = Annotated[str | None, typer.Option(help="The server, if AWS_ENDPOINT_URL does not name it.")]
_MOMENT = "2026-11-24T18:00:00Z, or how long ago: 90s, 15m, 2h, 7d."


@app.callback()
@explained
def show(
    context: typer.Context,
    since: Annotated[str | None, typer.Option(help=f"From this moment on: {_MOMENT}")] = None,
    until: Annotated[str | None, typer.Option(help=f"Up to this moment: {_MOMENT}")] = None,
    user: Annotated[str | None, typer.Option(help="Whose calls: an ARN, or the name at its end.")] = None,
    operation: Annotated[str | None, typer.Option(help="Calls of this operation, as in CreateDeployment.")] = None,
    outcome: Annotated[OutcomeChoice | None, typer.Option(help="Calls that ended so.")] = None,
    resource: Annotated[str | None, typer.Option(help="Calls that named this: a name, an id or an ARN, whole.")] = None,
    output: Annotated[Output, typer.Option(help="text to read, json for a script.")] = Output.TEXT,
    endpoint_url: _EndpointUrl = None,
) -> None:
    """Show what was recorded, oldest first. `longshore audit verify` checks that nothing was altered.

    A call is recorded when it changes something or is refused.
    """
    if context.invoked_subcommand is not None:
        return
    first, last = _moment(since, "--since"), _moment(until, "--until")
    if first is not None and last is not None and last < first:
        raise typer.BadParameter("--until is before --since: exchange them.")
    filters = {
        "startTime": first,
        "endTime": last,
        "principal": user,
        "operation": operation,
        "outcome": outcome and outcome.value.capitalize(),
        "resource": resource,
    }
    pages = _pages(endpoint_url, {name: value for name, value in filters.items() if value is not None})
    records = (record for page in pages for record in page["records"])
    if output is Output.JSON:
        _show_json(records)
    else:
        for record in records:
            typer.echo(_line(record))


@app.command()
@explained
def verify(
    head: Annotated[
        str | None,
        typer.Option(help="SEQUENCE:HASH, as an earlier verify printed it: that record must still be there."),
    ] = None,
    endpoint_url: _EndpointUrl = None,
) -> None:
    """Fetch every record and check here that none was altered, taken out or put in; says where the chain breaks.

    Prints the chain's end. Kept elsewhere and given as --head another time, it proves that nothing before it was
    rewritten since, by whoever holds the database.
    """
    expected = _head(head)
    pages = _pages(endpoint_url, {})
    first = next(pages)
    # What is recorded while we read is for the next time.
    end = Head(sequence=first["head"]["sequence"], hash=first["head"]["hash"])
    records = (_record(record) for page in _chained(first, pages) for record in page["records"])
    is_there = expected is None or expected == Head(sequence=0, hash=BEGINNING)
    try:
        for record in verified(records, end):
            is_there = is_there or expected == Head(sequence=record.sequence, hash=record.hash)
    except BrokenChainError as broken:
        typer.echo(f"longshore audit: {broken}", err=True)
        raise typer.Exit(1) from None
    if not is_there:
        typer.echo(f"longshore audit: record {head} is not in the chain: what was recorded was rewritten.", err=True)
        raise typer.Exit(1)
    typer.echo(f"{end.sequence} records, unbroken. The chain's end: {end.sequence}:{end.hash}")


def _pages(endpoint_url: str | None, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    service = client("longshore", endpoint_url=endpoint_url)
    page = service.list_audit_records(**asked)
    yield page
    while following := page.get("nextToken"):
        page = service.list_audit_records(**asked, nextToken=following)
        yield page


def _chained(first: dict[str, Any], others: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield first
    yield from others


def _record(shown: dict[str, Any]) -> Record:
    entry = Entry(
        account=shown["account"],
        time=shown["time"].timestamp(),
        outcome=Outcome(shown["outcome"]),
        count=shown["count"],
        region=shown.get("region"),
        principal_arn=shown.get("principalArn"),
        access_key_id=shown.get("accessKeyId"),
        source=shown.get("source"),
        request_id=shown.get("requestId"),
        service=shown.get("service"),
        operation=shown.get("operation"),
        error_code=shown.get("errorCode"),
        resources=tuple((one["name"], one["value"]) for one in shown["resources"]),
    )
    return Record(sequence=shown["sequence"], entry=entry, previous_hash=shown["previousHash"], hash=shown["hash"])


def _line(record: dict[str, Any]) -> str:
    code = record.get("errorCode")
    parts = [
        f"{record['time'].astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        record["outcome"] + (f" ({code})" if code else ""),
        f"{record.get('service', '-')}:{record.get('operation', '-')}",
        f"by {record.get('principalArn', 'nobody known')}",
        f"from {record.get('source', '-')}",
        *(f"{one['name']}={one['value']}" for one in record["resources"]),
        *([f"{record['count']} times"] if record["count"] > 1 else []),
    ]
    # Names come from callers: nothing in them may move the cursor.
    return "".join(letter if letter.isprintable() else "?" for letter in "  ".join(parts))


def _show_json(records: Iterator[dict[str, Any]]) -> None:
    """One object, written as the records come: there may be more of them than fit in memory."""
    before = '{"AuditRecords": ['
    separator = f"{before}\n"
    for record in records:
        shown = {name[0].upper() + name[1:]: value for name, value in record.items()}
        typer.echo(separator + json.dumps(shown, default=lambda moment: moment.isoformat()), nl=False)
        separator = ",\n"
    typer.echo("\n]}" if separator == ",\n" else f"{before}]}}")


_AGO = re.compile(r"(\d{1,9})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _moment(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    if ago := _AGO.fullmatch(text):
        return datetime.now(UTC) - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{option} takes {_MOMENT}") from None
    return moment if moment.tzinfo else moment.astimezone()


def _head(text: str | None) -> Head | None:
    if text is None:
        return None
    known = re.fullmatch(r"(\d+):([0-9a-f]{64})", text)
    if known is None:
        raise typer.BadParameter("--head takes SEQUENCE:HASH, as `longshore audit verify` prints it")
    return Head(sequence=int(known[1]), hash=known[2])
