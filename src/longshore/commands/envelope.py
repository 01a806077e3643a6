"""The signed specification of a deployment: what agents trust, in the two wrappings they open.

The official agent reads PKCS7 and checks nothing (agent.md 1.7.2). Ours pins an Ed25519 key and checks the signature;
the two signers have separate keys, so that nothing made for one passes for the other.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import pkcs7

from longshore.domain.revision import git_url
from longshore.store import server_secrets
from longshore.store.database import Transaction
from longshore.store.deployments import Deployment

#: What our agent's signature covers before the payload, so that it can never be a signature of something else.
_CONTEXT = b"longshore-specification-v1\n"
_VARIANT = "longshore-ed25519"
#: The member that holds what only our agent reads.
_OURS = "Longshore"
_CERTIFICATE_LIFETIME = timedelta(days=3650)


@dataclass(frozen=True, kw_only=True)
class Signer:
    """Signs specifications; the same on every replica."""

    native: Ed25519PrivateKey
    compatible: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def public_key(self) -> str:
        """What a host pins: base64 of the 32 raw bytes."""
        raw = self.native.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return base64.b64encode(raw).decode()


def signer(tx: Transaction, now: float) -> Signer:
    """The control plane's signer; its keys are made the first time."""
    native = server_secrets.get_or_make(tx, "specification-signer", lambda: _pem(Ed25519PrivateKey.generate()))
    compatible = server_secrets.get_or_make(
        tx, "specification-signer-pkcs7", lambda: _pem(ec.generate_private_key(ec.SECP256R1()))
    )
    key = serialization.load_pem_private_key(compatible.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    certificate = server_secrets.get_or_make(tx, "specification-certificate", lambda: _certificate(key, now))
    native_key = serialization.load_pem_private_key(native.encode(), None)
    assert isinstance(native_key, Ed25519PrivateKey)
    made = Signer(native=native_key, compatible=key, certificate=x509.load_pem_x509_certificate(certificate.encode()))
    server_secrets.get_or_make(tx, server_secrets.SPECIFICATION_SIGNER_PUBLIC, lambda: made.public_key)
    return made


def specification(deployment: Deployment, github_token: str | None = None) -> dict[str, Any]:
    """What every host of a deployment is told (agent.md 1.6); `Longshore` holds what only our agent reads.

    `github_token` is the application's; only a revision at GitHub carries it.
    """
    told: dict[str, Any] = {
        "DeploymentId": deployment.id,
        "DeploymentGroupId": deployment.group_id,
        "DeploymentGroupName": deployment.group_name,
        "ApplicationName": deployment.application_name,
        "DeploymentCreator": deployment.creator,
        # By these two the agent knows whose scripts run when traffic is moved back (S3.18).
        "DeploymentType": "BLUE_GREEN" if deployment.is_blue_green else "IN_PLACE",
        "Revision": _revision(deployment.revision),
        "AgentActionOverrides": {
            "AgentOverrides": {"FileExistsBehavior": deployment.document.get("fileExistsBehavior", "DISALLOW")}
        },
    }
    if github_token and told["Revision"]["RevisionType"] == "GitHub":
        told["GitHubAccessToken"] = github_token
    if bundle := deployment.bundle:
        if bundle.installed_by:
            # A restart: the archive is on the host already (agent.md 11.3). Agents that do not know this download it.
            told["ReuseArchiveFromDeploymentId"] = bundle.installed_by
        if bundle.appspec_filename:
            told["AppSpecFilename"] = bundle.appspec_filename
        ours = {"BundleUrl": bundle.url, "BundleSha256": bundle.sha256, "BundleSize": bundle.size}
        told[_OURS] = {name: value for name, value in ours.items() if value is not None}
    if deployment.parameters:
        told[_OURS] = told.get(_OURS, {}) | {"Parameters": deployment.parameters}
    return told


def seal(signer: Signer, told: Mapping[str, Any]) -> dict[str, Any]:
    """A specification as GetDeploymentSpecification answers it, signed for both kinds of agent."""
    # The official agent writes all it is told into its log when asked to be verbose: no presigned URL for it.
    official = {name: value for name, value in told.items() if name != _OURS}
    return {
        "GenericEnvelope": {"Format": "PKCS7/JSON", "Payload": _pkcs7(signer, _as_json(official))},
        "VariantId": _VARIANT,
        "VariantEnvelope": {"Format": "ED25519/JSON", "Payload": _native(signer, _as_json(told))},
    }


def _as_json(told: Mapping[str, Any]) -> bytes:
    return json.dumps(told, separators=(",", ":")).encode()


def _native(signer: Signer, payload: bytes) -> str:
    public = base64.b64decode(signer.public_key)
    return json.dumps(
        {
            "payload": base64.b64encode(payload).decode(),
            "signature": base64.b64encode(signer.native.sign(_CONTEXT + payload)).decode(),
            "keyid": hashlib.sha256(public).hexdigest()[:16],
            "publicKey": signer.public_key,
        }
    )


def _pkcs7(signer: Signer, payload: bytes) -> str:
    # Content and certificate inside, PEM: the one form that every generation of the agent opens (agent.md 1.7.5).
    builder = pkcs7.PKCS7SignatureBuilder().set_data(payload)
    builder = builder.add_signer(signer.certificate, signer.compatible, hashes.SHA256())
    return builder.sign(serialization.Encoding.PEM, [pkcs7.PKCS7Options.Binary]).decode()


def _revision(location: Mapping[str, Any]) -> dict[str, Any]:
    if location["revisionType"] == "S3":
        s3 = location["s3Location"]
        names = {"Bucket": "bucket", "Key": "key", "BundleType": "bundleType", "Version": "version", "ETag": "eTag"}
        return {"RevisionType": "S3", "S3Revision": {ours: s3[api] for ours, api in names.items() if s3.get(api)}}
    github = location["gitHubLocation"]
    if url := git_url(github["repository"]):
        # Ours alone: the official agent knows GitHub and nothing else, and says that it does not know this type.
        return {"RevisionType": "Git", "GitRevision": {"Url": url, "CommitId": github["commitId"]}}
    account, _, repository = github["repository"].partition("/")
    return {
        "RevisionType": "GitHub",
        "GitHubRevision": {"Account": account, "Repository": repository, "CommitId": github["commitId"]},
    }


def _pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _certificate(key: ec.EllipticCurvePrivateKey, now: float) -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Longshore specification signer")])
    start = datetime.fromtimestamp(now, UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _CERTIFICATE_LIFETIME)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
