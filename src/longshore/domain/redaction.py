"""Takes secrets out of what is about to be written to a log.

Secrets are known by the name before them, by their own form, or by where they stand: the userinfo of a URL. What looks
like a secret and is none is lost too; a log can bear that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

#: What stands where a secret stood.
MARK = "***"

#: Names whose values are secrets, whatever joins their words: SecretAccessKey, aws_secret_access_key, session-token …
_NAMES = (
    r"[a-z0-9_-]{0,40}(?:authorization|secret|passw(?:or)?d|passphrase|token|secret[_-]?(?:access[_-]?)?key|private[_-]?key)",
    r"(?:x-amz-)?signature",
    r"api[_-]?key",
    r"(?:set-)?cookie",
)
_NAME = rf"(?<![a-z0-9])(?:{'|'.join(_NAMES)})"
#: Between a name and its value in headers, queries, JSON, Python's notation, YAML and XML.
_BETWEEN = r"""(?:\\?["'])?\s{0,4}(?:=>|[:=,>]|%3d)\s{0,4}b?"""
_VALUE = r"""(?:"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[^\s"'&<>,;)\]}]+)"""


class _Rule(NamedTuple):
    """What is a secret, and what stands instead."""

    #: One of these is in every text that the pattern fits, small letters for either case: most texts have none.
    signs: tuple[str, ...]
    pattern: re.Pattern[str]
    instead: str | Callable[[re.Match[str]], str]


def _quoted(found: re.Match[str]) -> str:
    """The name and the mark, in the quotes that the value was in, so that JSON stays JSON."""
    name, value = found.groups()
    quote = value[0] if value[0] in "\"'" else ""
    return f"{name}{quote}{MARK}{quote}"


_RULES = (
    # A private key, even one that was cut off.
    _Rule(
        ("private key-----",),
        re.compile(
            r"-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,32}PRIVATE KEY-----|\Z)", re.DOTALL
        ),
        MARK,
    ),
    # A signature with all that belongs to it, and what else an Authorization header holds.
    _Rule(
        ("aws4-",),
        re.compile(r"\b(AWS4-[A-Z0-9-]{1,32})\s+(?:Credential|SignedHeaders|Signature)=[^\"'\r\n]*", re.IGNORECASE),
        rf"\1 {MARK}",
    ),
    _Rule(("aws a",), re.compile(r"\bAWS ((?:AKIA|ASIA)[A-Z2-7]{16}):[A-Za-z0-9+/=]+"), rf"AWS \1:{MARK}"),
    _Rule(
        ("bearer", "basic", "token"),
        re.compile(r"\b(Bearer|Basic|Token)\s+[A-Za-z0-9+/=_.~-]{8,}", re.IGNORECASE | re.ASCII),
        rf"\1 {MARK}",
    ),
    _Rule(
        ("authorization", "secret", "passw", "passphrase", "token", "key", "signature", "cookie"),
        re.compile(rf"({_NAME}{_BETWEEN})({_VALUE})", re.IGNORECASE | re.ASCII),
        _quoted,
    ),
    # The userinfo of a URL; a password may hold what should have been quoted in it.
    _Rule(
        ("://",),
        re.compile(r"(\b[a-z][a-z0-9+.-]{0,31}://)[^\s/?#\"'<>]{0,512}@", re.IGNORECASE),
        rf"\1{MARK}@",
    ),
    _Rule(
        ("://",),
        re.compile(
            r"(\b[a-z][a-z0-9+.-]{0,31}://)[^\s:/?#@\"'<>]{0,256}:(?!\d{1,5}[/?#])[^\s\"'<>]{0,512}@", re.IGNORECASE
        ),
        rf"\1{MARK}@",
    ),
    # Addresses that are secrets themselves: whoever has one may post there.
    _Rule(
        ("hook",),
        re.compile(r"\b(hooks\.slack\.com/\w{1,20}|discord(?:app)?\.com/api/webhooks)/[^\s\"'<>]+", re.IGNORECASE),
        rf"\1/{MARK}",
    ),
    # Secrets that are known by their form: GitHub's tokens, ours for metrics and enrolling, JSON web tokens.
    _Rule(("gh", "github_pat_"), re.compile(r"gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}"), MARK),
    _Rule(("lsm_",), re.compile(r"lsm_[A-Za-z0-9_-]{16,}"), MARK),
    _Rule(("lsenroll",), re.compile(r"\blsenroll\d\.[A-Za-z0-9_.-]+"), MARK),
    _Rule(("eyj",), re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), MARK),
)

_LONG_RULES = (
    # The secret of an access key has forty letters, digits, + and /, and no name has both cases and one of the others.
    re.compile(
        r"(?<![A-Za-z0-9+/])(?=[A-Za-z0-9+/]{40})(?=[a-z0-9+/]{0,39}[A-Z])(?=[A-Z0-9+/]{0,39}[a-z])(?=[A-Za-z]{0,39}[0-9+/])"
        r"[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=])"
    ),
    # A session token: one long word of all kinds.
    re.compile(
        r"(?<![A-Za-z0-9+/_-])(?=[A-Za-z0-9+/_-]{100})(?=[^A-Z\s]{0,200}[A-Z])(?=[^a-z\s]{0,200}[a-z])(?=\D{0,200}\d)"
        r"[A-Za-z0-9+_-][A-Za-z0-9+/_-]{99,}={0,2}(?![A-Za-z0-9+/_.-])"
    ),
)
#: The shortest of those.
_LONG = 40

_SECRET_NAME = re.compile(rf"(?:{'|'.join(_NAMES)})", re.IGNORECASE)


def redacted(text: str) -> str:
    """The text without the secrets in it."""
    lower = text.lower()
    for signs, pattern, instead in _RULES:
        for sign in signs:
            if sign in lower:
                text = pattern.sub(instead, text)
                break
    if len(text) >= _LONG:
        for pattern in _LONG_RULES:
            text = pattern.sub(MARK, text)
    return text


@lru_cache(maxsize=1024)
def _shown(name: str) -> tuple[str, bool]:
    """A member's name as it may be shown, and whether what it has is a secret."""
    return redacted(name), _SECRET_NAME.fullmatch(name) is not None


def without_secrets(value: Any) -> Any:
    """The same value for a log: texts redacted, and what a mapping has under the name of a secret replaced.

    What is neither text, number, mapping nor sequence comes back as its `repr`.
    """
    if isinstance(value, str):
        return redacted(value)
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, Mapping):
        members = {}
        for name, member in value.items():
            shown, is_secret = _shown(str(name))
            members[shown] = MARK if is_secret and member else without_secrets(member)
        return members
    if isinstance(value, list | tuple | set | frozenset):
        return [without_secrets(one) for one in value]
    return redacted(repr(value))
