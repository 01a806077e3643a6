"""Objects in S3: by the presigned URL that the control plane sent, or by credentials of this host (agent.md 3.2)."""

from __future__ import annotations

import ipaddress
import os
import re
import time
from urllib.parse import quote, urlsplit

from longshore.agent.config import HostConfig
from longshore.agent.errors import BundleError, WireError
from longshore.agent.identity import Provider
from longshore.agent.signer import Signer
from longshore.agent.sources import Fetched, Fetching
from longshore.agent.sources.transfer import Expected, Origin, Refusal, download
from longshore.agent.specification import Revision

_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[a-z0-9-]{2,40}")


def fetch(asked: Fetching) -> Fetched:
    """Download the object, and check what is known of it."""
    told, revision = asked.specification, asked.specification.revision
    origin: Origin
    if asked.config.s3_own_credentials:
        origin = _own(revision, asked.config)
    elif told.bundle_url:
        origin = _Presigned(revision, told.bundle_url)
    else:
        raise BundleError(
            f"the specification has no download URL for s3://{revision.bucket}/{revision.key}; with "
            "s3_own_credentials: true in its configuration, this agent uses credentials of the host"
        )
    download(origin, asked, Expected(revision.etag, told.bundle_size, told.bundle_sha256))
    return Fetched(asked.target, revision.bundle_type)


class _Presigned:
    """Whoever has the URL may read the object."""

    endpoint = "s3"

    def __init__(self, revision: Revision, url: str) -> None:
        self.name = f"s3://{revision.bucket}/{revision.key}"
        self.url = url

    def headers(self, _url: str) -> dict[str, str]:
        return {}

    def elsewhere(self, _refusal: Refusal) -> str | None:
        return None

    def explain(self, refusal: Refusal) -> str:
        return _said(refusal)


class _Own:
    """Every request is signed anew: credentials may change, and a retry may come late."""

    endpoint = "s3"

    def __init__(self, revision: Revision, config: HostConfig, region: str, provider: Provider) -> None:
        self.name = f"s3://{revision.bucket}/{revision.key}"
        self._revision = revision
        self._config = config
        self._provider = provider
        self._region = region
        self._signed_as = ""
        self.url = self._url()

    def headers(self, url: str) -> dict[str, str]:
        parts = urlsplit(url)
        try:
            credentials = self._provider.credentials()
        except (WireError, OSError, ValueError, KeyError) as error:
            raise BundleError(f"this host has no AWS credentials to read {self.name} with now: {error}") from None
        self._signed_as = credentials.access_key
        signed = Signer(region=self._region, service="s3").sign(
            {"host": parts.netloc},
            b"",
            credentials,
            time.time(),
            method="GET",
            path=parts.path,
            query=parts.query,
        )
        del signed["host"]
        return signed

    def elsewhere(self, refusal: Refusal) -> str | None:
        """A bucket is asked for in its own region; S3 says which that is."""
        region = refusal.headers.get("x-amz-bucket-region", "")
        if self._config.s3_endpoint_override or region == self._region or not _REGION.fullmatch(region):
            return None
        self._region = region
        self.url = self._url()
        return self.url

    def explain(self, refusal: Refusal) -> str:
        said = _said(refusal)
        if refusal.status == 403:
            said += (
                f" (signed as {self._signed_as} in {self._region}; it needs s3:GetObject"
                f"{' and s3:GetObjectVersion' if self._revision.version else ''} on the object)"
            )
        return said

    def _url(self) -> str:
        bucket, key = self._revision.bucket, quote(self._revision.key, safe="/~")
        query = f"?versionId={quote(self._revision.version, safe='~')}" if self._revision.version else ""
        base = self._config.s3_endpoint_override
        if base:
            return f"{base.rstrip('/')}/{quote(bucket, safe='')}/{key}{query}"
        host = f"{'s3-fips' if self._config.use_fips_mode else 's3'}.{self._region}.{_domain(self._region)}"
        # A dot in the name would not fit the certificate.
        if _LABEL.fullmatch(bucket) and not _is_address(bucket):
            return f"https://{bucket}.{host}/{key}{query}"
        return f"https://{host}/{quote(bucket, safe='')}/{key}{query}"


def _own(revision: Revision, config: HostConfig) -> _Own:
    from longshore.agent.sources.credentials import of_this_host, region_of

    provider = of_this_host(config, os.environ)
    if provider is None:
        raise BundleError(
            f"this host has no AWS credentials to read s3://{revision.bucket}/{revision.key} with. Set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws/credentials, or the on-premises file, "
            "or give the instance a role."
        )
    return _Own(revision, config, region_of(config, os.environ), provider)


def _domain(region: str) -> str:
    if region.startswith("cn-"):
        return "amazonaws.com.cn"
    return "amazonaws.eu" if region.startswith("eusc-") else "amazonaws.com"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _said(refusal: Refusal) -> str:
    """Code and Message of S3's XML error, else the reason."""
    # Two elements of a fixed shape; an XML parser would bring its own attack surface.
    text = refusal.body.decode("utf-8", "replace")
    found = [re.search(rf"<{tag}>([^<]{{1,500}})</{tag}>", text) for tag in ("Code", "Message")]
    said = ": ".join(match.group(1) for match in found if match)
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&amp;", "&")):
        said = said.replace(entity, character)
    return f"the storage answered {refusal.status} {said or refusal.reason}"
