"""AWS Signature Version 4: POST / with a body for the control plane (agent.md 1.1.2), GET of an object for S3."""

from __future__ import annotations

import hashlib
import hmac
import time

from longshore.agent.identity import Credentials


class Signer:
    """Signs requests to one service in one region; the derived key is kept for its day."""

    def __init__(self, *, region: str, service: str) -> None:
        self.region = region
        self.service = service
        self._key: tuple[tuple[str, str], bytes] | None = None

    def sign(
        self,
        headers: dict[str, str],
        body: bytes,
        credentials: Credentials,
        now: float,
        *,
        method: str = "POST",
        path: str = "/",
        query: str = "",
    ) -> dict[str, str]:
        """`headers` (names in lower case, `host` among them) completed with date, hash and authorization.

        `path` and `query` are as they are sent: encoded once, parameters in order.
        """
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        day = moment[:8]
        signed = dict(headers)
        signed["x-amz-date"] = moment
        signed["x-amz-content-sha256"] = digest = hashlib.sha256(body).hexdigest()
        if credentials.token:
            signed["x-amz-security-token"] = credentials.token
        names = sorted(signed)
        name_list = ";".join(names)
        canonical_headers = "".join(f"{name}:{' '.join(signed[name].split())}\n" for name in names)
        canonical = f"{method}\n{path}\n{query}\n{canonical_headers}\n{name_list}\n{digest}"
        scope = f"{day}/{self.region}/{self.service}/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.new(self._day_key(day, credentials), to_sign.encode(), hashlib.sha256).hexdigest()
        signed["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={name_list}, Signature={signature}"
        )
        return signed

    def _day_key(self, day: str, credentials: Credentials) -> bytes:
        wanted = (day, credentials.secret_key)
        if self._key is None or self._key[0] != wanted:
            key = b"AWS4" + credentials.secret_key.encode()
            for part in (day, self.region, self.service, "aws4_request"):
                key = hmac.new(key, part.encode(), hashlib.sha256).digest()
            self._key = (wanted, key)
        return self._key[1]
