"""The embedded corpus: synthetic telephone calls as a tree of LDC releases."""

from espnet_ext.corpus.embedded.builder import build
from espnet_ext.corpus.embedded.settings import Difficulty, Settings

__all__ = ["Difficulty", "Settings", "build"]
