"""Takes secrets out of what is about to be written to a log.

Secrets are known by the name before them, by their own form, or by where they stand: the userinfo of a URL. What looks
like a secret and is none is lost too; a log can bear that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

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

_RULES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    # A private key, even one that was cut off.
    (
        re.compile(
            r"-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,32}PRIVATE KEY-----|\Z)", re.DOTALL
        ),
        MARK,
    ),
    # A signature with all that belongs to it, and what else an Authorization header holds.
    (
        re.compile(r"\b(AWS4-[A-Z0-9-]{1,32})\s+(?:Credential|SignedHeaders|Signature)=[^\"'\r\n]*", re.IGNORECASE),
        rf"\1 {MARK}",
    ),
    (re.compile(r"\bAWS ((?:AKIA|ASIA)[A-Z2-7]{16}):[A-Za-z0-9+/=]+"), rf"AWS \1:{MARK}"),
    (re.compile(r"\b(Bearer|Basic|Token)\s+[A-Za-z0-9+/=_.~-]{8,}", re.IGNORECASE), rf"\1 {MARK}"),
    (re.compile(rf"({_NAME}{_BETWEEN})({_VALUE})", re.IGNORECASE), lambda found: f"{found[1]}{_quoted(found[2])}"),
    # The userinfo of a URL; a password may hold what should have been quoted in it.
    (re.compile(r"(\b[a-z][a-z0-9+.-]{0,31}://)[^\s/?#\"'<>]{0,512}@", re.IGNORECASE), rf"\1{MARK}@"),
    (
        re.compile(
            r"(\b[a-z][a-z0-9+.-]{0,31}://)[^\s:/?#@\"'<>]{0,256}:(?!\d{1,5}[/?#])[^\s\"'<>]{0,512}@", re.IGNORECASE
        ),
        rf"\1{MARK}@",
    ),
    # Secrets that are known by their form: GitHub's tokens, ours for metrics and enrolling, JSON web tokens.
    (re.compile(r"(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}|lsm_[A-Za-z0-9_-]{16,})"), MARK),
    (re.compile(r"\blsenroll\d\.[A-Za-z0-9_.-]+"), MARK),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), MARK),
    # The secret of an access key has forty letters, digits, + and /, and no name has both cases and one of the others.
    (
        re.compile(
            r"(?<![A-Za-z0-9+/])(?=[A-Za-z0-9+/]{40})(?=[a-z0-9+/]{0,39}[A-Z])(?=[A-Z0-9+/]{0,39}[a-z])(?=[A-Za-z]{0,39}[0-9+/])"
            r"[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=])"
        ),
        MARK,
    ),
    # A session token: one long word of all kinds.
    (
        re.compile(
            r"(?<![A-Za-z0-9+/_-])(?=[A-Za-z0-9+/_-]{100})(?=[^A-Z\s]{0,200}[A-Z])(?=[^a-z\s]{0,200}[a-z])(?=\D{0,200}\d)"
            r"[A-Za-z0-9+_-][A-Za-z0-9+/_-]{99,}={0,2}(?![A-Za-z0-9+/_.-])"
        ),
        MARK,
    ),
)

_SECRET_NAME = re.compile(rf"(?:{'|'.join(_NAMES)})", re.IGNORECASE)


def _quoted(value: str) -> str:
    """The mark, in the quotes that the value was in, so that JSON stays JSON."""
    quote = value[0] if value[0] in "\"'" else ""
    return f"{quote}{MARK}{quote}"


def redacted(text: str) -> str:
    """The text without the secrets in it."""
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text


def without_secrets(value: Any) -> Any:
    """The same value for a log: texts redacted, and what a mapping has under the name of a secret replaced.

    What is neither text, number, mapping nor sequence comes back as its `repr`.
    """
    if isinstance(value, str):
        return redacted(value)
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, Mapping):
        return {
            redacted(str(name)): MARK if _SECRET_NAME.fullmatch(str(name)) and member else without_secrets(member)
            for name, member in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [without_secrets(one) for one in value]
    return redacted(repr(value))
