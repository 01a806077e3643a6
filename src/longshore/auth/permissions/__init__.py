"""Which permissions each operation needs, on which resources: one table a service."""
