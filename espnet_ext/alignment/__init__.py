"""Alignments: made with any model, stored, exported, imported and compared."""
