"""A file of settings: YAML, each value checked for its kind as it is taken (agent.md 7.1.1)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from longshore.agent.errors import ConfigError


class Settings:
    """Values of one file, each checked for its kind as it is taken."""

    def __init__(self, values: Mapping[str, object], path: Path) -> None:
        self.values = values
        self.path = path

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        if value is None or value == "":
            return None
        if isinstance(value, dict | list):
            raise ConfigError(f"{self.path}: {key} must be one plain value")
        return str(value)

    def url(self, key: str) -> str | None:
        value = self.text(key)
        if value is not None and not is_url(value):
            raise ConfigError(f"{self.path}: {key} must be a URL like https://host:8420, not {value!r}")
        return value

    def needed(self, key: str) -> str:
        value = self.text(key)
        if value is None:
            raise ConfigError(f"{self.path}: {key} is missing; it names this host to the control plane")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.values.get(key)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        raise ConfigError(f"{self.path}: {key} must be true or false, not {value!r}")

    def number(self, key: str, default: float, *, at_least: float) -> float:
        value = self.values.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= at_least:
            raise ConfigError(f"{self.path}: {key} must be a number of at least {at_least:g}, not {value!r}")
        return value


def read(path: Path) -> dict[str, object]:
    """A YAML mapping whose keys may carry a leading colon (Ruby symbols, agent.md 7.1.1)."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the configuration file {path}: {error.strerror}") from None
    try:
        parsed = yaml.load(raw, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(parsed, dict):
        raise ConfigError(f"{path} must hold keys and values (key: value); it holds {type(parsed).__name__}")
    return {str(key).removeprefix(":"): value for key, value in parsed.items()}


def is_url(said: str) -> bool:
    try:
        parts = urlsplit(said)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
