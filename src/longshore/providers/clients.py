"""boto3 clients of the services that the engine calls: AWS's own, onebox's, or those of what speaks their APIs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.loaders import Loader

from longshore.domain.ids import Scope

#: A tick waits for the answer, seconds.
TIMEOUT = 5.0


class Clients:
    """Makes clients, each once. They may be used by several threads."""

    def __init__(
        self,
        *,
        endpoint_url: str | None,
        keys: Callable[[str], tuple[str, str]] | None = None,
        verify: bool = True,
        loader: Loader | None = None,
    ) -> None:
        """`endpoint_url` is where the services are; None: AWS's own.

        `keys` gives an account's access key id and secret. None: those of the environment, as any AWS tool finds them.
        `verify` says whether the endpoint's certificate must fit its name.
        `loader` reads the models, each once, however many sessions there are. None: those of any AWS tool.
        """
        self._loader = loader or Loader(extra_search_paths=[Loader.CUSTOMER_DATA_PATH])
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
        session = self.session()
        if self._keys is not None:
            session.set_credentials(*self._keys(scope.account))
        made = self.of_session(session, service, scope.region)
        if session.get_credentials() is None:
            return made  # where they come from may only be away
        with self._lock:
            return self._made.setdefault((service, scope), made)

    def session(self) -> botocore.session.Session:
        """A session with nobody's key as yet."""
        session = botocore.session.Session()
        session.register_component("data_loader", self._loader)
        return session

    def of_session(self, session: botocore.session.Session, service: str, region: str) -> Any:
        """A client that signs with a session's key. Raises as `client` does."""
        return session.create_client(
            service,
            region_name=region,
            endpoint_url=self._endpoint_url,
            verify=self._verify,
            config=Config(
                connect_timeout=TIMEOUT, read_timeout=TIMEOUT, retries={"mode": "standard", "total_max_attempts": 2}
            ),
        )
