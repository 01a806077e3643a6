"""Everything that can go wrong in the agent.

AgentError
├── ConfigError            the configuration cannot be used: exit 2
├── WireError              a call to the control plane failed
└── CommandError           a command failed: becomes its diagnostics
    ├── SpecificationError   the specification is not to be trusted or not understood
    ├── BundleError          the revision cannot be fetched
    ├── ArchiveError         the bundle is damaged or hostile
    ├── InstallError         a file cannot be put in place
    └── ScriptError          a hook's script failed
"""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """Diagnostics codes (agent.md 1.5.2)."""

    SUCCESS = 0
    SCRIPT_MISSING = 1
    SCRIPT_NOT_EXECUTABLE = 2
    SCRIPT_TIMED_OUT = 3
    SCRIPT_FAILED = 4
    UNKNOWN = 5
    OUTPUT_LEFT_OPEN = 6
    FAILED_AFTER_RESTART = 7


class AgentError(Exception):
    """Base of them all."""


class ConfigError(AgentError):
    """The configuration cannot be used; the message says what to change."""


class WireError(AgentError):
    """A call to the control plane failed."""

    #: Error codes that mean "slow down" whatever the status.
    THROTTLED = frozenset(
        {"Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException", "SlowDown"}
        | {"RequestLimitExceeded", "RequestThrottled"}
    )
    #: Error codes that a wrong clock causes.
    SKEWED = frozenset(
        {"InvalidSignatureException", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "RequestExpired"}
        | {"RequestInTheFuture", "AuthFailure", "InvalidSignature"}
    )

    #: Error codes for keys that are not, or no longer, to be used. Others may stand in their file in a while.
    KEYS_REFUSED = frozenset(
        {"ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException", "InvalidClientTokenId"}
        | {"AccessDeniedException", "AccessDenied"}
    )

    def __init__(self, message: str, *, status: int = 0, code: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        #: HTTP status; 0 when no answer came.
        self.status = status
        #: The service's error code.
        self.code = code
        #: The sentence of the service's error.
        self.said = ""
        #: Seconds the server asked to wait.
        self.retry_after = retry_after

    @property
    def is_throttled(self) -> bool:
        """The server asks for fewer calls."""
        return self.status == 429 or self.code in self.THROTTLED

    @property
    def is_transient(self) -> bool:
        """The same call may succeed later, with nothing changed on this host but perhaps its keys."""
        is_away = self.status == 0 or self.status >= 500 or self.status == 408
        return is_away or self.is_throttled or self.code in self.KEYS_REFUSED


class CommandError(AgentError):
    """A command failed; carries what the diagnostics say (agent.md 1.5)."""

    def __init__(self, message: str, *, code: Code = Code.UNKNOWN, script: str = "", log: str = "") -> None:
        super().__init__(message)
        self.code = code
        #: The AppSpec `location` of the script that failed.
        self.script = script
        #: Tail of the hook's log.
        self.log = log


class SpecificationError(CommandError):
    """The deployment specification is not to be trusted or not understood."""


class BundleError(CommandError):
    """The revision cannot be fetched."""


class ArchiveError(CommandError):
    """The bundle is damaged, hostile or too large."""


class InstallError(CommandError):
    """A file cannot be put in place."""


class ScriptError(CommandError):
    """A hook's script failed."""
