"""Bundles made to harm, and bundles that are merely odd (agent.md 3.7–3.10, 10.14; field.md E)."""

# ruff: noqa: E501 - a case is read as one line of its table
from __future__ import annotations

import gzip
import io
import itertools
import lzma
import os
import stat
import struct
import subprocess
import sys
import tarfile
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longshore.agent import archive
from longshore.agent.archive import Limits, tree, unpack
from longshore.agent.archive.any_tar import Header
from longshore.agent.errors import ArchiveError

Member = tuple[str, dict[str, Any]]


def a_zip(*members: Member) -> bytes:
    made = io.BytesIO()
    # The library warns of what the attacks are about.
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(made, "w") as writer:
        for name, given in members:
            entry = zipfile.ZipInfo("x")
            entry.filename, entry.compress_type = name, zipfile.ZIP_DEFLATED
            entry.create_system = given.get("system", 3)
            content = given.get("content", b"")
            mode = given.get("mode", 0o644)
            if "link" in given:
                mode, content = stat.S_IFLNK | 0o777, given["link"].encode()
            entry.external_attr = mode << 16
            writer.writestr(entry, content)
    return made.getvalue()


def a_tar(*members: Member, how: str = "w") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=how) as writer:  # type: ignore[call-overload]
        for name, given in members:
            entry = tarfile.TarInfo(name)
            content = given.get("content", b"")
            entry.size, entry.mode = len(content), given.get("mode", 0o644)
            entry.uid, entry.gid = 12345, 12345
            for kind, type_ in (("link", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE)):
                if kind in given:
                    entry.type, entry.linkname = type_, given[kind]
            entry.type = given.get("type", entry.type)
            writer.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def unpacked(tmp_path: Path, content: bytes, kind: str = "zip", **limits: int) -> Path:
    bundle = tmp_path / "bundle.tar"
    bundle.write_bytes(content)
    unpack(bundle, kind, tmp_path / "out", Limits(**limits))
    return tmp_path / "out"


FILE = {"content": b"x"}
ATTACKS: list[tuple[str, list[Member], str]] = [
    ("parent", [("../x", FILE)], "leads outside"),
    ("parent in the middle", [("a/../../x", FILE)], "leads outside"),
    ("absolute", [("/etc/x", FILE)], "absolute name"),
    ("backslashes", [("..\\..\\x", FILE)], "backslash"),
    ("drive letter", [("C:\\x", FILE)], "backslash"),
    ("link to an absolute path", [("l", {"link": "/etc"})], "outside the bundle"),
    ("link above the root", [("a/l", {"link": "../../x"})], "outside the bundle"),
    ("link through a link", [("d/e/up", {"link": "../.."}), ("d/e/out", {"link": "up/.."})], "outside the bundle"),
    ("link through a later link", [("out", {"link": "d/up/.."}), ("d/up", {"link": ".."})], "outside the bundle"),
    ("write through a link", [("d", {"mode": 0o40755, "type": tarfile.DIRTYPE}), ("l", {"link": "d"}), ("l/x", FILE)], "through the symbolic link 'l'"),
    ("file over a link", [("l", {"link": "x"}), ("l", FILE)], "twice"),
    ("below a file", [("f", FILE), ("f/x", FILE)], "'f', which is a file"),
    ("twice", [("a", FILE), ("./a", FILE)], "twice"),
    ("setuid", [("a", {"mode": 0o104755})], "setuid"),
    ("setgid", [("a", {"mode": 0o102755})], "setuid, setgid"),
    ("sticky", [("a", {"mode": 0o101755})], "sticky"),
    ("link in a circle", [("a", {"link": "b"}), ("b", {"link": "a"})], "circle"),
    ("long name", [("n" * 300, FILE)], "too long"),
    ("long path", [("/".join(["d" * 200] * 20), FILE)], "too long"),
    ("deep path", [("d/" * 201 + "x", FILE)], "too deep"),
    ("the root itself", [(".", FILE)], "archive itself"),
]  # fmt: skip


