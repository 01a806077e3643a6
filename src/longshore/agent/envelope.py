"""The signed envelope of a specification, and whom this host trusts to sign (agent.md 1.7).

Only Longshore's own envelope is read: an Ed25519 signature over the specification, by the signer this host has
pinned. The PKCS7 envelope beside it, which the official agent opens without checking, is not even looked at.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import os
from pathlib import Path
from typing import Any

from longshore.agent.errors import SpecificationError
from longshore.agent.layout import write_atomically

VARIANT = "longshore-ed25519"
FORMAT = "ED25519/JSON"
#: Put before the payload when it is signed, so that a signature means nothing elsewhere.
SIGNED_PREFIX = b"longshore-specification-v1\n"
#: Of Ed25519 (RFC 8032).
_KEY_BYTES, _SIGNATURE_BYTES = 32, 64


class SignerPin:
    """The one key whose specifications are obeyed: configured, or the first one seen."""

    def __init__(self, configured: bytes | None, stored: Path) -> None:
        self._configured = configured
        self._stored = stored

    def check(self, offered: bytes) -> None:
        """Refuse every key but the pinned one; remembers `offered` when there is none yet (trust on first use)."""
        pinned = self._configured or self._remembered(offered)
        if not hmac.compare_digest(pinned, offered):
            how = (
                "put the new key in specification_signer in the agent's configuration and restart it"
                if self._configured
                else f"delete {self._stored}; the next specification's signer is then trusted"
            )
            raise SpecificationError(
                "the specification is signed by another key than the one this host trusts. "
                f"If the control plane's signing key was changed on purpose, {how}."
            )

    def _remembered(self, offered: bytes) -> bytes:
        try:
            return base64.b64decode(self._stored.read_bytes().strip(), validate=True)
        except FileNotFoundError:
            pass
        except (binascii.Error, ValueError):
            raise SpecificationError(f"{self._stored} is damaged; write the signer's key there or delete it") from None
        # Linked, not renamed: of two workers at the first deployment only one key may win.
        beside = self._stored.with_name(f"{self._stored.name}.{os.getpid()}")
        write_atomically(beside, base64.b64encode(offered) + b"\n", 0o600)
        try:
            self._stored.hardlink_to(beside)
        except FileExistsError:
            return self._remembered(offered)
        finally:
            beside.unlink()
        return offered


def open_envelope(answer: dict[str, Any], pin: SignerPin) -> dict[str, Any]:
    """The specification in GetDeploymentSpecification's answer, its signature verified."""
    if answer.get("DeploymentSystem") != "CodeDeploy":
        raise SpecificationError(f"the deployment system is {answer.get('DeploymentSystem')!r}, not CodeDeploy")
    container = answer.get("DeploymentSpecification")
    if not isinstance(container, dict):
        raise SpecificationError("the control plane sent no deployment specification")
    envelope = container.get("VariantEnvelope")
    if not isinstance(envelope, dict) or container.get("VariantId") != VARIANT:
        raise SpecificationError(
            f"the control plane sent no {VARIANT} envelope. This agent obeys only specifications signed by a pinned "
            "key; the PKCS7 envelope of AWS CodeDeploy cannot be pinned. Use a Longshore server, or the official agent."
        )
    if envelope.get("Format") != FORMAT:
        raise SpecificationError(
            f"the specification's envelope has the format {envelope.get('Format')!r}, not {FORMAT}"
        )
    parts = _object(envelope.get("Payload"), "the specification's envelope")
    payload, signature, key = (_bytes(parts, name) for name in ("payload", "signature", "publicKey"))
    # Verified before it is pinned: a broken envelope must not decide whom this host trusts.
    _verify(key, signature, payload)
    pin.check(key)
    return _object(payload, "the specification")


def _verify(key: bytes, signature: bytes, payload: bytes) -> None:
    # Loaded once in a worker's life: the idle poller has none of it. PyNaCl's public functions would bring all of
    # libsodium's, which takes a worker three times as long.
    from nacl._sodium import ffi, lib

    signed = signature + SIGNED_PREFIX + payload
    is_right = (
        len(key) == _KEY_BYTES
        and len(signature) == _SIGNATURE_BYTES
        and lib.sodium_init() >= 0
        and lib.crypto_sign_open(
            ffi.new("unsigned char[]", len(signed)), ffi.new("unsigned long long *"), signed, len(signed), key
        )
        == 0
    )
    if not is_right:
        raise SpecificationError("the specification's signature is wrong; it was altered on its way")


def _object(text: object, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text) if isinstance(text, str | bytes) else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise SpecificationError(f"{what} is not a JSON object")
    return value


def _bytes(values: dict[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(values[name], validate=True)
    except (KeyError, TypeError, ValueError):
        raise SpecificationError(f"the specification's envelope has no usable {name}") from None
