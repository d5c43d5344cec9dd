"""Optimizers in the form of the original program."""
