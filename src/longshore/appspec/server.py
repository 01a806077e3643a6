"""The AppSpec of an EC2/On-Premises revision (agent.md 6, 4.4; lambda_ecs_appspec.md A30–A76)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from longshore.appspec import document, scalars
from longshore.appspec.acl import AclEntry, read_acls
from longshore.appspec.document import Node, Scalar
from longshore.appspec.place import Place, Problems
from longshore.appspec.selinux import Context, read_context

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
    #: Line of the entry in the file.
    line: int = 0


@dataclass(frozen=True, kw_only=True)
class Permission:
    """One entry of `permissions`."""

    object: str
    pattern: str = "**"
    except_: tuple[str, ...] = ()
    #: What it applies to: "file", "directory" or both.
    type: tuple[str, ...] = PERMISSION_TYPES
    #: A user's name or number; None leaves the owner.
    owner: str | None = None
    group: str | None = None
    #: Octal digits as written, three or four of them.
    mode: str | None = None
    #: Replaces the access control list; None leaves it.
    acls: tuple[AclEntry, ...] | None = None
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
    #: Event name → its scripts in order, none when the list is empty. Names are not checked (agent.md 6.8).
    hooks: Mapping[str, tuple[Script, ...]]
    #: DISALLOW, OVERWRITE or RETAIN; None when the file does not say.
    file_exists_behavior: str | None


def parse_server(text: bytes) -> ServerAppSpec:
    """Read and check an AppSpec file; raises `AppSpecError` and nothing else, whatever the bytes."""
    problems = Problems()
    spec = read_server(document.compose(text), problems)
    problems.refuse()
    return spec


def read_server(root: Node | None, problems: Problems) -> ServerAppSpec:
    """What the document says; every problem goes to `problems`, and with an error there the result is void."""
    top = Place(node=root, key="", problems=problems)
    empty = ServerAppSpec(version=0.0, os="", files=(), permissions=(), hooks={}, file_exists_behavior=None)
    if top.is_nothing:
        top.error("the file is empty", "It needs at least 'version: 0.0' and 'os: linux'.")
        return empty
    if not isinstance(root, document.Mapping):
        top.error(
            f"the file must be a mapping (key: value), but it is {document.describe(root)}", "See docs/appspec.md."
        )
        return empty
    top.is_mapping("version", "os", "files", "file_exists_behavior", "permissions", "hooks")
    version = _version(top.at("version"))
    os_name = _os(top)
    listed = top.at("permissions")
    permissions = tuple(_permission(item) for item in listed.items())
    if permissions and os_name == "windows":
        listed.error("apply to Linux only", "Remove them, or write 'os: linux'.")
    return ServerAppSpec(
        version=version,
        os=os_name,
        files=tuple(_file(item) for item in top.at("files").items()),
        permissions=permissions,
        hooks=_hooks(top.at("hooks")),
        file_exists_behavior=_file_exists_behavior(top.at("file_exists_behavior")),
    )


def _version(place: Place) -> float:
    if document.number(place.node) != 0:
        said = f"is {document.describe(place.node)}" if place.node is not None else "is missing"
        place.error(said, "Write 'version: 0.0', without quotes.")
    return 0.0


def _os(top: Place) -> str:
    place = top.at("os")
    if place.is_absent:
        if isinstance(top.node, document.Mapping) and any(key.lower() == "resources" for key in top.node.pairs):
            place.error("is missing, and there are Resources", "This is an AppSpec for Lambda or ECS; a host needs os.")
        else:
            place.error("is missing", "Write 'os: linux' or 'os: windows'.")
        return ""
    name = place.text()
    if name is not None and name not in OPERATING_SYSTEMS:
        place.error(f"is {document.shortened(name)!r}", "Write 'os: linux' or 'os: windows', in lower case.")
    return name or ""


def _file_exists_behavior(place: Place) -> str | None:
    said = place.text()
    if said is not None and said not in FILE_EXISTS_BEHAVIORS:
        place.error(f"is {document.shortened(said)!r}", f"Write one of {', '.join(FILE_EXISTS_BEHAVIORS)}.")
    return said


def _file(item: Place) -> FileMapping:
    source = destination = None
    if item.is_mapping("source", "destination"):
        source, destination = item.at("source").text(), item.at("destination").text()
        if item.at("source").is_absent:
            item.at("source").error("is missing", "Say which path of the revision to copy.")
        if item.at("destination").is_absent:
            of = f" for the source {document.shortened(source)!r}" if source is not None else ""
            item.at("destination").error(f"is missing{of}", "Say which directory of the host to copy it to.")
    return FileMapping(source=source or "", destination=destination or "", line=item.line)


def _hooks(place: Place) -> dict[str, tuple[Script, ...]]:
    if place.is_nothing or not place.is_mapping():
        return {}
    return {
        event: tuple(_script(item) for item in listed.items("Begin each script with '- location: '."))
        for event, listed in place.entries()
        if not listed.is_nothing
    }


def _script(item: Place) -> Script:
    if not item.is_mapping("location", "timeout", "runas", "sudo"):
        return Script(location="")
    location = scalars.strip(item.at("location").text() or "")
    if not location:
        item.at("location").error("is missing", "Give the script's path inside the revision.")
    runas = item.at("runas").text()
    return Script(
        location=location,
        timeout=_timeout(item.at("timeout")),
        runas=scalars.strip(runas) if runas is not None else None,
        sudo=not item.at("sudo").is_nothing,
        line=item.line,
    )


def _timeout(place: Place) -> int:
    """Seconds: a number cut to an integer, or the digits a text begins with (agent.md 6.4)."""
    if place.is_nothing:
        return DEFAULT_TIMEOUT
    said = place.text()
    if said is None:
        return DEFAULT_TIMEOUT
    value = document.number(place.node)
    if value is None and document.boolean(place.node) is None:
        value = scalars.leading_integer(said)
    if value is None or not math.isfinite(value) or int(value) <= 0:
        place.error(f"is {document.shortened(said)!r}, not a number of seconds above 0", "Write seconds: 300.")
        return DEFAULT_TIMEOUT
    if said != str(int(value)):
        place.warning(f"is {document.shortened(said)!r}, which is read as {int(value)} seconds", f"Write {int(value)}.")
    return int(value)


def _permission(item: Place) -> Permission:
    if not item.is_mapping("object", "pattern", "except", "type", "owner", "group", "mode", "acls", "context"):
        return Permission(object="")
    name = scalars.strip(item.at("object").text() or "")
    if not name:
        item.at("object").error("is missing", "Give the absolute path of a file or directory.")
    pattern = None if item.at("pattern").is_nothing else item.at("pattern").text()
    return Permission(
        object=name,
        pattern="**" if pattern is None else pattern,
        except_=_except(item.at("except")),
        type=_types(item.at("type")),
        owner=item.at("owner").text(),
        group=item.at("group").text(),
        mode=_mode(item.at("mode")),
        acls=read_acls(item.at("acls")),
        context=read_context(item.at("context")),
        line=item.line,
    )


def _except(listed: Place) -> tuple[str, ...]:
    found = []
    for item in listed.items("Write a list, as in: except: ['*.txt']"):
        said = item.text()
        if said is not None:
            found.append(said)
        elif item.is_absent:
            item.warning("is empty; it is ignored", "Remove it.")
    return tuple(found)


def _types(listed: Place) -> tuple[str, ...]:
    if listed.is_nothing:
        return PERMISSION_TYPES
    # One plain word is taken as a list of one; the official agent ends in a NoMethodError (agent.md 4.4.7).
    items = [listed] if isinstance(listed.node, Scalar) else list(listed.items())
    types = []
    for item in items:
        said = item.text()
        if said in PERMISSION_TYPES:
            types.append(said)
        elif said is not None or item.is_absent:
            item.error(f"is {document.describe(item.node)}", "Write file or directory.")
    return tuple(types)


def _mode(place: Place) -> str | None:
    said = place.text()
    if said is None:
        return None
    if not re.fullmatch(r"[0-7]{1,4}", said):
        place.error(f"is {document.shortened(said)!r}", "Write one to four octal digits, like 755 or 0644.")
        return None
    return said.rjust(3, "0")
