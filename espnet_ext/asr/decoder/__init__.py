"""Decoders: a prediction network that owns its joint network."""
