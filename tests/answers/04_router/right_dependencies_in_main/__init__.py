"""The prefixes and the dependency are given where the routers are included."""
