"""What a deployment hands its hooks beside what every deployment hands them: environment variables of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Bytes that all names and values of a deployment may have together.
MOST_BYTES = 4096

_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,127}")
#: Set by the agent (agent.md 5.4), or deciding which code a script loads: that is for the revision and the host to say.
_RESERVED = re.compile(
    r"LIFECYCLE_EVENT|DEPLOYMENT_ID|APPLICATION_NAME|DEPLOYMENT_GROUP_(NAME|ID)|BUNDLE_(BUCKET|KEY|VERSION|ETAG|COMMIT)"
    r"|PATH|HOME|USER|LOGNAME|SHELL|IFS|ENV|SHELLOPTS|BASHOPTS|PS4|PROMPT_COMMAND|GCONV_PATH|GLIBC_TUNABLES"
    r"|_?JAVA_(TOOL_)?OPTIONS|JDK_JAVA_OPTIONS|(LD|AWS|BASH|GIT|NODE|DYLD)_.*|(PYTHON|PERL|RUBY).*"
)


class BadParameterError(ValueError):
    """The parameters cannot be had; the message says which one, and why, without its value."""


def checked(given: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Parameters by name, each of them fit to be an environment variable of a hook.

    Raises:
        BadParameterError: a name is malformed, reserved or given twice, a value has a NUL, or all are too long.
    """
    found: dict[str, str] = {}
    size = 0
    for name, value in given:
        if not _NAME.fullmatch(name):
            raise BadParameterError(
                f"{name[:130]!r} is no name of a parameter: capitals, digits and underscores, no digit first, "
                "128 characters at most"
            )
        if _RESERVED.fullmatch(name):
            raise BadParameterError(f"{name} is not for parameters: the agent or the host says what it is")
        if name in found:
            raise BadParameterError(f"{name} is given twice")
        if "\0" in value:
            raise BadParameterError(f"the value of {name} has a NUL character, which no environment variable can have")
        found[name] = value
        size += len(name) + len(value.encode(errors="replace"))
    if size > MOST_BYTES:
        raise BadParameterError(f"the parameters' names and values have {size} bytes; the most is {MOST_BYTES}")
    return found
