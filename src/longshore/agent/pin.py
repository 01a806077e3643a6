"""The certificate by which this host knows its control plane, whoever else vouches for it or not."""

from __future__ import annotations

from typing import NamedTuple


class Pin(NamedTuple):
    """The one certificate that a server may show."""

    host: str
    port: int
    #: Of the certificate as it is sent (DER), in hexadecimal.
    sha256: str

    def of(self, host: str, port: int) -> str | None:
        """What the server at this address must show; None: whatever the host's authorities vouch for."""
        return self.sha256 if (host, port) == (self.host, self.port) else None
