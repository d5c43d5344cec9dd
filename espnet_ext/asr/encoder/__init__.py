"""Encoders: features to encoder frames."""
