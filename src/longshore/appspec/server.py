"""The AppSpec of an EC2/On-Premises revision (agent.md 6, 4.4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from longshore.appspec import document
from longshore.appspec.errors import AppSpecError

FILE_EXISTS_BEHAVIORS = ("DISALLOW", "OVERWRITE", "RETAIN")
OPERATING_SYSTEMS = ("linux", "windows")
PERMISSION_TYPES = ("file", "directory")
#: A script's time when it gives none (agent.md 5.5).
DEFAULT_TIMEOUT = 3600


@dataclass(frozen=True, kw_only=True)
class FileMapping:
    """One entry of `files`: what is copied where."""

    #: Path inside the revision.
    source: str
    #: Directory on the host.
    destination: str
    #: Line of the entry in the file.
    line: int = 0


@dataclass(frozen=True, kw_only=True)
class Script:
    """One script of a hook."""

    #: Path inside the revision.
    location: str
    #: Seconds it may take.
    timeout: int = DEFAULT_TIMEOUT
    #: The user it runs as; None: the agent's.
    runas: str | None = None
    #: Whether to prefix sudo.
    sudo: bool = False


@dataclass(frozen=True, kw_only=True)
class Context:
    """A SELinux context."""

    #: The SELinux user; the official agent reads it from `name`, the guide says `user`: both are taken.
    user: str | None
    type: str
    range: str | None


@dataclass(frozen=True, kw_only=True)
class Permission:
    """One entry of `permissions`."""

    object: str
    pattern: str = "**"
    except_: tuple[str, ...] = ()
    #: What it applies to: "file", "directory" or both.
    type: tuple[str, ...] = PERMISSION_TYPES
    owner: str | None = None
    group: str | None = None
    #: Octal digits as written, three or four of them.
    mode: str | None = None
    acls: tuple[str, ...] | None = None
    context: Context | None = None
    #: Line of the entry in the file.
    line: int = 0


@dataclass(frozen=True, kw_only=True)
class ServerAppSpec:
    """A checked AppSpec file for EC2/On-Premises."""

    version: float
    #: "linux" or "windows"; whether this host may run it is the host's to say.
    os: str
    files: tuple[FileMapping, ...]
    permissions: tuple[Permission, ...]
    #: Event name → its scripts in order. Events with an empty list are absent. Names are not checked (agent.md 6.8).
    hooks: Mapping[str, tuple[Script, ...]]
    #: DISALLOW, OVERWRITE or RETAIN; None when the file does not say.
    file_exists_behavior: str | None


def parse_server(text: bytes) -> ServerAppSpec:
    """Read and check an AppSpec file; raises `AppSpecError` and nothing else, whatever the bytes."""
    root = document.compose(text)
    if document.is_null(root):
        raise AppSpecError("the file is empty. It needs at least 'version: 0.0' and 'os: linux'.")
    assert root is not None
    top = document.mapping(root, "the file")
    version = _version(top.get("version"))
    os_name = _os(top.get("os"), root)
    permissions = tuple(_permission(item) for item in document.items(top.get("permissions"), "permissions"))
    if permissions and os_name != "linux":
        raise AppSpecError("permissions apply to Linux only; remove them or set 'os: linux'", line=permissions[0].line)
    return ServerAppSpec(
        version=version,
        os=os_name,
        files=tuple(_file(item) for item in document.items(top.get("files"), "files")),
        permissions=permissions,
        hooks=_hooks(top.get("hooks")),
        file_exists_behavior=_file_exists_behavior(top.get("file_exists_behavior")),
    )


def _version(node: yaml.Node | None) -> float:
    if node is not None and document.number(node) == 0:
        return 0.0
    said = "version is missing" if node is None else f"version is {document.kind(node)}"
    raise AppSpecError(f"{said}; write 'version: 0.0', without quotes", line=document.line(node) if node else None)


def _os(node: yaml.Node | None, root: yaml.Node) -> str:
    name = document.text(node, "os")
    if name in OPERATING_SYSTEMS:
        return name
    if name is None:
        keys = document.mapping(root, "the file")
        if "Resources" in keys or "resources" in keys:
            raise AppSpecError(
                "this is an AppSpec for Lambda or ECS ('Resources'); a host needs 'os', 'files', 'hooks'"
            )
        raise AppSpecError("os is missing; write 'os: linux' or 'os: windows'")
    assert node is not None
    raise AppSpecError(f"os {name!r} is not supported; write 'os: linux' or 'os: windows'", line=document.line(node))


def _file_exists_behavior(node: yaml.Node | None) -> str | None:
    said = document.text(node, "file_exists_behavior")
    if said is None or said in FILE_EXISTS_BEHAVIORS:
        return said
    assert node is not None
    raise AppSpecError(
        f"file_exists_behavior {said!r} is not one of {', '.join(FILE_EXISTS_BEHAVIORS)}", line=document.line(node)
    )


def _file(node: yaml.Node) -> FileMapping:
    entry = document.mapping(node, "an item of files")
    source = document.text(entry.get("source"), "files: source")
    destination = document.text(entry.get("destination"), "files: destination")
    if source is None:
        raise AppSpecError(
            "a files item has no source; say which path of the revision to copy", line=document.line(node)
        )
    if destination is None:
        raise AppSpecError(
            f"the files item with source {source!r} has no destination; say which directory to copy it to",
            line=document.line(node),
        )
    _no_nul(entry, ("source", "destination"), "files")
    return FileMapping(source=source, destination=destination, line=document.line(node))


def _hooks(node: yaml.Node | None) -> dict[str, tuple[Script, ...]]:
    if document.is_null(node):
        return {}
    assert node is not None
    hooks = {}
    total = 0
    for event, listed in document.mapping(node, "hooks").items():
        scripts = tuple(_script(item, event) for item in document.items(listed, f"hooks: {event}"))
        total += len(scripts)
        if total > document.MAX_ITEMS:
            raise AppSpecError(f"hooks list more than {document.MAX_ITEMS} scripts", line=document.line(node))
        if scripts:
            hooks[event] = scripts
    return hooks


def _script(node: yaml.Node, event: str) -> Script:
    entry = document.mapping(node, f"an item of hooks: {event}")
    location = (document.text(entry.get("location"), f"{event}: location") or "").strip()
    if not location:
        raise AppSpecError(
            f"a script of {event} has no location; give its path inside the revision", line=document.line(node)
        )
    _no_nul(entry, ("location", "runas"), event)
    runas = document.text(entry.get("runas"), f"{event}: runas")
    return Script(
        location=location,
        timeout=_timeout(entry.get("timeout"), event),
        runas=runas.strip() if runas is not None else None,
        sudo=document.is_true(entry.get("sudo")),
    )


def _timeout(node: yaml.Node | None, event: str) -> int:
    said = document.text(node, f"{event}: timeout")
    if said is None:
        return DEFAULT_TIMEOUT
    # Ruby's to_i: the leading digits count, so "30s" is 30 and 1.9 is 1 (agent.md 6.4).
    digits = re.match(r"\s*\+?(\d[\d_]{0,17})", said)
    seconds = int(digits.group(1).replace("_", "")) if digits else 0
    if seconds <= 0:
        assert node is not None
        raise AppSpecError(
            f"timeout {said!r} of a script of {event} is not a number of seconds above 0", line=document.line(node)
        )
    return seconds


def _permission(node: yaml.Node) -> Permission:
    entry = document.mapping(node, "an item of permissions")
    name = document.text(entry.get("object"), "permissions: object")
    if not name:
        raise AppSpecError(
            "a permissions item has no object; give the absolute path of a file or directory", line=document.line(node)
        )
    _no_nul(entry, ("object", "pattern", "owner", "group"), "permissions")
    pattern = document.text(entry.get("pattern"), "permissions: pattern")
    excluded = tuple(
        said
        for item in document.items(entry.get("except"), "permissions: except")
        if (said := document.text(item, "permissions: except")) is not None
    )
    return Permission(
        object=name,
        pattern="**" if pattern is None else pattern,
        except_=excluded,
        type=_types(entry.get("type")),
        owner=document.text(entry.get("owner"), "permissions: owner"),
        group=document.text(entry.get("group"), "permissions: group"),
        mode=_mode(entry.get("mode")),
        acls=_acls(entry.get("acls")),
        context=_context(entry.get("context")),
        line=document.line(node),
    )


def _types(node: yaml.Node | None) -> tuple[str, ...]:
    if document.is_null(node):
        return PERMISSION_TYPES
    assert node is not None
    # One plain word is taken as a list of one; the official agent ends in a NoMethodError (agent.md 4.4.7).
    listed = [node] if isinstance(node, yaml.ScalarNode) else list(document.items(node, "permissions: type"))
    types = []
    for item in listed:
        said = document.text(item, "permissions: type")
        if said not in PERMISSION_TYPES:
            raise AppSpecError(f"permissions type {said!r} is neither 'file' nor 'directory'", line=document.line(item))
        types.append(said)
    return tuple(types)


def _mode(node: yaml.Node | None) -> str | None:
    said = document.text(node, "permissions: mode")
    if said is None:
        return None
    digits = said.strip()
    if not re.fullmatch(r"[0-7]{1,4}", digits):
        assert node is not None
        raise AppSpecError(f"mode {said!r} is not one to four octal digits, like 755 or 0644", line=document.line(node))
    return digits.rjust(3, "0")


_ACL_TYPES = {"u": "user", "user": "user", "g": "group", "group": "group", "m": "mask", "mask": "mask",
              "o": "other", "other": "other"}  # fmt: skip


def _acls(node: yaml.Node | None) -> tuple[str, ...] | None:
    if document.is_null(node):
        return None
    entries = []
    for item in document.items(node, "permissions: acls"):
        said = (document.text(item, "permissions: acls") or "").strip()
        if problem := _acl_problem(said):
            raise AppSpecError(f"the acls entry {said!r} {problem}", line=document.line(item))
        entries.append(said)
    return tuple(entries)


def _acl_problem(entry: str) -> str | None:
    """What is wrong with an ACL entry `[default:][type][name]:perms` (agent.md 4.4.11)."""
    parts = entry.split(":")
    is_default = len(parts) > 1 and parts[0] in ("d", "default")
    if is_default:
        parts = parts[1:]
    if not 2 <= len(parts) <= 3:
        return "is not written [default:]type:name:permissions"
    if not re.fullmatch(r"[0-7]|[rwx-]{1,3}", parts[-1]):
        return "has permissions that are neither one octal digit nor letters of rwx-"
    kind, name = (_ACL_TYPES.get(parts[0]), parts[1]) if len(parts) == 3 else (_ACL_TYPES.get(parts[0], "user"), "")
    if len(parts) == 2 and kind == "user" and parts[0] not in _ACL_TYPES:
        name = parts[0]
    if kind is None:
        return f"has the unknown type {parts[0]!r}; use user, group, mask or other"
    if kind in ("user", "group") and not name and not is_default:
        return "names no user or group; set the owner's permissions with mode"
    if kind in ("mask", "other") and name:
        return f"gives a name to {kind}, which has none"
    return None


def _context(node: yaml.Node | None) -> Context | None:
    if document.is_null(node):
        return None
    assert node is not None
    entry = document.mapping(node, "permissions: context")
    type_ = document.text(entry.get("type"), "context: type")
    if not type_:
        raise AppSpecError("the context has no type; give the SELinux type", line=document.line(node))
    if "role" in entry:
        raise AppSpecError("a context cannot set the role; remove it", line=document.line(entry["role"]))
    range_ = document.text(entry.get("range"), "context: range")
    if range_ is not None and not re.fullmatch(r"s\d+(-s\d+)?(:c\d+(\.c\d+)?(,c\d+(\.c\d+)?)*)?", range_):
        raise AppSpecError(f"the context range {range_!r} is not like s0-s1:c0.c3,c5", line=document.line(node))
    user = document.text(entry.get("name"), "context: name")
    return Context(user=user or document.text(entry.get("user"), "context: user"), type=type_, range=range_)


def _no_nul(entry: Mapping[str, yaml.Node], keys: tuple[str, ...], what: str) -> None:
    for key in keys:
        node = entry.get(key)
        if isinstance(node, yaml.ScalarNode) and "\0" in node.value:
            raise AppSpecError(f"{what}: {key} holds a NUL character", line=document.line(node))
