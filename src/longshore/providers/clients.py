"""boto3 clients of the services that the engine calls: AWS's own, onebox's, or those of what speaks their APIs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config

from longshore.domain.ids import Scope

#: A tick waits for the answer, seconds.
TIMEOUT = 5.0


class Clients:
    """Makes clients, each once. They may be used by several threads."""

    def __init__(
        self, *, endpoint_url: str | None, keys: Callable[[str], tuple[str, str]] | None = None, verify: bool = True
    ) -> None:
        """`endpoint_url` is where the services are; None: AWS's own.

        `keys` gives an account's access key id and secret. None: those of the environment, as any AWS tool finds them.
        `verify` says whether the endpoint's certificate must fit its name.
        """
        self._endpoint_url = endpoint_url
        self._keys = keys
        self._verify = verify
        self._made: dict[tuple[str, Scope], Any] = {}
        self._lock = threading.Lock()

    def client(self, service: str, scope: Scope) -> Any:
        """The client of a service for an account in a region. Raises BotoCoreError where botocore has no endpoint."""
        with self._lock:
            made = self._made.get((service, scope))
        if made is not None:
            return made
        key_id, secret = (None, None) if self._keys is None else self._keys(scope.account)
        session = boto3.session.Session()
        made = session.client(
            service,
            region_name=scope.region,
            endpoint_url=self._endpoint_url,
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            verify=self._verify,
            config=Config(connect_timeout=TIMEOUT, read_timeout=TIMEOUT, retries={"total_max_attempts": 2}),
        )
        if key_id is None and session.get_credentials() is None:
            return made  # where they come from may only be away
        with self._lock:
            return self._made.setdefault((service, scope), made)
