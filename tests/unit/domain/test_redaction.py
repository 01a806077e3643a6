"""No secret gets into a log, whatever stands around it; and what is no secret stays."""

from __future__ import annotations

import json
import re
import secrets
import string

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from longshore.domain.ids import new_secret_access_key
from longshore.domain.redaction import MARK, redacted, without_secrets

_WORD = string.ascii_letters + string.digits
_HEX = string.digits + "abcdef"

#: All-letter ones, one in some four thousand, are known by their name only.
secret_keys = st.text(_WORD + "+/", min_size=40, max_size=40).filter(
    lambda key: any(c.isupper() for c in key) and any(c.islower() for c in key) and any(not c.isalpha() for c in key)
)
session_tokens = st.text(_WORD + "_-", min_size=128, max_size=128).filter(
    lambda token: (
        any(c.isupper() for c in token) and any(c.islower() for c in token) and any(c.isdigit() for c in token)
    )
)
signatures = st.text(_HEX, min_size=64, max_size=64)
github_tokens = st.one_of(
    st.text(_WORD, min_size=36, max_size=36).map(lambda letters: f"ghp_{letters}"),
    st.text(_WORD, min_size=36, max_size=36).map(lambda letters: f"ghs_{letters}"),
    st.text(_WORD + "_", min_size=82, max_size=82).map(lambda letters: f"github_pat_{letters}"),
)
passwords = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\"'<>"), min_size=6)
#: Whatever else a line says; it ends in a space, so that it is no part of the secret.
around = st.text(st.characters(codec="utf-8"), max_size=40).map(lambda text: f"{text} ")


@given(secret_keys, around, around)
def test_the_secret_of_a_key_is_known_by_its_form(secret: str, before: str, after: str) -> None:
    assert secret not in redacted(f"{before}{secret} {after}")


@given(session_tokens, around)
def test_a_session_token_is_known_by_its_form(token: str, before: str) -> None:
    assert token not in redacted(f"{before}{token}")
    assert token not in redacted(f"{before}('{token}',)")


@given(github_tokens, around)
def test_a_github_token_is_known_by_its_form(token: str, before: str) -> None:
    assert token not in redacted(f"{before}{token}")
    assert token not in redacted(f"git clone https://{token}@github.com/o/r failed")
    assert token not in redacted(f"Authorization: token {token}")


@given(signatures, around)
def test_a_signature_does_not_stay_in_any_spelling(signature: str, before: str) -> None:
    header = (
        "AWS4-HMAC-SHA256 Credential=AKIAABCDEFGHIJKLMNOP/20261124/us-east-1/s3/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={signature}"
    )
    lines = [
        f"Authorization: {header}",
        f"{{'authorization': '{header}'}}",
        f"(b'authorization', b'{header}')",
        header,
        json.dumps({"headers": {"Authorization": header}}),
        f"GET /b/k?X-Amz-Credential=AKIA%2F2026&X-Amz-Signature={signature}&X-Amz-Date=1 HTTP/1.1",
        f"https://h/b/k?AWSAccessKeyId=AKIAABCDEFGHIJKLMNOP&Signature={signature}&Expires=1",
        f"b'X-Amz-Signature={signature}'",
        f"redirect=https%3A%2F%2Fh%2F%3FX-Amz-Signature%3D{signature}",
    ]
    for line in lines:
        assert signature not in redacted(before + line), line


@pytest.mark.parametrize(
    "name",
    [
        "aws_secret_access_key",
        "SecretAccessKey",
        "secretAccessKey",
        "X-Amz-Security-Token",
        "SessionToken",
        "aws_session_token",
        "password",
        "gitHubAccountToken",
        "metrics-token",
    ],
)
@given(value=st.text(_WORD + "+/_-", min_size=1, max_size=60))
@example(value="short")
def test_what_stands_under_the_name_of_a_secret_goes(name: str, value: str) -> None:
    lines = [
        f"{name} = {value}!",
        f"{name}: {value}!",
        f"{name}={value}!",
        f"?a=1&{name}={value}!&b=2",
        f'{{"{name}": "{value}!"}}',
        f"{{'{name}': '{value}!'}}",
        f"('{name}', b'{value}!')",
        f"<{name}>{value}!</{name}>",
    ]
    for line in lines:
        assert f"{value}!" not in redacted(line), line
        assert MARK in redacted(line)
    assert without_secrets({"said": {name: f"{value}!"}}) == {"said": {name: MARK}}


