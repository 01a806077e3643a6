"""SigV4 as botocore signs it, and everything that must not pass for it."""

import time
from hashlib import sha256
from typing import Any
from unittest import mock
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.utils import percent_encode_sequence
from hypothesis import given
from hypothesis import strategies as st

from longshore.auth import sigv4
from longshore.auth.keyring import KEYS_BELIEVED_FOR, Keyring
from longshore.auth.keys import Key, PrincipalKind
from longshore.auth.sigv4 import SignedRequest, authenticate

KEY = Key(
    access_key_id="AKIDEXAMPLE",
    secret_access_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    account="000000000000",
    principal_arn="arn:aws:iam::000000000000:root",
    kind=PrincipalKind.ROOT,
)
SESSION = Key(
    access_key_id="ASIASESSION",
    secret_access_key="session-secret",
    account="000000000000",
    principal_arn="arn:aws:sts::000000000000:assumed-role/r/web-1",
    kind=PrincipalKind.USER,
    session_token="the/token==",
)
KEYS = {key.access_key_id: key for key in (KEY, SESSION)}
HOST = "127.0.0.1:8420"
BODY = b'{"deploymentId":"d-ABCDEFGHI"}'
TARGET = "CodeDeploy_20141006.GetDeployment"


def signed(
    signer: type[SigV4Auth] = SigV4Auth,
    *,
    method: str = "POST",
    path: str = "/",
    query: str = "",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    service: str = "codedeploy",
    key: Key = KEY,
    secret: str | None = None,
    **options: Any,
) -> SignedRequest:
    """What arrives when botocore signs this."""
    url = f"http://{HOST}{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method, url, data=body, headers=headers or {})
    credentials = Credentials(key.access_key_id, secret or key.secret_access_key, key.session_token)
    signer(credentials, service, "eu-west-1", **options).add_auth(request)
    arrived = [(name.lower(), str(value)) for name, value in request.headers.items()]
    parts = urlsplit(request.url)
    return SignedRequest(method, parts.path, parts.query, [*arrived, ("host", HOST)])


def json_call(**more: Any) -> SignedRequest:
    return signed(headers={"X-Amz-Target": TARGET, "Content-Type": "application/x-amz-json-1.1"}, body=BODY, **more)


def checked(
    request: SignedRequest, *, body: bytes | None = BODY, late: float = 0, services: tuple[str, ...] = ("codedeploy",)
) -> sigv4.Identity:
    """Authenticate, `late` seconds after the signature."""
    try:
        now = sigv4.read_claim(request).signed_at + late
    except sigv4.SignatureRefused:
        now = time.time()
    digest = None if body is None else sha256(body).hexdigest()
    return authenticate(request, Keyring(KEYS.get), body_sha256=digest, now=now, services=services)


def with_headers(request: SignedRequest, **changes: str | None) -> SignedRequest:
    """The request with headers changed, added or (None) taken away; _ stands for -."""
    named = {name.replace("_", "-"): value for name, value in changes.items()}
    kept = [(name, value) for name, value in request.headers if name not in named]
    return request._replace(headers=kept + [(name, value) for name, value in named.items() if value is not None])


def authorization(request: SignedRequest) -> str:
    return dict(request.headers)["authorization"]


