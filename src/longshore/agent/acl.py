"""POSIX access control lists: what `acls` in the AppSpec comes to, in the kernel's own form (agent.md 4.4.11).

The list goes straight into the extended attribute that setfacl(1) would write, so a host needs no `acl` package. What
is not written follows the mode, as the official agent fills it in before it calls `setfacl --set`.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress

from longshore.appspec import AclEntry

ACCESS = "system.posix_acl_access"
DEFAULT = "system.posix_acl_default"
#: Everything that decides who may do what, beside owner and mode.
ATTRIBUTES = (ACCESS, DEFAULT)
#: The file system keeps no such lists, or the path has none.
_NONE = (errno.ENODATA, errno.ENOTSUP)

_VERSION = struct.pack("<I", 2)
_ENTRY = struct.Struct("<HHI")
_NOBODY = 0xFFFFFFFF
#: Tags of entries without and with a name, in the order in which the kernel wants them.
_PLAIN = {"user": 0x01, "group": 0x04, "mask": 0x10, "other": 0x20}
_NAMED = {"user": 0x02, "group": 0x08}

#: One list: (tag, user or group, rwx as bits). Sorted, it is as the kernel wants it.
Entries = dict[tuple[int, int], int]


def replace(place: str, entries: Sequence[AclEntry]) -> None:
    """Let these be the whole list of a file or directory of ours; raises `OSError`, `KeyError` for an unknown name."""
    there = os.lstat(place)
    bits = stat.S_IMODE(there.st_mode)
    access, default = complete(entries, bits)
    os.setxattr(place, ACCESS, encode(access), follow_symlinks=False)
    if default:
        os.setxattr(place, DEFAULT, encode(default), follow_symlinks=False)
    elif stat.S_ISDIR(there.st_mode):
        remove(place, DEFAULT)


def remove(place: str, name: str) -> None:
    """Take a list away, if there is one."""
    try:
        os.removexattr(place, name, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NONE:
            raise


def read(place: str, name: str) -> bytes | None:
    """A list in the kernel's form; None when there is none."""
    with suppress(OSError):
        return os.getxattr(place, name, follow_symlinks=False)
    return None


def complete(entries: Sequence[AclEntry], mode: int) -> tuple[Entries, Entries]:
    """The access list and the default list (empty: none), with what is not written taken from the mode."""
    access = _listed(entry for entry in entries if not entry.is_default)
    default = _listed(entry for entry in entries if entry.is_default)
    base = {("user", mode >> 6 & 7), ("group", mode >> 3 & 7), ("other", mode & 7)}
    for kind, bits in base:
        access[_PLAIN[kind], _NOBODY] = bits
    if _has_names(access):
        access.setdefault((_PLAIN["mask"], _NOBODY), mode >> 3 & 7)
    if default:
        for kind, bits in base:
            default.setdefault((_PLAIN[kind], _NOBODY), bits)
        if _has_names(default):
            default.setdefault((_PLAIN["mask"], _NOBODY), default[_PLAIN["group"], _NOBODY])
    return access, default


def encode(entries: Entries) -> bytes:
    """The kernel's form (linux/posix_acl_xattr.h): little-endian, by tag and id."""
    return _VERSION + b"".join(_ENTRY.pack(tag, bits, who) for (tag, who), bits in sorted(entries.items()))


def who(entry: AclEntry) -> int:
    """The user's or group's number; raises `KeyError` when this host does not know the name."""
    if not entry.name:
        return _NOBODY
    import grp
    import pwd

    try:
        return pwd.getpwnam(entry.name).pw_uid if entry.kind == "user" else grp.getgrnam(entry.name).gr_gid
    except KeyError:
        # As setfacl has it, a number that is no name is the id itself.
        if entry.name.isascii() and entry.name.isdigit() and int(entry.name) < _NOBODY:
            return int(entry.name)
        raise


def _listed(entries: Iterable[AclEntry]) -> Entries:
    found: Entries = {}
    for entry in entries:
        tag = _NAMED[entry.kind] if entry.name else _PLAIN[entry.kind]
        bits = sum(4 >> place for place, letter in enumerate(entry.permissions) if letter != "-")
        found[tag, who(entry)] = bits
    return found


def _has_names(entries: Entries) -> bool:
    return any(tag in _NAMED.values() for tag, _ in entries)
