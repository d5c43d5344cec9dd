"""Experiments by name: the switch catalogue, the name grammar, and their resolution."""