class TestWhatBotocoreSigns:
    def test_a_json_call_is_its_signers(self) -> None:
        assert checked(json_call()) == sigv4.Identity(KEY, "eu-west-1", "codedeploy")

    def test_a_temporary_key_comes_with_its_token(self) -> None:
        assert checked(json_call(key=SESSION)).key is SESSION

    def test_a_date_header_will_do(self) -> None:
        assert checked(signed(headers={"Date": "anything, botocore writes its own"}), body=b"").key is KEY

    @given(
        path=st.text(st.characters(codec="utf-8"), max_size=30),
        query=st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=5),
        values=st.lists(st.text("ab \t,;=é/", max_size=12), max_size=3),
        body=st.binary(max_size=64),
    )
    def test_any_path_query_and_headers(
        self, path: str, query: list[tuple[str, str]], values: list[str], body: bytes
    ) -> None:
        headers = {
            f"x-amz-meta-{number}": value.encode("ascii", "ignore").decode() for number, value in enumerate(values)
        }
        wire = {
            "path": "/" + quote(path, safe="/~"),
            "query": percent_encode_sequence(query),
            "headers": headers,
            "body": body,
        }
        for signer, service in ((SigV4Auth, "lambda"), (S3SigV4Auth, "s3")):
            request = signed(signer, method="PUT", service=service, **wire)
            assert checked(request, body=body, services=(service,)).service == service

    @given(
        path=st.text(st.characters(codec="utf-8"), max_size=30),
        query=st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), max_size=4),
        expires=st.integers(1, 604_800),
    )
    def test_any_presigned_url(self, path: str, query: dict[str, str], expires: int) -> None:
        wire = {"path": "/" + quote(path, safe="/~"), "query": percent_encode_sequence(query)}
        for signer, service in ((SigV4QueryAuth, "sts"), (S3SigV4QueryAuth, "s3")):
            request = signed(signer, method="GET", service=service, expires=expires, **wire)
            body = b"" if service == "sts" else None
            assert checked(request, body=body, late=expires, services=(service,)).key is KEY
            with pytest.raises(sigv4.SignatureExpired):
                checked(request, body=body, late=expires + 1, services=(service,))

    def test_a_space_in_a_query_may_be_a_plus(self) -> None:
        request = signed(query="a=1%202", method="GET")
        assert checked(request._replace(query="a=1+2"), body=b"").key is KEY

    def test_repeated_headers_are_one_value(self) -> None:
        request = signed(headers={"x-amz-meta-a": "1,2"})
        kept = [pair for pair in request.headers if pair[0] != "x-amz-meta-a"]
        repeated = request._replace(headers=[*kept, ("x-amz-meta-a", "1"), ("x-amz-meta-a", " 2")])
        assert checked(repeated, body=b"").key is KEY

    def test_parts_of_the_header_may_stand_in_any_order_and_without_spaces(self) -> None:
        request = json_call()
        algorithm, _, rest = authorization(request).partition(" ")
        turned = ",".join(reversed(rest.split(", ")))
        assert checked(with_headers(request, authorization=f"{algorithm} {turned}")).key is KEY

    def test_s3_may_check_the_body_while_it_streams(self) -> None:
        request = signed(S3SigV4Auth, method="PUT", service="s3", body=b"content", path="/bucket/key")
        assert sigv4.read_claim(request).payload == sha256(b"content").hexdigest()
        assert checked(request, body=None, services=("s3",)).key is KEY

    def test_nobody_else_may(self) -> None:
        with pytest.raises(ValueError, match="only S3"):
            checked(json_call(), body=None)


