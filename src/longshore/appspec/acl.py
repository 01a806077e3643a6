"""POSIX access control lists in `permissions` (agent.md 4.4.11, lambda_ecs_appspec.md A57)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from longshore.appspec.place import Place

_KINDS = {"u": "user", "user": "user", "g": "group", "group": "group", "m": "mask", "mask": "mask",
          "o": "other", "other": "other"}  # fmt: skip
_DEFAULT = ("d", "default")


@dataclass(frozen=True, kw_only=True)
class AclEntry:
    """One entry of an access control list; as text, the long form that setfacl reads."""

    #: Whether it is a directory's entry for what will be made in it.
    is_default: bool
    #: user, group, mask or other.
    kind: str
    #: The user or group; empty for mask and other, and in a default entry for the owner.
    name: str
    #: Three characters of rwx, each or a dash.
    permissions: str

    def __str__(self) -> str:
        return f"{'default:' if self.is_default else ''}{self.kind}:{self.name}:{self.permissions}"


def read_acls(listed: Place) -> tuple[AclEntry, ...] | None:
    """The entries; None when the list is absent. An empty list is a list: it takes all entries away."""
    if listed.is_absent:
        return None
    if listed.is_nothing:
        # `acls: no` must not come to mean: take every entry away.
        listed.error("must be a list, but it is a truth value", "Remove it, or list the entries.")
    found = [_entry(item) for item in listed.items("Begin each entry with '- ', as in: - user:deploy:rwx")]
    return tuple(entry for entry in found if entry is not None)


def _entry(item: Place) -> AclEntry | None:
    said = item.text()
    if said is None:
        item.error("is empty", "Write [default:]type:name:permissions, or remove the item.")
        return None
    *parts, letters = said.split(":")
    is_default = len(parts) > 1 and parts[0] in _DEFAULT
    kind, name, problem = _whom(parts[1:] if is_default else parts)
    if problem is None and kind != "mask" and not name and not is_default:
        item.error(f"is {said!r}, which names no {kind}", "Set the permissions of owner, group and others with mode.")
        return None
    if problem is not None:
        item.error(f"is {said!r}, which {problem}", "Write [default:][user|group|mask|other]:[name]:permissions.")
        return None
    permissions = _permissions(letters)
    if permissions is None:
        item.error(
            f"is {said!r}, whose permissions {letters!r} are neither letters of rwx- nor one octal digit",
            "Write them like rwx, r-x or 5.",
        )
        return None
    if not letters:
        item.warning(f"is {said!r}, which takes every permission away", "Write it as ---, if that is meant.")
    if len(parts) == 1 + is_default and name in (*_KINDS, *_DEFAULT):
        item.warning(f"is {said!r}, which names a user called {name!r}", f"Write {kind}::{letters} or {name}:NAME:…")
    return AclEntry(is_default=is_default, kind=kind, name=name, permissions=permissions)


def _whom(parts: list[str]) -> tuple[str, str, str | None]:
    """Kind and name of an entry, and what is wrong with them if anything is."""
    match parts:
        # Two parts, `name:permissions`: a user, unless the name is that of the mask or of the others.
        case [name] if _KINDS.get(name) in ("mask", "other"):
            return _KINDS[name], "", None
        case [name]:
            return "user", name, None
        case [kind, _] if kind not in _KINDS:
            return "", "", f"has the unknown type {kind!r}"
        case [kind, name] if name and _KINDS[kind] in ("mask", "other"):
            return _KINDS[kind], name, f"gives a name to {_KINDS[kind]}, which has none"
        case [kind, name]:
            return _KINDS[kind], name, None
        case _:
            return "", "", "is not made of two to four parts"


def _permissions(letters: str) -> str | None:
    if re.fullmatch(r"[0-7]", letters):
        bits = int(letters)
        return "".join(letter if bits & 4 >> place else "-" for place, letter in enumerate("rwx"))
    if re.fullmatch(r"[rwx-]*", letters):
        return "".join(letter if letter in letters else "-" for letter in "rwx")
    return None
