"""Benchmarks: each prints our figure, the peer's figure of the same run, and the ratio. See README.md."""
