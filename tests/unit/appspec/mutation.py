"""AppSpec files spoilt as people, editors and attackers spoil them; seeded, so that a failure comes again."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence

_VALUES = (
    *rb"0.0 0 -1 linux ~ null no yes '' [] {} [a] [[a]] 0644 0755 755 1:00 0x10 1_000 1,000 1e3 .inf .nan :sym".split(),
    *rb"""<< *a !!str !!float !!binary '5' "\u0000" "\ud800" u:bob:rwx d:m:7 :: s0-s1:c0.c3 s0:c1024.c0""".split(),
    *rb"DISALLOW ** *.sh AWS::Lambda::Function AWS::ECS::Service $LATEST {{X}} 65536 --- ... %YAML @ ` !ruby/x".split(),
    *(b"{a: b}", b"&a b", b"!x y", b"<<: *a", b"? [a]", b"# x", b"\t", b"9" * 500),
)
_KEYS = (
    b"version os hooks files permissions file_exists_behavior source destination location timeout runas sudo object "
    b"pattern except owner group mode type acls context name range user << Resources Hooks Type Properties Name Alias "
    b"CurrentVersion TargetVersion TaskDefinition LoadBalancerInfo ContainerName ContainerPort NetworkConfiguration "
    b"CapacityProviderStrategy"
).split()
_BYTES = b":-{}[]'\"\t\n #&*!|>%@`\x00\xff\xc3,\r\x85"


def mutations(originals: Sequence[bytes], *, count: int, seed: int) -> Iterator[bytes]:
    """That many files, each one of the originals with one to four changes."""
    chance = random.Random(seed)
    for _ in range(count):
        text = chance.choice(originals)
        for _ in range(chance.randint(1, 4)):
            text = chance.choice((_replace_value, _replace_value, _rename_key, _move_line, _insert, _spoil))(
                text, chance
            )
        yield text


def _replace_value(text: bytes, chance: random.Random) -> bytes:
    found = list(re.finditer(rb":(?= )([^\n]*)$", text, re.MULTILINE))
    if not found:
        return text
    hit = chance.choice(found)
    return text[: hit.start(1)] + b" " + chance.choice(_VALUES) + text[hit.end(1) :]


def _rename_key(text: bytes, chance: random.Random) -> bytes:
    found = list(re.finditer(rb"\b\w{1,40}(?=\"?:)", text))
    if not found:
        return text
    hit = chance.choice(found)
    return text[: hit.start()] + chance.choice(_KEYS) + text[hit.end() :]


def _move_line(text: bytes, chance: random.Random) -> bytes:
    lines = text.split(b"\n")
    at = chance.randrange(len(lines))
    match chance.randrange(4):
        case 0:
            del lines[at]
        case 1:
            lines[at:at] = [chance.choice(lines)] * chance.randint(1, 50)
        case 2:
            lines[at] = b"  " + lines[at]
        case _:
            lines[at] = lines[at][1:]
    return b"\n".join(lines)


def _insert(text: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(text) + 1)
    return text[:at] + chance.choice(_VALUES) * chance.choice((1, 1, 1, 50)) + text[at:]


def _spoil(text: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(text) + 1)
    return (
        text[:at]
        + bytes(chance.choice(_BYTES) for _ in range(chance.randint(0, 3)))
        + text[at + chance.randint(0, 3) :]
    )