class TestRefusals:
    def refusal(self, request: SignedRequest, **how: Any) -> sigv4.SignatureRefused:
        with pytest.raises(sigv4.SignatureRefused) as caught:
            checked(request, **how)
        assert caught.value.status == 400
        return caught.value

    def test_an_unsigned_request(self) -> None:
        error = self.refusal(with_headers(json_call(), authorization=None))
        assert (error.code, error.message) == ("MissingAuthenticationTokenException", "Missing Authentication Token")

    @pytest.mark.parametrize(
        ("value", "says"),
        [
            ("Basic dXNlcjpwYXNz", "must begin with AWS4-HMAC-SHA256"),
            ("AWS4-HMAC-SHA256", "requires 'Credential' parameter"),
            ("AWS4-HMAC-SHA256 Credential=a/20260101/r/s/aws4_request, SignedHeaders=host", "requires 'Signature'"),
            ("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=0", "exactly 5 slash-delimited"),
            ("AWS4-HMAC-SHA256 Credential=a/1/2/3/4, Credential=b/1/2/3/4, Signature=0", "more than one 'Credential'"),
        ],
    )
    def test_an_unreadable_header(self, value: str, says: str) -> None:
        error = self.refusal(with_headers(json_call(), authorization=value))
        assert error.code == "IncompleteSignatureException"
        assert says in error.message

    @pytest.mark.parametrize("date", ["yesterday", "20261323T000000Z", "2026-11-23T00:00:00Z"])
    def test_an_unreadable_date(self, date: str) -> None:
        assert self.refusal(with_headers(json_call(), x_amz_date=date)).code == "IncompleteSignatureException"

    def test_no_date(self) -> None:
        assert "requires either" in self.refusal(with_headers(json_call(), x_amz_date=None)).message

    def test_a_wrong_secret(self) -> None:
        error = self.refusal(json_call(secret="guessed"))
        assert error.code == "InvalidSignatureException"
        assert error.message.startswith(
            "The request signature we calculated does not match the signature you provided."
        )

    def test_an_unknown_key(self) -> None:
        unknown = Key(
            access_key_id="AKIANOBODY", secret_access_key="x", account="", principal_arn="", kind=PrincipalKind.USER
        )
        error = self.refusal(json_call(key=unknown))
        assert error.code == "UnrecognizedClientException"
        assert error.message == "The security token included in the request is invalid."

    def test_an_unknown_key_signed_with_the_secret_that_stands_in_for_it(self) -> None:
        nobody = Key(
            access_key_id="AKIANOBODY",
            secret_access_key="0" * 40,
            account="",
            principal_arn="",
            kind=PrincipalKind.USER,
        )
        assert self.refusal(json_call(key=nobody)).code == "UnrecognizedClientException"

    def test_an_unknown_key_takes_the_work_of_a_wrong_signature(self) -> None:
        with mock.patch.object(sigv4, "_canonical_request", wraps=sigv4._canonical_request) as work:
            self.refusal(json_call(secret="guessed"))
            self.refusal(json_call(key=Key(**{**_fields(KEY), "access_key_id": "AKIANOBODY"})))
        assert work.call_count == 2

    @pytest.mark.parametrize(
        "change",
        [
            {"method": "GET"},
            {"path": "/other"},
            {"query": "Action=Delete"},
        ],
        ids=str,
    )
    def test_another_request_line(self, change: dict[str, str]) -> None:
        assert isinstance(self.refusal(json_call()._replace(**change)), sigv4.SignatureMismatch)

    @pytest.mark.parametrize("header", ["host", "x_amz_target", "content_type"])
    def test_another_value_of_a_signed_header(self, header: str) -> None:
        changed = with_headers(json_call(), **{header: "another"})
        assert isinstance(self.refusal(changed), sigv4.SignatureMismatch)

    def test_a_signed_header_lost_on_the_way(self) -> None:
        lost = with_headers(json_call(), content_type=None)
        assert isinstance(self.refusal(lost), sigv4.SignatureMismatch)

    def test_another_body(self) -> None:
        assert isinstance(self.refusal(json_call(), body=BODY + b" "), sigv4.SignatureMismatch)

    def test_another_body_under_a_signed_hash_of_the_first(self) -> None:
        request = signed(headers={"X-Amz-Content-SHA256": sha256(BODY).hexdigest()}, body=BODY)
        assert isinstance(self.refusal(request, body=b"other"), sigv4.SignatureMismatch)

    def test_an_unsigned_payload_where_it_is_not_s3(self) -> None:
        request = signed(headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}, body=BODY)
        assert isinstance(self.refusal(request), sigv4.SignatureMismatch)

    @pytest.mark.parametrize("header", ["host", "x-amz-date", "x-amz-target"])
    def test_a_header_that_must_be_signed(self, header: str) -> None:
        request = json_call()
        names = ";".join(name for name in sigv4.read_claim(request).signed_headers if name != header)
        head, _, tail = authorization(request).partition("SignedHeaders=")
        unsigned = with_headers(request, authorization=f"{head}SignedHeaders={names}, {tail.partition(', ')[2]}")
        error = self.refusal(unsigned)
        assert isinstance(error, sigv4.HeadersNotSigned)
        assert error.names == (header,)

    def test_an_operation_added_to_a_request_that_had_none(self) -> None:
        request = with_headers(signed(body=BODY), x_amz_target=TARGET)
        assert isinstance(self.refusal(request), sigv4.HeadersNotSigned)

    def test_an_amz_header_added_to_an_s3_request(self) -> None:
        request = signed(S3SigV4QueryAuth, method="PUT", service="s3", path="/b/k")
        forged = with_headers(request, x_amz_copy_source="/b/secret")
        assert isinstance(self.refusal(forged, body=None, services=("s3",)), sigv4.HeadersNotSigned)

    @pytest.mark.parametrize("header", ["host", "x-amz-date", "x-amz-target", "authorization", "x-amz-security-token"])
    def test_a_header_given_twice(self, header: str) -> None:
        request = json_call(key=SESSION)
        twice = request._replace(headers=[*request.headers, (header, dict(request.headers)[header])])
        error = self.refusal(twice)
        assert (error.code, error.message) == (
            "IncompleteSignatureException",
            f"The header {header} may be given once only.",
        )

    def test_five_minutes_late_and_no_more(self) -> None:
        assert checked(json_call(), late=300).key is KEY
        request = json_call()
        timestamp = dict(request.headers)["x-amz-date"]
        error = self.refusal(request, late=301)
        assert error.code == "InvalidSignatureException"
        assert error.message.startswith(f"Signature expired: {timestamp} is now earlier than ")
        assert error.message.endswith(" - 5 min.)")

    def test_five_minutes_early_and_no_more(self) -> None:
        assert checked(json_call(), late=-300).key is KEY
        error = self.refusal(json_call(), late=-301)
        assert error.message.startswith("Signature not yet current: ")
        assert error.message.endswith(" + 5 min.)")

    def test_a_presigned_url_from_the_future(self) -> None:
        request = signed(SigV4QueryAuth, method="GET", service="sts")
        assert isinstance(self.refusal(request, body=b"", late=-301, services=("sts",)), sigv4.SignatureNotYetCurrent)

    @pytest.mark.parametrize("expires", ["604801", "-1", "x", "", "9" * 400])
    def test_a_presigned_url_for_longer_than_a_week(self, expires: str) -> None:
        request = signed(SigV4QueryAuth, method="GET", service="sts")
        changed = request._replace(query=request.query.replace("Expires=3600", f"Expires={expires}"))
        assert self.refusal(changed, body=b"", services=("sts",)).code == "IncompleteSignatureException"

    @pytest.mark.parametrize("name", ["Credential", "Date", "Expires", "SignedHeaders", "Signature"])
    def test_a_presigned_url_without_or_twice_with_a_part(self, name: str) -> None:
        request = signed(SigV4QueryAuth, method="GET", service="sts")
        pairs = request.query.split("&")
        (part,) = (pair for pair in pairs if pair.startswith(f"X-Amz-{name}="))
        without = "&".join(pair for pair in pairs if pair != part)
        for query in (without, f"{request.query}&{part}"):
            error = self.refusal(request._replace(query=query), body=b"", services=("sts",))
            assert error.code == "IncompleteSignatureException"

    def test_a_signature_in_both_places(self) -> None:
        request = signed(SigV4QueryAuth, method="GET", service="sts")
        both = with_headers(request, authorization=authorization(json_call()))
        assert "not in both" in self.refusal(both, body=b"", services=("sts",)).message

    def test_another_scope_service(self) -> None:
        error = self.refusal(json_call(service="codedeploy-commands"))
        assert isinstance(error, sigv4.WrongScope)
        assert error.message == "Credential should be scoped to correct service: 'codedeploy'."

    @pytest.mark.parametrize(
        ("old", "new", "kind"),
        [
            ("/aws4_request", "/aws5_request", sigv4.WrongScope),
            ("/eu-west-1/", "/us-east-1/", sigv4.SignatureMismatch),
            ("/codedeploy/", "/codedeploy-commands-secure/", sigv4.SignatureMismatch),
        ],
    )
    def test_a_changed_scope(self, old: str, new: str, kind: type[sigv4.SignatureRefused]) -> None:
        request = json_call()
        changed = with_headers(request, authorization=authorization(request).replace(old, new))
        error = self.refusal(changed, services=("codedeploy", "codedeploy-commands-secure"))
        assert isinstance(error, kind)

    def test_a_scope_of_another_day(self) -> None:
        request = json_call()
        day = dict(request.headers)["x-amz-date"][:8]
        changed = with_headers(request, authorization=authorization(request).replace(f"/{day}/", "/20200101/"))
        error = self.refusal(changed)
        assert isinstance(error, sigv4.WrongScope)
        assert "does not match YYYYMMDD" in error.message

    @pytest.mark.parametrize("token", [None, "another"])
    def test_a_temporary_key_without_its_token(self, token: str | None) -> None:
        bare = Key(**{**_fields(SESSION), "session_token": token})
        assert self.refusal(json_call(key=bare)).code == "UnrecognizedClientException"

    def test_a_token_with_a_lasting_key(self) -> None:
        with_token = Key(**{**_fields(KEY), "session_token": "borrowed"})
        assert self.refusal(json_call(key=with_token)).code == "UnrecognizedClientException"

    @given(st.text(st.characters(codec="latin-1"), max_size=80))
    def test_no_header_is_more_than_refused(self, value: str) -> None:
        self.refusal(with_headers(json_call(), authorization=value))
        self.refusal(with_headers(json_call(), authorization=f"AWS4-HMAC-SHA256 {value}, Signature={value}"))


