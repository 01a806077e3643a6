"""The control plane fixtures of the acceptance tests."""

from tests.acceptance.conftest import own_plane, shared_plane, shop_of

__all__ = ["own_plane", "shared_plane", "shop_of"]
