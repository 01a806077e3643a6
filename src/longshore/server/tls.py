"""The server's certificate: checked at the start, and taken anew when its files change."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
import stat
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from longshore.server.settings import SettingsError

log = structlog.get_logger()

#: How often the files are looked at, seconds.
_LOOK_EVERY = 5.0


class Certificate:
    """A certificate and its key, in files that somebody else renews."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises SettingsError: the two cannot be used, and why."""
        self._certificate = certificate
        self._key = key
        #: Of the certificate that is shown, in hexadecimal.
        self.sha256 = ""
        self._seen = self._look()
        self._current = self._load()
        #: What to listen with: it hands every handshake to the newest certificate.
        self.context = self._current
        self.context.sni_callback = self._choose

    def _renew(self, tell: Callable[[str], None]) -> None:
        self._seen = self._look()
        try:
            self._current = self._load()
        except SettingsError as error:
            log.error("tls_certificate_refused", reason=f"{error} The last one stays in use.")
            return
        tell(self.sha256)

    @contextlib.asynccontextmanager
    async def renewed(self, tell: Callable[[str], None]) -> AsyncIterator[None]:
        """Take what the files hold for new connections when they change, at SIGHUP at once; open ones stay.

        `tell` hears the SHA-256 of each certificate that is taken, in hexadecimal.
        """
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._renew, tell)
        task = asyncio.create_task(self._keep_looking(tell))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _keep_looking(self, tell: Callable[[str], None]) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            if self._look() != self._seen:
                self._renew(tell)

    def _look(self) -> tuple[object, ...]:
        return tuple(_identity(path) for path in (self._certificate, self._key))

    # Called in every handshake, with a server name or without.
    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current

    def _load(self) -> ssl.SSLContext:
        shown = _first_in(self._certificate)
        ends = shown.not_valid_after_utc
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            mode = self._key.stat().st_mode
            self._key.read_bytes()
            context.load_cert_chain(self._certificate, self._key, password=self._refuse_to_ask)
        except ssl.SSLError as error:
            raise SettingsError(_explained(error, self._certificate, self._key)) from None
        except OSError as error:
            raise SettingsError(f"The key {self._key} cannot be read: {error.strerror}.") from None
        log.info("tls_certificate", file=str(self._certificate), ends=ends.isoformat())
        if ends < datetime.now(UTC):
            log.warning("tls_certificate_expired", ended=ends.isoformat(), reason="Clients will refuse it: renew it.")
        if mode & stat.S_IRWXO:
            log.warning("tls_key_readable_by_all", file=str(self._key), reason="Whoever has it can be this server.")
        self.sha256 = shown.fingerprint(hashes.SHA256()).hex()
        return context

    def _refuse_to_ask(self) -> str:
        # Without this, OpenSSL would ask for it on the terminal and wait.
        raise SettingsError(
            f"The key {self._key} is locked with a passphrase, and nobody is there to type it. "
            "Give one without: openssl pkey -in KEY -out NEW_KEY."
        )


def _identity(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _first_in(path: Path) -> x509.Certificate:
    try:
        chain = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"The certificate {path} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise SettingsError(
            f"{path} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----), or a damaged one."
        ) from None
    return chain[0]


def _explained(error: ssl.SSLError, certificate: Path, key: Path) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"The key {key} does not belong to the certificate {certificate}; a chain begins with the server's own."
    if error.reason in ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"):
        return f"The certificate {certificate} or its key is too weak for this system's TLS ({error.reason})."
    return f"{key} holds no private key in PEM form that fits {certificate} ({error.reason or error})."
