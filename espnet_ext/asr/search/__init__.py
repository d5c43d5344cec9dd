"""Searches for monotonic transducers: one symbol in each encoder frame."""
