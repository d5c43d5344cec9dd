"""Pronunciation dictionaries: words as sequences of phonemes."""
