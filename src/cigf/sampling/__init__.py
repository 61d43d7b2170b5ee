"""Which pairs a step learns from."""
