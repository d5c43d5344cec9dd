"""Corpora: reading, preparing and validating speech data."""
