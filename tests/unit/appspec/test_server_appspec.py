"""What an AppSpec file may say, and the sentence it gets when it says something else (agent.md 6)."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.appspec import AppSpecError, parse_server

TOP = "version: 0.0\nos: linux\n"


@pytest.mark.parametrize(
    "text",
    [
        "version: 0\nos: linux\n",
        "version: 0.0\nos: linux\nfiles:\nhooks:\npermissions:\n",
        '{"version": 0.0, "os": "linux"}',
        TOP + "unknown: {key: [1]}\n",
        TOP + "hooks:\n  ApplicationStop:\n",
        TOP + "hooks:\n  NoSuchEvent:\n    - location: a.sh\n",
        TOP + "---\nsecond: document\n",
    ],
)
def test_accepted(text: str) -> None:
    parse_server(text.encode())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("# only a comment\n", "the file is empty"),
        ("os: linux\n", "version is missing"),
        ('version: "0.0"\nos: linux\n', "line 1: version is the text '0.0'. Write 'version: 0.0', without quotes."),
        ("version: 1\nos: linux\n", "line 1: version"),
        ("version: 0.0\n", "os is missing"),
        ("version: 0.0\nos: Linux\n", "line 2: os is 'Linux'. Write 'os: linux'"),
        ("version: 0.0\nos: [linux]\n", "os must be one plain value, but it is a list"),
        ("version: 0.0\nResources: []\n", "AppSpec for Lambda or ECS"),
        ("- version: 0.0\n", "the file must be a mapping (key: value), but it is a list"),
        ("just text", "the file must be a mapping"),
        (TOP + "files: {source: a}\n", "line 3: files must be a list, but it is a mapping"),
        (TOP + "files:\n - text\n", "line 4: files[0] must be a mapping"),
        (
            TOP + "files:\n - source: a\n",
            "line 4: files[0].destination is missing for the source 'a'. Say which directory",
        ),
        (TOP + "files:\n - destination: /a\n", "line 4: files[0].source is missing. Say which path"),
        (TOP + "hooks: [a]\n", "hooks must be a mapping"),
        (
            TOP + "hooks:\n  AfterInstall: a.sh\n",
            "line 4: hooks.AfterInstall must be a list, but it is the text 'a.sh'. Begin each script with",
        ),
        (TOP + "hooks:\n  AfterInstall:\n   - a.sh\n", "line 5: hooks.AfterInstall[0] must be a mapping"),
        (TOP + "hooks:\n  AfterInstall:\n   - location: ' '\n", "line 5: hooks.AfterInstall[0].location is missing"),
        (
            TOP + "hooks:\n  A:\n   - {location: a, timeout: 0}\n",
            "line 5: hooks.A[0].timeout is '0', not a number of seconds above 0. Write seconds",
        ),
        (TOP + "hooks:\n  A:\n   - {location: a, timeout: abc}\n", "timeout is 'abc'"),
        (TOP + "hooks:\n  A:\n   - {location: a, timeout: -3}\n", "timeout is '-3'"),
        (
            TOP + "file_exists_behavior: overwrite\n",
            "line 3: file_exists_behavior is 'overwrite'. Write one of DISALLOW",
        ),
        (TOP + "permissions:\n - mode: 755\n", "line 4: permissions[0].object is missing"),
        (
            TOP + "permissions:\n - {object: /a, mode: u+x}\n",
            "permissions[0].mode is 'u+x'. Write one to four octal digits",
        ),
        (TOP + "permissions:\n - {object: /a, mode: 99999}\n", "mode is '99999'"),
        (TOP + "permissions:\n - {object: /a, mode: 888}\n", "mode is '888'"),
        (
            TOP + "permissions:\n - {object: /a, type: [files]}\n",
            "permissions[0].type[0] is the text 'files'. Write file or directory",
        ),
        (TOP + "permissions:\n - {object: /a, except: '*.txt'}\n", "except must be a list"),
        (
            TOP + "permissions:\n - {object: /a, acls: ['u::rwx']}\n",
            "acls[0] is 'u::rwx', which names no user. Set the permissions",
        ),
        (TOP + "permissions:\n - {object: /a, acls: ['m:x:rwx']}\n", "gives a name to mask"),
        (TOP + "permissions:\n - {object: /a, acls: ['user:bob:rwz']}\n", "whose permissions 'rwz' are neither"),
        (TOP + "permissions:\n - {object: /a, acls: ['rwx']}\n", "is not made of two to four parts"),
        (TOP + "permissions:\n - {object: /a, context: {name: u}}\n", "permissions[0].context.type is missing"),
        (
            TOP + "permissions:\n - {object: /a, context: {type: t, range: x}}\n",
            "permissions[0].context.range is 'x', which has 'x' where s and a number belong",
        ),
        ("version: 0.0\nos: windows\npermissions:\n - object: /a\n", "permissions apply to Linux only. Remove them"),
        (
            TOP + "hooks:\n\t- tab\n",
            "Indent with spaces; YAML allows no tabs there",
        ),
        (
            TOP + "files: *unknown\n",
            "line 3: this is not valid YAML: *unknown refers to an anchor that is not there. Quote",
        ),
        (TOP + "x: *.sh\n", "Quote a value that begins with a star"),
        (TOP + "x: &a [*a]\n", "*a refers to an anchor that is not there"),
        (TOP + "x: !ruby/object:A {}\n", "line 3: the tag !ruby/object:A asks for an object of Ruby"),
        (TOP + "x: a: b\n", "Quote a value that holds ': '"),
        (TOP + "x: 'a\n", "Close the quotes"),
        (TOP + "x: [a\n", "Close every bracket"),
        (TOP + " x: a\n", "line 3"),
        (TOP + "# \x01\n", "line 3: the file holds a character that YAML does not allow"),
        (TOP + "permissions:\n - {object: /a, acls: no}\n", "acls must be a list, but it is a truth value"),
        (TOP + "permissions:\n - {object: /a, context: {type: t, range: s1-s0}}\n", "ends below its beginning"),
        (TOP + 'files:\n - {source: "a\\0b", destination: /x}\n', "NUL"),
    ],
)
def test_refused_with_line_key_and_remedy(text: str, said: str) -> None:
    with pytest.raises(AppSpecError) as refused:
        parse_server(text.encode())
    assert said in str(refused.value)


def test_bytes_that_are_no_text_are_refused_with_their_place() -> None:
    with pytest.raises(AppSpecError, match=r"line 2: the file is not UTF-8 text .* Save it as UTF-8"):
        parse_server(b"version: 0.0\nos: \xff\n")


def test_utf_16_is_named() -> None:
    with pytest.raises(AppSpecError, match=r"the file is UTF-16 text\. Save it as UTF-8"):
        parse_server(TOP.encode("utf-16"))


def test_an_error_has_every_problem_and_says_how_many_more() -> None:
    text = TOP + "hooks:\n  A:\n   - timeout: -1\nfiles:\n - {}\n"
    with pytest.raises(AppSpecError, match=r"AppSpec line 5: .* \(and 3 more\)") as refused:
        parse_server(text.encode())
    assert [(problem.line, problem.key) for problem in refused.value.problems] == [
        (5, "hooks.A[0].location"),
        (5, "hooks.A[0].timeout"),
        (7, "files[0].source"),
        (7, "files[0].destination"),
    ]


def test_a_byte_order_mark_is_harmless() -> None:
    assert parse_server(b"\xef\xbb\xbf" + TOP.encode()).os == "linux"


@pytest.mark.parametrize(
    ("said", "mode"), [("0755", "0755"), ("'0644'", "0644"), ("755", "755"), ("4755", "4755"), ("7", "  7")]
)
def test_a_mode_means_its_digits_quoted_or_not(said: str, mode: str) -> None:
    [entry] = parse_server(f"{TOP}permissions:\n - object: /a\n   mode: {said}\n".encode()).permissions
    assert entry.mode == mode.replace(" ", "0")


def test_type_may_be_one_word() -> None:
    [entry] = parse_server(f"{TOP}permissions:\n - object: /a\n   type: file\n".encode()).permissions
    assert entry.type == ("file",)


def test_the_context_user_is_read_from_name_and_from_user() -> None:
    for key in ("name", "user"):
        text = f"{TOP}permissions:\n - object: /a\n   context: {{{key}: system_u, type: t, range: s0-s1:c0.c3,c5}}\n"
        [entry] = parse_server(text.encode()).permissions
        assert entry.context is not None
        assert (entry.context.user, entry.context.type) == ("system_u", "t")


def test_anchors_and_merge_keys_are_followed() -> None:
    text = TOP + "x: &s {location: a.sh, timeout: 5}\nhooks:\n  A:\n   - *s\n   - <<: *s\n     timeout: 6\n"
    scripts = parse_server(text.encode()).hooks["A"]
    assert [(script.location, script.timeout) for script in scripts] == [("a.sh", 5), ("a.sh", 6)]


@pytest.mark.parametrize("level", ["[{0}]", "{{<<: [{0}]}}"], ids=["lists", "merge keys"])
def test_an_alias_bomb_is_refused_unexpanded(level: str) -> None:
    levels = "".join(f"l{n}: &l{n} {level.format(', '.join([f'*l{n - 1}'] * 9))}\n" for n in range(1, 40))
    with pytest.raises(AppSpecError, match="more than 250000 values"):
        parse_server((TOP + "l0: &l0 {x: y}\n" + levels).encode())


def test_merge_keys_that_copy_without_end_are_refused() -> None:
    wide = ", ".join(f"k{n}: v" for n in range(1000))
    copies = "- <<: *a\n" * 300
    with pytest.raises(AppSpecError, match="more than 250000 values"):
        parse_server(f"{TOP}a: &a {{{wide}}}\nb:\n{copies}".encode())


def test_nesting_has_a_bound() -> None:
    with pytest.raises(AppSpecError, match="nested more than"):
        parse_server((TOP + "a: " + "[" * 100_000).encode())


def test_a_huge_file_is_refused_unread() -> None:
    with pytest.raises(AppSpecError, match="the file has more than 1048576 bytes"):
        parse_server(b"#" * (1024 * 1024 + 1))


PIECES = st.sampled_from(
    [
        "version",
        "os",
        ": ",
        "linux",
        "0.0",
        "\n",
        "  ",
        "- ",
        "hooks",
        "files",
        "permissions",
        "&a ",
        "*a",
        "<<",
        "[",
        "]",
        "{",
        "}",
        "\t",
        "mode",
        "0755",
        "acls",
        "context",
        "type",
        "location",
        "~",
        "'",
        '"',
        "!!binary ",
        "?",
        "\x00",
        "\ufeff",
        "---\n",
    ]
)


@given(st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=60).map(lambda parts: "".join(parts).encode())))
def test_whatever_the_bytes_only_an_appspec_error_comes_out(content: bytes) -> None:
    for prefix in (b"", TOP.encode()):
        with suppress(AppSpecError):
            parse_server(prefix + content)
