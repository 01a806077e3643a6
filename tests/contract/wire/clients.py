"""botocore clients in a protocol of our choice."""

from __future__ import annotations

from typing import Any

import botocore.loaders
import botocore.session


def in_cbor(service: str, **connection: Any) -> Any:
    """A client that speaks Smithy RPC v2 CBOR, though botocore prefers JSON where a service speaks both."""
    return only_in("smithy-rpc-v2-cbor", service, **connection)


def only_in(protocol: str, service: str, **connection: Any) -> Any:
    """A client that speaks this of a service's protocols, by its name in the model."""
    session = botocore.session.Session()
    loader = session.get_component("data_loader")
    load = loader.load_service_model

    def load_service_model(service_name: str, type_name: str, api_version: str | None = None) -> Any:
        model = load(service_name, type_name, api_version)
        if type_name != "service-2":
            return model
        return model | {"metadata": model["metadata"] | {"protocols": [protocol]}}

    loader.load_service_model = load_service_model
    return session.create_client(service, **connection)
