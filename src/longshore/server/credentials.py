"""The first keys: made at the first start, written where any AWS tool can read them."""

from __future__ import annotations

import os
from pathlib import Path

from longshore.auth.keys import PrincipalKind
from longshore.domain.ids import new_access_key_id, new_secret_access_key
from longshore.server.settings import Settings
from longshore.store import access_keys
from longshore.store.access_keys import AccessKey
from longshore.store.database import Transaction

_SERVICE_USER = "longshore/control-plane"


def root_key(tx: Transaction, account: str, now: float) -> AccessKey:
    """The key of the account's owner."""
    return _get_or_make(tx, account, f"arn:aws:iam::{account}:root", PrincipalKind.ROOT, now)


def service_key(tx: Transaction, account: str, now: float) -> AccessKey:
    """The key by which the control plane itself reads an account's bundles from onebox."""
    return _get_or_make(tx, account, f"arn:aws:iam::{account}:user/{_SERVICE_USER}", PrincipalKind.SERVICE, now)


def write_credentials(settings: Settings, key: AccessKey) -> Path:
    """Write the owner's key to ``<data-dir>/credentials``, for its user's eyes only."""
    # Some AWS tools take the region from here and not from AWS_REGION.
    text = (
        "# The owner of this Longshore: whoever holds this key may deploy anything to any host.\n"
        "[default]\n"
        f"aws_access_key_id = {key.access_key_id}\n"
        f"aws_secret_access_key = {key.secret_access_key}\n"
        f"region = {settings.region}\n"
    )
    return _write_private(settings.data_dir / "credentials", text)


def write_metrics_token(settings: Settings, token: str) -> Path:
    """Write what Prometheus shows to read the metrics to ``<data-dir>/metrics-token``, for its user's eyes only."""
    return _write_private(settings.data_dir / "metrics-token", token)


def _write_private(path: Path, text: str) -> Path:
    """Whole or not at all."""
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
    return path


def _get_or_make(tx: Transaction, account: str, arn: str, kind: PrincipalKind, now: float) -> AccessKey:
    # One that was made inactive is no way in.
    held = [key for key in access_keys.held_by(tx, account, kind.value, arn) if key.status == "Active"]
    if held:
        return held[0]
    key = AccessKey(
        access_key_id=new_access_key_id("AKIA"),
        secret_access_key=new_secret_access_key(),
        account=account,
        principal_arn=arn,
        kind=kind.value,
        create_time=now,
    )
    access_keys.add(tx, key)
    return key