@given(st.text(_WORD, min_size=1), passwords, around)
def test_the_userinfo_of_a_url_goes(user: str, password: str, before: str) -> None:
    # Digits and a slash are a port and a path to whoever reads the address, and nobody's password is quoted so.
    assume(not re.match(r"\d{1,5}[/?#]", password))
    line = redacted(f"{before}cannot connect to postgresql://{user}:{password}@db.example.com:5432/longshore at all")
    assert f":{password}@" not in line
    assert "at all" in line


def test_a_private_key_goes_whole() -> None:
    body = "\n".join(secrets.token_hex(32) for _ in range(4))
    assert redacted(f"cannot read -----BEGIN EC PRIVATE KEY-----\n{body}\n-----END EC PRIVATE KEY----- of web") == (
        f"cannot read {MARK} of web"
    )
    assert body not in redacted(f"-----BEGIN PRIVATE KEY-----\n{body}")


@pytest.mark.parametrize(
    "line",
    [
        "d-ABCDEFGHI of arn:aws:codedeploy:us-east-1:000000000000:deploymentgroup:shop/prod",
        "3f2504e0-4f89-41d3-9a0c-0305e82c3301 AKIAABCDEFGHIJKLMNOP",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0bb822cd15d6c15b0f00a0",
        "commit da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "InvalidUpdateOutdatedInstancesOnlyValueException",
        "InvalidLifecycleEventHookExecutionStatusE",
        'File "/usr/lib/python3.11/site-packages/longshore/onebox/machinery/objects/store.py", line 12, in put',
        "http://127.0.0.1:8420/releases/shop-1.zip",
        "https://deploy.example.com/a/b?list-type=2&prefix=a@b",
        "The token is wrong. The secret of it is that the password was changed.",
        "2026-11-24T18:00:00Z request_failed reason='no such table: deployments'",
    ],
)
def test_what_is_no_secret_stays(line: str) -> None:
    assert redacted(line) == line
    assert without_secrets({"event": line, "count": 3, "none": None, "all": (line,)}) == {
        "event": line,
        "count": 3,
        "none": None,
        "all": [line],
    }


@given(st.text(max_size=200))
@example("password='a'b'")
@example('token="')
def test_a_second_time_changes_nothing(text: str) -> None:
    once = redacted(text)
    assert redacted(once) == once


def test_long_hostile_lines_are_read_in_linear_time() -> None:
    """They pass through these patterns on the way into the log: a client must not be able to stall it."""
    for piece in (
        "://",
        "a://a:",
        "token",
        "token=",
        'password="',
        "AWS4-A Signature=",
        "eyJaaaaaaaa.",
        "-----BEGIN ",
        "A1",
        "A1a/",
    ):
        redacted(piece * (200_000 // len(piece)))


@pytest.mark.parametrize(
    "address",
    [
        "https://hooks.slack.com/services/T0000/B0000/XXXXXXXX",
        "https://discord.com/api/webhooks/123456/abcDEF-ghi_JKL",
    ],
)
def test_an_address_that_is_a_secret_goes(address: str) -> None:
    said = redacted(f"could not post to {address}: 404")
    assert address.rpartition("/")[2] not in said
    assert said.endswith(f"/{MARK} 404")


def test_an_enrollment_token_goes_whole() -> None:
    secret = secrets.token_urlsafe(32)
    line = f"cannot use lsenroll1.ABCDEFGHIJKLMNOPQRST.{secret}.eu-central-1.{'0' * 64}.{'f' * 64}: expired"
    assert redacted(line) == f"cannot use {MARK}: expired"


def test_the_keys_we_make_are_known() -> None:
    for _ in range(50):
        key = new_secret_access_key()
        assert key not in redacted(f"secret_access_key={key}")