@pytest.mark.parametrize(("members", "said"), [pytest.param(*case[1:], id=case[0]) for case in ATTACKS])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_attack_is_refused_and_writes_nothing_outside(
    tmp_path: Path, kind: str, members: list[Member], said: str
) -> None:
    content = a_zip(*members) if kind == "zip" else a_tar(*members)
    with pytest.raises(ArchiveError) as refused:
        unpacked(tmp_path, content, kind)
    assert said in str(refused.value)
    assert {path.name for path in tmp_path.iterdir()} == {"bundle.tar", "out"}


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (a_tar(("l", {"hard": "/etc/passwd"})), "tar", "absolute name"),
        (a_tar(("l", {"hard": "../x"})), "tar", "leads outside"),
        (a_tar(("s", {"link": "x"}), ("l", {"hard": "s"})), "tar", "no earlier file"),
        (a_tar(("f", {"type": tarfile.FIFOTYPE})), "tar", "device, pipe"),
        (a_tar(("d", {"type": tarfile.CHRTYPE})), "tar", "device, pipe"),
        (a_tar(("d", {"type": tarfile.BLKTYPE})), "tar", "device, pipe"),
        (a_zip(("f", {"mode": stat.S_IFIFO | 0o644})), "zip", "device, pipe"),
        (a_zip(("a\0b", FILE)), "zip", "NUL"),
        (b"not an archive at all", "zip", "damaged or not a zip"),
        (b"not an archive at all", "tar", "damaged or not a tar"),
        (b"", "tar", "damaged or not a tar"),
        (a_tar(("a", FILE)), "tgz", "damaged or not a tgz"),
        (a_zip(("a", {"content": os.urandom(5000)}))[:3000], "zip", "damaged"),
        (a_tar(("a", {"content": os.urandom(5000)}))[:3000], "tar", "truncated"),
        (a_tar(("a", FILE), ("b", FILE))[:1300], "tar", "truncated"),
        (a_tar(("a", {"content": os.urandom(50000)}), how="w:gz")[:30000], "tgz", "damaged"),
        (a_tar(("a", {"content": b"x" * 10}))[:1000], "tar", "truncated"),
        (a_tar(("a", {"content": b"x" * 700}), ("b" * 200, FILE))[:2000], "tar", "damaged"),
        (gzip.compress(a_tar(("a", FILE)))[:-2], "tgz", "damaged"),
        (gzip.compress(a_tar(("a", FILE)))[:-6] + b"odd sum", "tgz", "damaged"),
        (gzip.compress(a_tar(("a", FILE))) + b"\0\0 and more", "tgz", "damaged"),
        (
            a_tar(("a", {"type": tarfile.GNUTYPE_LONGNAME, "content": b"x" * 9}))[:512].replace(
                b"0000000011\0", b"-000001000\0"
            ),
            "tar",
            "damaged",
        ),
    ],
    ids=itertools.count(),
)
def test_a_bundle_of_the_wrong_kind_or_cut_short_is_refused(
    tmp_path: Path, content: bytes, kind: str, said: str
) -> None:
    with pytest.raises(ArchiveError) as refused:
        unpacked(tmp_path, content, kind)
    assert said in str(refused.value)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    content = bytearray(a_zip(("secret", FILE)))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(ArchiveError, match="'secret' is encrypted"):
        unpacked(tmp_path, bytes(content))


def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    content = a_tar(("naXe", FILE)).replace(b"naXe", b"na\xffe")
    # The checksum of the header, which the changed byte changes too.
    header = bytearray(content[:512])
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(ArchiveError, match="not UTF-8"):
        unpacked(tmp_path, bytes(header) + content[512:], "tar")


def test_the_number_of_entries_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="more than 5 entries"):
        unpacked(tmp_path, a_zip(*((f"f{number}", FILE) for number in range(6))), entries=5)


def test_directories_that_no_entry_names_count(tmp_path: Path) -> None:
    members = [(f"{number}/{'d/' * 150}f", FILE) for number in range(3)]
    with pytest.raises(ArchiveError, match="more than 400 entries"):
        unpacked(tmp_path, a_tar(*members), "tar", entries=400)
    assert len(list((tmp_path / "out").rglob("*"))) <= 400


def a_header(kind: bytes, size: int) -> bytes:
    """Of an entry `a` that says so."""
    entry = tarfile.TarInfo("a")
    entry.type, entry.size = kind, size
    return entry.tobuf(tarfile.GNU_FORMAT)


def a_directory_of(entries: int) -> bytes:
    """A zip that names one file over and over."""
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 33, 0, 0, 0, 1, 0) + b"a"
    listed = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    size, at = len(listed) * entries, len(local)
    ends = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, entries, entries, size, at)
    ends += struct.pack("<4sLQL", b"PK\6\7", 0, at + size, 1)
    ends += struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2**16 - 1, 2**16 - 1, 2**32 - 1, 2**32 - 1, 0)
    return local + listed * entries + ends


