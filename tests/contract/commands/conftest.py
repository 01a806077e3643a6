"""The control plane fixtures of the acceptance tests."""

from tests.acceptance.conftest import shared_plane, shop_of

__all__ = ["shared_plane", "shop_of"]
