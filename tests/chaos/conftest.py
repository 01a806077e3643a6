"""The world of the acceptance tests, to be broken."""

from tests.acceptance.conftest import hosts_of, own_plane, shop_of
from tests.chaos.replicas import own_cluster, replicas, s3_url

__all__ = ["hosts_of", "own_cluster", "own_plane", "replicas", "s3_url", "shop_of"]