def a_dictionary_of_gigabytes() -> bytes:
    """An xz that asks for it, whatever it holds."""
    how = [{"id": lzma.FILTER_LZMA2, "dict_size": 2**20}]
    packed = bytearray(lzma.compress(a_tar(("a", FILE)), lzma.FORMAT_XZ, lzma.CHECK_NONE, filters=how))
    packed[packed.index(b"\x21\x01") + 2] = 37
    end = 12 + (packed[12] + 1) * 4 - 4
    packed[end : end + 4] = struct.pack("<I", zlib.crc32(packed[12:end]))
    return bytes(packed)


LARGE = bytes(100 * 1024**2)
#: What announces more than there is room for, or takes for ever to be read.
GREEDY: list[tuple[str, str, Callable[[], bytes], str]] = [
    ("a long extended header", "tgz", lambda: gzip.compress(a_header(b"x", len(LARGE)) + LARGE, 1), "headers are too long"),
    ("a long name", "tgz", lambda: gzip.compress(a_header(b"L", len(LARGE)) + LARGE, 1), "headers are too long"),
    ("long headers without end", "tgz", lambda: gzip.compress((a_header(b"g", 2**19) + bytes(2**19)) * 100, 1), "headers are too long"),
    ("a map of a sparse file", "tgz", lambda: gzip.compress(a_sparse_file(b"7\n" * 2**24), 1), "headers are too long"),
    ("a number of a million digits", "tar", lambda: a_header(b"x", 2**20) + b"1" * 2**20, "a number that is too long"),
    ("a directory of half a million entries", "zip", lambda: a_directory_of(500_000), "more memory"),
    ("a dictionary of gigabytes", "tar", a_dictionary_of_gigabytes, "more memory"),
]  # fmt: skip


def a_sparse_file(listed: bytes) -> bytes:
    said = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n23 GNU.sparse.name=abc\n27 GNU.sparse.realsize=999\n"
    return a_header(b"x", len(said)) + said.ljust(512, b"\0") + a_header(b"0", 2**30) + b"99999999\n" + listed


UNPACK = """
import sys
from pathlib import Path
from longshore.agent import archive
from longshore.agent.errors import ArchiveError
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
archive.unpack(Path(sys.argv[1]), "tar", Path(sys.argv[3], "first"), archive.Limits())
before = peak()
try:
    archive.unpack(Path(sys.argv[2]), sys.argv[4], Path(sys.argv[3], "second"), archive.Limits(entries=1000))
except ArchiveError as error:
    print(peak() - before, error)
"""


@pytest.mark.parametrize(("kind", "made", "said"), [pytest.param(*case[1:], id=case[0]) for case in GREEDY])
def test_what_would_take_all_memory_or_all_day_is_refused(
    tmp_path: Path, kind: str, made: Callable[[], bytes], said: str
) -> None:
    (tmp_path / "harmless").write_bytes(a_tar(("a", FILE)))
    (tmp_path / "greedy").write_bytes(made())
    words = [sys.executable, "-c", UNPACK, tmp_path / "harmless", tmp_path / "greedy", tmp_path, kind]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    more, _, refused = done.stdout.strip().partition(" ")
    assert said in refused, done.stderr
    assert int(more) < 160 * 1024, "KiB"


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_the_bytes_written_are_bounded(tmp_path: Path, kind: str) -> None:
    members = [(f"f{number}", {"content": b"0" * 1000}) for number in range(10)]
    with pytest.raises(ArchiveError, match="more than 5000 bytes"):
        unpacked(tmp_path, a_zip(*members) if kind == "zip" else a_tar(*members), kind, size=5000)


def test_a_bomb_is_known_by_its_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "SUSPICIOUS_SIZE", 1024 * 1024)
    with pytest.raises(ArchiveError, match="over 200 times its size"):
        unpacked(tmp_path, a_zip(("bomb", {"content": b"\0" * 20_000_000})))


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_modes_are_kept_owners_are_not(tmp_path: Path, kind: str) -> None:
    members = [("d/run", {"content": b"r", "mode": 0o100750}), ("plain", {"content": b"p", "mode": 0o100640})]
    out = unpacked(tmp_path, a_zip(*members) if kind == "zip" else a_tar(*members), kind)
    assert stat.S_IMODE((out / "d/run").stat().st_mode) == 0o750
    assert stat.S_IMODE((out / "plain").stat().st_mode) == 0o640
    assert (out / "plain").stat().st_uid == os.geteuid()