class TestKeyring:
    def test_a_key_is_loaded_once_and_again_when_it_may_have_changed(self) -> None:
        asked: list[str] = []
        ring = Keyring(lambda name: (asked.append(name), KEYS.get(name))[1])
        for now in (0.0, 1.0, KEYS_BELIEVED_FOR - 1):
            assert ring.find("AKIDEXAMPLE", now) is KEY
            assert ring.find("AKIANOBODY", now) is None
        assert asked == ["AKIDEXAMPLE", "AKIANOBODY"]
        ring.find("AKIDEXAMPLE", KEYS_BELIEVED_FOR)
        ring.forget("AKIANOBODY")
        ring.find("AKIANOBODY", 1.0)
        assert asked[2:] == ["AKIDEXAMPLE", "AKIANOBODY"]

    def test_it_stays_bounded_however_many_keys_are_made_up(self) -> None:
        ring = Keyring(lambda name: None)
        for number in range(20_000):
            ring.find(f"AKIA{number}", 0.0)
            ring.signing_key(KEY, f"{number:08}", "eu-west-1", "codedeploy")
        assert len(ring._keys) <= 4096
        assert len(ring._signing_keys) <= 4096

    def test_a_new_secret_under_an_old_id_is_another_signing_key(self) -> None:
        ring = Keyring(KEYS.get)
        again = Key(**{**_fields(KEY), "secret_access_key": "new"})
        scope = ("20260101", "eu-west-1", "codedeploy")
        assert ring.signing_key(KEY, *scope).sign(b"x") != ring.signing_key(again, *scope).sign(b"x")


def _fields(key: Key) -> dict[str, Any]:
    return {name: getattr(key, name) for name in Key.__dataclass_fields__}
