"""Signs what is sent, so that a subscriber can tell that it is ours: as SNS does, with a certificate to check it by."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from longshore.onebox.machinery.records import Owner, Records

_KIND = "sns.signer"
_NOBODYS = Owner("", "")
_DAYS = 3650
#: What is signed of each type of message, in this order, where it is there.
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}


class Signer:
    """The key of this server's SNS, made when it is first needed and kept."""

    def __init__(self, records: Records) -> None:
        with records.transaction() as tx:
            kept = tx.get(_KIND, _NOBODYS, "key")
        if kept is None:
            # Not in the transaction: it takes a tenth of a second.
            made = _made()
            with records.transaction() as tx:
                kept = tx.get(_KIND, _NOBODYS, "key") or made
                tx.put(_KIND, _NOBODYS, "key", kept)
        self.certificate: bytes = kept["certificate"].encode()
        key = serialization.load_pem_private_key(kept["key"].encode(), password=None)
        assert isinstance(key, rsa.RSAPrivateKey)
        self._key = key

    @property
    def page(self) -> str:
        """The path at which the certificate is to be had."""
        return f"/SimpleNotificationService-{hashlib.sha256(self.certificate).hexdigest()[:32]}.pem"

    def sign(self, message: Mapping[str, str], version: str) -> str:
        """The signature of a message, base64; version 1 is by SHA-1, 2 by SHA-256."""
        said = "".join(f"{name}\n{message[name]}\n" for name in _SIGNED[message["Type"]] if name in message)
        digest = hashes.SHA1() if version == "1" else hashes.SHA256()  # noqa: S303  # who asks for version 1 gets it
        return base64.b64encode(self._key.sign(said.encode(), padding.PKCS1v15(), digest)).decode()


def _made() -> dict[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.longshore")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_DAYS))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {"key": private.decode(), "certificate": certificate.public_bytes(serialization.Encoding.PEM).decode()}
