"""Clients for the server that the environment points to, as any AWS tool would make them."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import boto3
import botocore.session
import typer
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    SSLError,
)

from longshore import models

P = ParamSpec("P")
R = TypeVar("R")


def client(service: str, *, endpoint_url: str | None = None, region: str | None = None) -> Any:
    """A boto3 client of an AWS service, or of one of ours."""
    core = botocore.session.Session()
    core.get_component("data_loader").search_paths.insert(0, str(models.DATA_PATH))
    session = boto3.session.Session(botocore_session=core)
    return session.client(
        service,
        endpoint_url=endpoint_url,
        region_name=region or session.region_name or "us-east-1",
        config=Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 3}),
    )


def explained(command: Callable[P, R]) -> Callable[P, R]:
    """Turn what a client raises into a sentence, and exit code 1, or 2 for what no server was asked for."""

    @functools.wraps(command)
    def run(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            return command(*arguments, **options)
        except NoCredentialsError:
            problem = "no credentials found. Use the export lines that `longshore server` prints when it starts."
        except NoRegionError:
            problem = "no region set: export AWS_REGION, as `longshore server` prints it."
        except ParamValidationError as error:
            typer.echo(f"longshore: {' '.join(error.kwargs['report'].split())}.", err=True)
            raise typer.Exit(2) from None
        except ClientError as error:
            problem = f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
        except SSLError as error:
            problem = (
                f"{error} Is AWS_ENDPOINT_URL its address, and AWS_CA_BUNDLE the file of its certificate or authority?"
            )
        except BotoCoreError as error:
            problem = f"{error} Is `longshore server` running, and AWS_ENDPOINT_URL its address?"
        typer.echo(f"longshore: {problem}", err=True)
        raise typer.Exit(1)

    return run


def show_json(value: Any) -> None:
    """Print for a script: JSON, times as ISO texts."""
    typer.echo(json.dumps(value, indent=2, default=lambda moment: moment.isoformat()))
