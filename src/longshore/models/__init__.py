"""Service models: botocore's own, and those it does not ship, written by us beside this file."""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

#: With this folder on its search path (``AWS_DATA_PATH``, or a session's data loader) botocore makes clients of ours.
DATA_PATH = str(Path(__file__).parent)

#: The metadata of every model ends before this many characters.
_HEAD = 8192


@functools.cache
def load(service_name: str) -> ServiceModel:
    """The model of a service by its botocore name, ours before botocore's; read on first use and kept.

    Models in the user's ``~/.aws/models`` are left out: what a server accepts must not depend on who started it.
    """
    # Imported here because the host agent imports this package and has no botocore.
    from botocore.model import ServiceModel

    return ServiceModel(_description(service_name), service_name)


@functools.cache
def load_later(service_name: str) -> ServiceModel:
    """One of botocore's models, of which only the head is read until somebody asks for an operation or a shape.

    For a large one that not every server needs: EC2's takes 60 ms and 15 MB.
    """
    from botocore.model import ServiceModel

    whole = functools.cache(lambda: _description(service_name))
    sections = {section: _Later(whole, section) for section in ("operations", "shapes")}
    return ServiceModel({"metadata": _metadata(service_name), **sections}, service_name)


class _Later(Mapping[str, Any]):
    """A section of a description, which is read when it is looked into."""

    def __init__(self, description: Callable[[], Mapping[str, Any]], section: str) -> None:
        self._description = description
        self._section = section

    def __getitem__(self, name: str) -> Any:
        return self._description()[self._section][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._description()[self._section])

    def __len__(self) -> int:
        return len(self._description()[self._section])


def _description(service_name: str) -> dict[str, Any]:
    description: dict[str, Any] = loader().load_service_model(service_name, "service-2")
    return description


def _metadata(service_name: str) -> dict[str, Any]:
    """What a model's head says of the service: it comes first in the file."""
    version = loader().determine_latest_version(service_name, "service-2")
    path = Path(_builtin(), service_name, version, "service-2.json.gz")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        head = file.read(_HEAD)
    metadata: dict[str, Any]
    metadata, _ = json.JSONDecoder().raw_decode(head, head.index("{", head.index('"metadata"')))
    return metadata


@functools.cache
def loader() -> Loader:
    """Reads the models, each once."""
    from botocore.loaders import Loader

    return Loader(extra_search_paths=[DATA_PATH, _builtin()], include_default_search_paths=False)


@functools.cache
def loader_of_clients() -> Loader:
    """Where sessions of this process are to find models, each read once for all of them.

    They share what is served here too, for EC2's is 15 MB; but not S3's, which botocore changes as it makes a client.
    """
    from botocore.loaders import Loader

    class Sharing(Loader):  # type: ignore[misc]  # botocore's loaders have no types
        def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
            read = super().load_service_model if service_name == "s3" else loader().load_service_model
            return read(service_name, type_name, api_version)

    return Sharing(extra_search_paths=[DATA_PATH, _builtin()], include_default_search_paths=False)


def _builtin() -> str:
    from botocore.loaders import Loader

    return str(Loader.BUILTIN_DATA_PATH)
