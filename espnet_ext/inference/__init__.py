"""Decoding for users: scorers, n-best lists, results with times, streams."""
