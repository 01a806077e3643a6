"""Which requests a rule is for, as AWS says it, and as patterns of RE2 over headers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from ipaddress import ip_network
from typing import Any

from longshore.onebox.machinery.records import Document
from longshore.onebox.services.elbv2 import errors

_MOST_VALUES = 5
#: 1 to 128 characters of ASCII that can be seen, and spaces.
_TEXT = re.compile("[ -~]{1,128}")
_METHOD = re.compile("[A-Z_-]{1,40}")
_HEADER = re.compile(r"[A-Za-z0-9!#$&'*+.^_`|~-]{1,40}")
_CONFIGS = {
    "host-header": "HostHeaderConfig",
    "path-pattern": "PathPatternConfig",
    "http-header": "HttpHeaderConfig",
    "http-request-method": "HttpRequestMethodConfig",
    "query-string": "QueryStringConfig",
    "source-ip": "SourceIpConfig",
}
#: These may give their values without a configuration.
_PLAIN = ("host-header", "path-pattern")
#: A rule has one of these at most.
_ONCE = ("host-header", "path-pattern", "http-request-method", "source-ip")

Header = tuple[str, str]


def checked(given: Sequence[Document]) -> list[Document]:
    """Conditions as they are kept; raises the error of what is wrong with them."""
    conditions = [_condition(one) for one in given]
    fields = [one["Field"] for one in conditions]
    if not fields:
        raise errors.validation("A rule has at least one condition.")
    for field in _ONCE:
        if fields.count(field) > 1:
            raise errors.validation(f"A rule can have only one condition of field '{field}'.")
    if sum(len(_values(one)) for one in conditions) > _MOST_VALUES:
        raise errors.validation(f"A rule can have at most {_MOST_VALUES} condition values.")
    as_planned(conditions)
    return conditions


def as_planned(conditions: Sequence[Document]) -> tuple[list[Header], list[str]]:
    """The patterns of headers, and the networks, that a request must match all of."""
    headers, sources = [], []
    for one in conditions:
        if one["Field"] == "source-ip":
            sources += _values(one)
        else:
            headers.append(_PATTERNS[one["Field"]](one))
    return headers, sources


def _condition(given: Document) -> Document:
    field = given.get("Field") or ""
    config_name = _CONFIGS.get(field)
    if config_name is None:
        raise errors.validation(f"Condition field '{field}' must be one of '[{', '.join(_CONFIGS)}]'")
    if given.get("RegexValues") or (given.get(config_name) or {}).get("RegexValues"):
        raise errors.not_configurable("Regular expressions are not done here: give Values, with * and ?.")
    config = dict(given.get(config_name) or {})
    if field in _PLAIN and given.get("Values"):
        if config.get("Values"):
            raise errors.validation(f"Give the values of '{field}' once: as Values or in {config_name}.")
        config = {"Values": given["Values"]}
    if not config.get("Values"):
        raise errors.validation(f"A condition value must be specified for '{field}'")
    made: Document = {"Field": field, config_name: config}
    if field in _PLAIN:
        made["Values"] = config["Values"]
    _CHECKS[field](config)
    return made


def _values(condition: Document) -> list[Any]:
    values: list[Any] = condition[_CONFIGS[condition["Field"]]]["Values"]
    return values


def _check_texts(config: Document) -> None:
    if not all(_TEXT.fullmatch(one) for one in config["Values"]):
        raise errors.validation("A condition value has 1 to 128 printable characters of ASCII.")


def _check_header(config: Document) -> None:
    if not _HEADER.fullmatch(config.get("HttpHeaderName") or ""):
        raise errors.validation("HttpHeaderName is the name of a header, of 1 to 40 characters.")
    if config["HttpHeaderName"].lower() == "host":
        raise errors.validation("Use a condition 'host-header' for the header Host.")
    _check_texts(config)


def _check_methods(config: Document) -> None:
    if not all(_METHOD.fullmatch(one) for one in config["Values"]):
        raise errors.validation("A request method has 1 to 40 characters: A-Z, hyphen and underscore.")


def _check_query(config: Document) -> None:
    for one in config["Values"]:
        if not all(_TEXT.fullmatch(text) for text in (one.get("Value") or "", one.get("Key") or "any")):
            raise errors.validation(
                "A query string has a Value, and may have a Key, of 1 to 128 printable characters of ASCII."
            )


def _check_networks(config: Document) -> None:
    for one in config["Values"]:
        try:
            if "/" not in one:
                raise ValueError
            ip_network(one)
        except ValueError:
            raise errors.validation(f"'{one[:50]}' must be a CIDR block, like 192.0.2.0/24") from None


_CHECKS: dict[str, Callable[[Document], None]] = {
    "host-header": _check_texts,
    "path-pattern": _check_texts,
    "http-header": _check_header,
    "http-request-method": _check_methods,
    "query-string": _check_query,
    "source-ip": _check_networks,
}


def _pattern(text: str, anything: str = ".") -> str:
    """A text in which * stands for any characters and ? for one, as a regular expression."""
    return "".join(
        f"{anything}*" if one == "*" else anything if one == "?" else re.escape(one)
        for one in re.split(r"([*?])", text)
    )


def _any(patterns: list[str]) -> str:
    return f"(?:{'|'.join(patterns)})"


def _host(condition: Document) -> Header:
    return ":authority", rf"(?i){_any([_pattern(one, '[^:]') for one in _values(condition)])}(?::[0-9]+)?"


def _path(condition: Document) -> Header:
    return ":path", rf"{_any([_pattern(one, '[^?]') for one in _values(condition)])}(?:\?.*)?"


def _header(condition: Document) -> Header:
    name = condition["HttpHeaderConfig"]["HttpHeaderName"].lower()
    return name, f"(?i){_any([_pattern(one) for one in _values(condition)])}"


def _method(condition: Document) -> Header:
    return ":method", _any([re.escape(one) for one in _values(condition)])


def _query(condition: Document) -> Header:
    pairs = [
        (_pattern(one["Key"], "[^&=]") if one.get("Key") else "[^&=]*") + "=" + _pattern(one["Value"], "[^&]")
        for one in _values(condition)
    ]
    return ":path", rf"(?i)[^?]*\?(?:.*&)?{_any(pairs)}(?:&.*)?"


_PATTERNS: dict[str, Callable[[Document], Header]] = {
    "host-header": _host,
    "path-pattern": _path,
    "http-header": _header,
    "http-request-method": _method,
    "query-string": _query,
}
