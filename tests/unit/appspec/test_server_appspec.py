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
        ('version: "0.0"\nos: linux\n', "line 1: version is the text '0.0'"),
        ("version: 1\nos: linux\n", "line 1: version"),
        ("version: 0.0\n", "os is missing"),
        ("version: 0.0\nos: Linux\n", "line 2: os 'Linux'"),
        ("version: 0.0\nos: [linux]\n", "os must be one plain value, but it is a list"),
        ("version: 0.0\nResources: []\n", "AppSpec for Lambda or ECS"),
        ("- version: 0.0\n", "the file must be a mapping (key: value), but it is a list"),
        ("just text", "the file must be a mapping"),
        (TOP + "files: {source: a}\n", "line 3: files must be a list"),
        (TOP + "files:\n - text\n", "line 4: an item of files must be a mapping"),
        (TOP + "files:\n - source: a\n", "line 4: the files item with source 'a' has no destination"),
        (TOP + "files:\n - destination: /a\n", "line 4: a files item has no source"),
        (TOP + "hooks: [a]\n", "hooks must be a mapping"),
        (TOP + "hooks:\n  AfterInstall: a.sh\n", "hooks: AfterInstall must be a list"),
        (TOP + "hooks:\n  AfterInstall:\n   - a.sh\n", "an item of hooks: AfterInstall must be a mapping"),
        (TOP + "hooks:\n  AfterInstall:\n   - location: ' '\n", "line 5: a script of AfterInstall has no location"),
        (TOP + "hooks:\n  A:\n   - {location: a, timeout: 0}\n", "timeout '0'"),
        (TOP + "hooks:\n  A:\n   - {location: a, timeout: abc}\n", "timeout 'abc'"),
        (TOP + "hooks:\n  A:\n   - {location: a, timeout: -3}\n", "timeout '-3'"),
        (TOP + "file_exists_behavior: overwrite\n", "line 3: file_exists_behavior 'overwrite'"),
        (TOP + "permissions:\n - mode: 755\n", "line 4: a permissions item has no object"),
        (TOP + "permissions:\n - {object: /a, mode: u+x}\n", "mode 'u+x'"),
        (TOP + "permissions:\n - {object: /a, mode: 99999}\n", "mode '99999'"),
        (TOP + "permissions:\n - {object: /a, mode: 888}\n", "mode '888'"),
        (TOP + "permissions:\n - {object: /a, type: [files]}\n", "type 'files'"),
        (TOP + "permissions:\n - {object: /a, except: '*.txt'}\n", "except must be a list"),
        (TOP + "permissions:\n - {object: /a, acls: ['u::rwx']}\n", "names no user or group"),
        (TOP + "permissions:\n - {object: /a, acls: ['m:x:rwx']}\n", "gives a name to mask"),
        (TOP + "permissions:\n - {object: /a, acls: ['user:bob:rwz']}\n", "neither one octal digit"),
        (TOP + "permissions:\n - {object: /a, acls: ['rwx']}\n", "is not written"),
        (TOP + "permissions:\n - {object: /a, context: {name: u}}\n", "the context has no type"),
        (TOP + "permissions:\n - {object: /a, context: {type: t, range: x}}\n", "the context range 'x'"),
        ("version: 0.0\nos: windows\npermissions:\n - object: /a\n", "permissions apply to Linux only"),
        (TOP + "hooks:\n\t- tab\n", "line 4: this is not valid YAML"),
        (TOP + "files: *unknown\n", "this is not valid YAML"),
        (TOP + "? [a]\n: b\n", "a key must be plain text"),
        (TOP + 'files:\n - {source: "a\\0b", destination: /x}\n', "NUL"),
    ],
)
def test_refused_with_line_key_and_remedy(text: str, said: str) -> None:
    with pytest.raises(AppSpecError) as refused:
        parse_server(text.encode())
    assert said in str(refused.value)


def test_bytes_that_are_no_text_are_refused_with_their_place() -> None:
    with pytest.raises(AppSpecError, match="line 2: the file is not UTF-8 text"):
        parse_server(b"version: 0.0\nos: \xff\n")


def test_a_byte_order_mark_is_harmless() -> None:
    assert parse_server(b"\xef\xbb\xbf" + TOP.encode()).os == "linux"


@pytest.mark.parametrize(
    ("said", "mode"), [("0755", "0755"), ("'0644'", "0644"), ("755", "755"), ("4755", "4755"), ("7", "  7")]
)
def test_a_mode_means_its_digits_quoted_or_not(said: str, mode: str) -> None:
    [entry] = parse_server(f"{TOP}permissions:\n - object: /a\n   mode: {said}\n".encode()).permissions
    assert entry.mode == mode.replace(" ", "0")


@pytest.mark.parametrize(("said", "seconds"), [("30", 30), ('"30"', 30), ("1.9", 1), ("30s", 30), ("", 3600)])
def test_a_timeout_is_its_leading_digits(said: str, seconds: int) -> None:
    spec = parse_server(f"{TOP}hooks:\n  A:\n   - location: ' a.sh '\n     timeout: {said}\n".encode())
    assert spec.hooks["A"][0].timeout == seconds
    assert spec.hooks["A"][0].location == "a.sh"


@pytest.mark.parametrize(
    ("said", "sudo"), [("true", True), ("yes", True), ("'false'", True), ("1", True), ("false", False), ("", False)]
)
def test_sudo_is_any_true_value(said: str, sudo: bool) -> None:
    spec = parse_server(f"{TOP}hooks:\n  A:\n   - location: a\n     sudo: {said}\n".encode())
    assert spec.hooks["A"][0].sudo is sudo


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


def test_an_alias_bomb_is_not_expanded() -> None:
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 40))
    parse_server((TOP + "l0: &l0 [x]\n" + levels).encode())


def test_nesting_has_a_bound() -> None:
    with pytest.raises(AppSpecError, match="nested more than"):
        parse_server((TOP + "a: " + "[" * 100_000).encode())


def test_a_huge_file_is_refused_unread() -> None:
    with pytest.raises(AppSpecError, match="bytes; an AppSpec file may have"):
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
