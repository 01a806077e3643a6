"""Who this host is to the control plane, and the keys it signs with (agent.md 7.2, 7.4)."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from longshore.agent.errors import WireError


class Credentials(NamedTuple):
    """Keys to sign with."""

    access_key: str
    secret_key: str
    token: str | None = None

    def __repr__(self) -> str:
        return f"Credentials({self.access_key})"


class Provider(Protocol):
    """Where the keys come from."""

    def credentials(self) -> Credentials:
        """The keys to sign the next request with."""


class UserCredentials:
    """Keys of an IAM user. With the file they stand in, keys that are put there later are used from then on."""

    def __init__(
        self,
        access_key: str,
        secret_key: str,
        *,
        path: Path | None = None,
        read_again: Callable[[], Credentials] | None = None,
    ) -> None:
        """`read_again` gives what `path` holds now; whatever it raises, the keys stay as they are."""
        self._keys = Credentials(access_key, secret_key)
        self._path = path
        self._read_again = read_again
        self._version = 0
        self._version = self._changed()

    def credentials(self) -> Credentials:
        """The keys now."""
        changed = self._changed()
        if changed != self._version and self._read_again is not None:
            # Perhaps only half of it is written: then it is looked at again, and until then the old keys are tried.
            with suppress(Exception):
                self._keys = self._read_again()
                self._version = changed
        return self._keys

    def _changed(self) -> int:
        try:
            return self._path.stat().st_mtime_ns if self._path is not None else 0
        except OSError:
            return self._version


class SessionCredentials:
    """Keys of an assumed role, which something outside keeps fresh in a credentials file."""

    #: How long the file is trusted before it is read again (agent.md 7.2).
    VALID_SECONDS = 30 * 60

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys: Credentials | None = None
        self._read = (0.0, 0)

    def credentials(self) -> Credentials:
        """The [default] profile, read again when the file changed or half an hour passed."""
        try:
            changed = self.path.stat().st_mtime_ns
            read_at, read_version = self._read
            if self._keys is None or changed != read_version or time.monotonic() - read_at > self.VALID_SECONDS:
                self._keys = self._default_profile()
                self._read = (time.monotonic(), changed)
        except OSError as error:
            raise WireError(f"cannot read aws_credentials_file {self.path}: {error.strerror}") from None
        return self._keys

    def _default_profile(self) -> Credentials:
        import configparser  # only session hosts need it

        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(self.path.read_text())
            profile = parser["default"]
            access, secret = profile["aws_access_key_id"], profile["aws_secret_access_key"]
        except (configparser.Error, KeyError, UnicodeDecodeError):
            raise WireError(
                f"aws_credentials_file {self.path} has no [default] profile with "
                "aws_access_key_id and aws_secret_access_key"
            ) from None
        return Credentials(access, secret, profile.get("aws_session_token"))


@dataclass(frozen=True, kw_only=True)
class Identity:
    """This host, as the control plane knows it."""

    #: The ARN the instance was registered with; sent with every call.
    host_identifier: str
    region: str
    provider: Provider = field(repr=False)
