"""`longshore server`: the control plane."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from longshore.server.logs import LogFormat, LogLevel


def server(
    data_dir: Annotated[Path, typer.Option(help="Where everything is kept; made if it is not there.")] = Path("data"),
    database_url: Annotated[
        str | None,
        typer.Option(
            envvar="LONGSHORE_DATABASE_URL",
            show_envvar=True,
            metavar="postgresql://USER:PASSWORD@HOST:PORT/DATABASE",
            help="PostgreSQL for the rows, which several servers may share. Without it, SQLite in DATA_DIR.",
        ),
    ] = None,
    listen: Annotated[str, typer.Option(help="HOST:PORT; port 0 takes a free one.")] = "127.0.0.1:8420",
    url: Annotated[
        str | None, typer.Option(help="Address by which clients and agents reach this server, if not the one above.")
    ] = None,
    s3_endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL|aws",
            help="Read bundles from this S3, with the AWS credentials of the environment, and not from the one that"
            " comes with the server. Several servers on one database need it.",
        ),
    ] = None,
    aws_endpoint: Annotated[
        str,
        typer.Option(
            metavar="onebox|aws|URL",
            help="Where EC2, Auto Scaling, ELB, CloudWatch, SNS and EventBridge are: the ones that come with the"
            " server, AWS's, with the credentials of the environment, or what speaks their APIs.",
        ),
    ] = "onebox",
    account_id: Annotated[str, typer.Option(help="Twelve digits that your ARNs will carry.")] = "000000000000",
    region: Annotated[str, typer.Option(help="Region that the printed settings name; every region works.")] = (
        "us-east-1"
    ),
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain, PEM.", exists=True)] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.", exists=True)] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen beyond loopback without TLS: something in front does it.")
    ] = False,
    limit: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=NUMBER", help="Another number for a limit, e.g. applications=5000. Repeatable."),
    ] = None,
    keep_deployments: Annotated[
        str | None,
        typer.Option(
            metavar="DAYS",
            help="Forget deployments this long after they have ended, but for each group's last and last successful"
            " one; else all are kept.",
        ),
    ] = None,
    alarms: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE=URL",
            help="Where alarms of deployment groups are besides CloudWatch: prometheus=URL or alertmanager=URL."
            " Repeatable.",
        ),
    ] = None,
    smtp: Annotated[
        str | None,
        typer.Option(
            envvar="LONGSHORE_SMTP",
            show_envvar=True,
            metavar="smtp[s]://USER:PASSWORD@HOST:PORT?from=ADDRESS",
            help="Mail server for the mail subscribers of the topics that come with the server.",
        ),
    ] = None,
    topics: Annotated[
        Path | None,
        typer.Option(help="YAML file of Apprise URLs by topic ARN: who is told of triggers without SNS.", exists=True),
    ] = None,
    log_format: Annotated[
        LogFormat | None, typer.Option(help="Of the lines on standard error; text on a terminal, else json.")
    ] = None,
    log_level: Annotated[
        LogLevel, typer.Option(help="The least that is logged; info has every change and refusal, debug every call.")
    ] = LogLevel.INFO,
) -> None:
    """Run the control plane: CodeDeploy's API, the agents' service and object storage on one port.

    Prints three export lines that point any AWS tool here, then serves until it is stopped. The owner's key is in
    DATA_DIR/credentials.
    """
    from longshore.api.limits import LimitError, with_changes
    from longshore.onebox.machinery.objects import StoreInUse
    from longshore.server.data_dir import UnfinishedRestoreError
    from longshore.server.main import CannotListenError, serve
    from longshore.server.settings import (
        Settings,
        SettingsError,
        parse_alarms,
        parse_days,
        parse_listen,
        parse_smtp,
        read_topics,
    )
    from longshore.store.errors import DatabaseError, DatabaseUrlError

    try:
        host, port = parse_listen(listen)
        settings = Settings(
            data_dir=data_dir.resolve(),
            database_url=database_url,
            host=host,
            port=port,
            account_id=account_id,
            region=region,
            public_url=url,
            s3_endpoint=s3_endpoint,
            aws_endpoint=aws_endpoint,
            tls_cert=tls_cert,
            tls_key=tls_key,
            insecure=insecure,
            limits=with_changes(limit or ()),
            keep_deployments=None if keep_deployments is None else parse_days(keep_deployments),
            alarms=tuple(map(parse_alarms, alarms or ())),
            mail_server=None if smtp is None else parse_smtp(smtp),
            topics={} if topics is None else read_topics(topics),
            log_format=log_format,
            log_level=log_level,
        )
    except (SettingsError, LimitError) as error:
        typer.echo(f"longshore server: {error}", err=True)
        raise typer.Exit(2) from None

    def announce(settings: Settings, port: int, credentials: Path) -> None:
        typer.echo(f"Longshore listens on {settings.url(port)}. Point any AWS tool here with:\n")
        typer.echo(f"export AWS_ENDPOINT_URL={settings.public_url or settings.url(port)}")
        typer.echo(f"export AWS_SHARED_CREDENTIALS_FILE={credentials}")
        typer.echo(f"export AWS_REGION={settings.region}\n")

    try:
        serve(settings, announce=announce)
    except (SettingsError, DatabaseUrlError) as error:
        typer.echo(f"longshore server: {error}", err=True)
        raise typer.Exit(2) from None
    except (CannotListenError, DatabaseError, UnfinishedRestoreError) as error:
        typer.echo(f"longshore server: {error}", err=True)
        raise typer.Exit(1) from None
    except StoreInUse:
        typer.echo(f"longshore server: another server uses {data_dir}. Stop it, or give another --data-dir.", err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        typer.echo(f"longshore server: cannot keep data in {data_dir}: {error.strerror or error}{where}.", err=True)
        raise typer.Exit(1) from None
