"""The world of the acceptance tests, to be broken."""

from tests.acceptance.conftest import hosts_of, own_plane, shop_of

__all__ = ["hosts_of", "own_plane", "shop_of"]
