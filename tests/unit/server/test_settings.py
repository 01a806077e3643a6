"""What a server makes of what its operator says."""

from __future__ import annotations

from pathlib import Path

import pytest

from longshore.server.settings import Settings


@pytest.mark.parametrize(
    ("host", "is_tls", "url"),
    [
        ("127.0.0.1", False, "http://127.0.0.1:8420"),
        # A bucket at bucket.localhost is found on some machines only; a certificate for a name wants the name.
        ("localhost", False, "http://127.0.0.1:8420"),
        ("localhost", True, "https://localhost:8420"),
        ("0.0.0.0", True, "https://127.0.0.1:8420"),
        ("::1", False, "http://[::1]:8420"),
    ],
)
def test_where_tools_on_this_machine_find_it(host: str, is_tls: bool, url: str) -> None:
    pem = Path("server.pem") if is_tls else None
    assert Settings(data_dir=Path("data"), host=host, tls_cert=pem, tls_key=pem).url(8420) == url
