"""The prompts corpus: real telephone-band speech of one speaker, Allison Smith."""

from espnet_ext.corpus.prompts.builder import build

__all__ = ["build"]