def test_a_zip_made_where_there_are_no_modes_gets_ordinary_ones(tmp_path: Path) -> None:
    out = unpacked(tmp_path, a_zip(("f", {"content": b"x", "mode": 0o100000, "system": 0})))
    assert stat.S_IMODE((out / "f").stat().st_mode) == 0o644


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_links_that_stay_inside_are_kept(tmp_path: Path, kind: str) -> None:
    members = [("a/f", FILE), ("a/l", {"link": "../a/f"}), ("b", {"link": "a"}), ("dangling", {"link": "later"})]
    out = unpacked(tmp_path, a_zip(*members) if kind == "zip" else a_tar(*members), kind)
    assert (out / "a/l").readlink() == Path("../a/f")
    assert (out / "b/f").read_bytes() == b"x"
    assert (out / "dangling").is_symlink()


def test_a_hard_link_inside_is_a_second_name(tmp_path: Path) -> None:
    out = unpacked(tmp_path, a_tar(("f", FILE), ("g", {"hard": "f"})), "tar")
    assert (out / "g").read_bytes() == b"x"


def test_a_read_only_directory_takes_its_files_first(tmp_path: Path) -> None:
    out = unpacked(tmp_path, a_tar(("d", {"type": tarfile.DIRTYPE, "mode": 0o555}), ("d/f", FILE)), "tar")
    assert (out / "d/f").exists()
    assert stat.S_IMODE((out / "d").stat().st_mode) == 0o755


@pytest.mark.parametrize(
    ("how", "kind"), [("w:gz", "tgz"), ("w:gz", "tar"), ("w:bz2", "tar"), ("w:xz", "tar"), ("w", "tar")]
)
def test_tar_is_whatever_its_first_bytes_say(tmp_path: Path, how: str, kind: str) -> None:
    content = os.urandom(100_000)
    out = unpacked(tmp_path, a_tar(("a", {"content": content}), ("b", FILE), how=how), kind)
    assert (out / "a").read_bytes() == content


def test_gzip_in_several_members_and_padded_to_a_tapes_blocks_is_read_to_its_end(tmp_path: Path) -> None:
    content = os.urandom(200_000)
    tar = a_tar(("a", {"content": content}), ("b", FILE))
    packed = gzip.compress(tar[:70_000]) + gzip.compress(tar[70_000:]) + b"\0" * 10_000
    out = unpacked(tmp_path, packed, "tgz")
    assert (out / "a").read_bytes() == content
    assert (out / "b").read_bytes() == b"x"


