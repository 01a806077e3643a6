"""Service models: botocore's own, and those it does not ship, written by us beside this file."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botocore.model import ServiceModel

#: With this folder on its search path (``AWS_DATA_PATH``, or a session's data loader) botocore makes clients of ours.
DATA_PATH = str(Path(__file__).parent)


@functools.cache
def load(service_name: str) -> ServiceModel:
    """The model of a service by its botocore name, ours before botocore's; read on first use and kept.

    Models in the user's ``~/.aws/models`` are left out: what a server accepts must not depend on who started it.
    """
    # Imported here because the host agent imports this package and has no botocore.
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    loader = Loader(
        extra_search_paths=[DATA_PATH, Loader.BUILTIN_DATA_PATH],
        include_default_search_paths=False,
    )
    return ServiceModel(loader.load_service_model(service_name, "service-2"), service_name)
