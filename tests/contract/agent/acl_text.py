"""A path's access control lists as `getfacl` tells them, read from the kernel's form without our own encoder."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path

_TAGS = {0x01: "u:", 0x02: "u", 0x04: "g:", 0x08: "g", 0x10: "m:", 0x20: "o:"}


def acl_of(path: Path) -> tuple[str, str]:
    """The access list, from the mode where there is none, and the default list; with ids for names."""
    mode = stat.S_IMODE(path.stat().st_mode)
    plain = f"u::{_letters(mode >> 6)} g::{_letters(mode >> 3)} o::{_letters(mode)}"
    return _listed(path, "system.posix_acl_access") or plain, _listed(path, "system.posix_acl_default")


def _listed(path: Path, name: str) -> str:
    try:
        raw = os.getxattr(path, name)
    except OSError:
        return ""
    entries = [struct.unpack_from("<HHI", raw, at) for at in range(4, len(raw), 8)]
    return " ".join(
        f"{_TAGS[tag]}:{_letters(bits)}" if _TAGS[tag].endswith(":") else f"{_TAGS[tag]}:{who}:{_letters(bits)}"
        for tag, bits, who in entries
    )


def _letters(bits: int) -> str:
    return "".join(letter if bits & 4 >> place else "-" for place, letter in enumerate("rwx"))