@pytest.mark.parametrize("how", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_plain_entries_may_stand_before_and_after_others(tmp_path: Path, how: int) -> None:
    made = io.BytesIO()
    names = ["a", "d/" + "long" * 40, "b", "grüße", "c"]
    with tarfile.open(fileobj=made, mode="w", format=how) as writer:
        for place, name in enumerate(names):
            entry = tarfile.TarInfo(name)
            # With and without padding behind it, and more than is read at once.
            content = name.encode() * (1, 512, 1000, 1, 400_000)[place]
            entry.size, entry.mtime = len(content), 1_700_000_000 + place
            writer.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("l")
        link.type, link.linkname = tarfile.LNKTYPE, "a"
        writer.addfile(link)
    out = unpacked(tmp_path, made.getvalue(), "tar")
    found = {str(path.relative_to(out)): path for path in out.rglob("*") if path.is_file()}
    assert set(found) == {*names, "l"}
    for place, name in enumerate(names):
        assert found[name].read_bytes() == name.encode() * (1, 512, 1000, 1, 400_000)[place]
        assert found[name].stat().st_mtime == 1_700_000_000 + place
    assert found["l"].samefile(found["a"])


def test_names_outside_ascii_and_a_root_entry_are_fine(tmp_path: Path) -> None:
    out = unpacked(tmp_path, a_tar(("./", {"type": tarfile.DIRTYPE, "mode": 0o755}), ("./grüße/ö", FILE)), "tar")
    assert (out / "grüße/ö").exists()


@pytest.mark.parametrize(
    ("names", "stripped"),
    [
        (["top/appspec.yml", "top/s.sh"], True),
        (["top/MyAppSpec.txt"], True),
        (["top/appspec.yml", "README"], False),
        (["top/other"], False),
        (["appspec.yml"], False),
    ],
)
def test_a_single_directory_around_everything_is_stripped(tmp_path: Path, names: list[str], stripped: bool) -> None:
    out = unpacked(tmp_path, a_zip(*((name, FILE) for name in names)))
    assert archive.strip_wrapper(out) == (out / "top" if stripped else out)


NAMES = st.sampled_from(["a", "b", "a/b", "../a", "/a", "a/../b", "./a", "a\\b", "", ".", "ü", "a/", "n" * 260, "a\0"])
MEMBERS = st.lists(
    st.tuples(
        NAMES,
        st.one_of(
            st.just(FILE),
            st.fixed_dictionaries({"link": NAMES}),
            st.fixed_dictionaries({"hard": NAMES}),
            st.fixed_dictionaries({"mode": st.integers(0, 0o177777)}),
            st.fixed_dictionaries({"type": st.sampled_from([tarfile.DIRTYPE, tarfile.FIFOTYPE, b"Z"])}),
        ),
    ),
    max_size=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    members=MEMBERS,
    kind=st.sampled_from(["zip", "tar"]),
    damage=st.none() | st.tuples(st.integers(0), st.integers(0, 255)),
)
def test_whatever_the_archive_nothing_comes_to_lie_outside(
    tmp_path_factory: pytest.TempPathFactory, members: list[Member], kind: str, damage: tuple[int, int] | None
) -> None:
    directory = tmp_path_factory.mktemp("fuzz")
    try:
        content = bytearray(a_zip(*members) if kind == "zip" else a_tar(*members))
    except ValueError:
        return
    if damage and content:
        content[damage[0] % len(content)] = damage[1]
    try:
        out = unpacked(directory, bytes(content), kind)
    except ArchiveError:
        out = directory / "out"
    assert {path.name for path in directory.iterdir()} <= {"bundle.tar", "out"}
    for path in out.rglob("*"):
        if not path.is_symlink():
            assert os.path.realpath(path).startswith(os.path.realpath(out))


@settings(max_examples=1500, deadline=None)
@given(
    kind=st.sampled_from([tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE]),
    name=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=60),
    numbers=st.tuples(st.integers(0, 0o7777), st.integers(0, 2**40), st.integers(0, 2**33)),
    how=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT]),
    changes=st.lists(st.tuples(st.integers(0, 511), st.integers(0, 255)), max_size=4),
    mends=st.booleans(),
)
def test_a_header_is_read_as_the_standard_library_reads_it(
    kind: bytes, name: str, numbers: tuple[int, int, int], how: int, changes: list[tuple[int, int]], mends: bool
) -> None:
    """Ours is the quicker one, and must not be the other one: spoilt headers, with and without a right checksum."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, (entry.mode, entry.size, entry.mtime) = kind, "x" if kind in b"12" else "", numbers
    try:
        block = bytearray(entry.tobuf(how)[-512:])
    except ValueError:
        return
    for place, value in changes:
        block[place] = value
    if mends:
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)

    def read(reader: type[tarfile.TarInfo]) -> object:
        try:
            found = reader.frombuf(bytes(block), "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            return type(error)
        kind = "file" if found.isreg() else found.type
        return (kind, found.name, found.mode, found.size, found.mtime, found.linkname, found.issparse())

    assert read(Header) == read(tarfile.TarInfo)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_times_are_kept(tmp_path: Path, kind: str) -> None:
    """Hosts behind one load balancer tell the same Last-Modified and ETag."""
    made = io.BytesIO()
    moment = 1_700_000_000
    if kind == "tar":
        with tarfile.open(fileobj=made, mode="w") as writer:
            for name, mtime in (("a", moment), ("odd", 2**35)):
                entry = tarfile.TarInfo(name)
                entry.mtime = mtime
                writer.addfile(entry)
    else:
        with zipfile.ZipFile(made, "w") as archive_:
            # As zip(1) writes it: the local time, which has even seconds and no zone, and the field of times in UTC.
            given = zipfile.ZipInfo("a", (2001, 1, 1, 0, 0, 0))
            given.extra = b"UT\x09\0\x03" + moment.to_bytes(4, "little") * 2
            archive_.writestr(given, "x")
            archive_.writestr(zipfile.ZipInfo("local", time.localtime(moment)[:6]), "x")
            archive_.writestr(zipfile.ZipInfo("odd", (1980, 0, 0, 0, 0, 0)), "x")
    out = unpacked(tmp_path, made.getvalue(), kind)
    assert (out / "a").stat().st_mtime == moment
    assert (out / "odd").exists()
    if kind == "zip":
        assert abs((out / "local").stat().st_mtime - moment) <= 1
