"""Patterns for ARNs: six parts, each matched by itself, so that a star never reaches from one into the next.

An ARN that is cut short goes on with stars. The last part holds colons and slashes of its own, and a star there
matches them too. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
"""

from __future__ import annotations

from dataclasses import dataclass

from longshore.auth.policy_pattern import BadPatternError, Keys, Pattern, matches, pattern

_PARTS = 6


@dataclass(frozen=True, slots=True)
class ArnPattern:
    """What ARNs it means."""

    #: None matches everything, an ARN or not.
    parts: tuple[Pattern, ...] | None

    def matches(self, text: str, keys: Keys) -> bool | None:
        """Whether this is one of them; None when a variable cannot be filled."""
        if self.parts is None:
            return True
        resolved = [part.resolved(keys) for part in self.parts]
        if None in resolved:
            return None
        given = text.split(":", _PARTS - 1)
        return len(given) == _PARTS and all(
            matches(pieces, part) for pieces, part in zip(resolved, given, strict=True) if pieces is not None
        )


def arn_pattern(text: str, *, variables: bool = True) -> ArnPattern:
    """Read a pattern for ARNs, or ``*``. Raises BadPatternError."""
    if text == "*":
        return ArnPattern(None)
    parts = _split(text)
    if parts[0] != "arn" or len(parts) < 3:
        raise BadPatternError(f'is {text[:200]}, which is neither an ARN nor "*"')
    if any(sign in parts[2].replace("${*}", "") for sign in "*?"):
        raise BadPatternError(f"is {text[:200]}, and the service of an ARN cannot have wildcards")
    parts += ["*"] * (_PARTS - len(parts))
    return ArnPattern(tuple(pattern(part, variables=variables) for part in parts))


def _split(text: str) -> list[str]:
    """At the first five colons that are not inside a variable such as ``${aws:username}``."""
    parts: list[str] = []
    depth, start = 0, 0
    for at, sign in enumerate(text):
        if text.startswith("${", at):
            depth += 1
        elif sign == "}" and depth:
            depth -= 1
        elif sign == ":" and not depth and len(parts) < _PARTS - 1:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]
