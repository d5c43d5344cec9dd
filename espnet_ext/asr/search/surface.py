"""Which hypotheses are the same: running 64-bit keys of label sequences and texts.

A key says what a hypothesis has produced so far. Two hypotheses with the same content
have the same key; two with other contents have the same key with a probability of about
2^-64 (a multiplicative hash for labels, a polynomial one for texts, both modulo 2^64).
"""

# Dimensions: B batch, K hypotheses, V vocabulary with blank
from typing import Sequence

import torch

GOLDEN = -7046029254386353131  # 2^64 / golden ratio, odd, as a signed number
MIX = -4658895280553007687
BASE = 6364136223846793005  # odd multiplier of a linear congruential generator
LOW = (1 << 35) - 1


def _signed(value: int) -> int:
    """The 64-bit two's complement number with the same low bits."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def extend_keys(keys: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Keys of label sequences with one more label; the empty sequence has key 0."""
    x = (keys + labels + 1) * GOLDEN
    x = (x ^ ((x >> 29) & LOW)) * MIX
    return x ^ ((x >> 32) & LOW)


def surface_form(token: str) -> str:
    """What a token adds to the text: ``ab`` and a space, or, of ``ab@@``, ``ab``."""
    return (token + " ").replace("@@ ", "")


class SurfaceKeys:
    """Keys of texts: different segmentations of a text have the same key.

    Args:
        token_list: Word pieces by id; those that end in ``@@`` continue in the next.
        blank_id: Adds nothing.
        special_ids: Other ids that add nothing.
    """

    def __init__(
        self, token_list: Sequence[str], blank_id: int = 0, special_ids: Sequence = ()
    ):
        factors, summands = [], []
        for number, token in enumerate(token_list):
            text = "" if number in (blank_id, *special_ids) else surface_form(token)
            factor, summand = 1, 0
            for character in text:
                factor *= BASE
                summand = summand * BASE + ord(character) + 1
            factors.append(_signed(factor))
            summands.append(_signed(summand))
        self.factor_V = torch.tensor(factors)
        self.summand_V = torch.tensor(summands)

    def extend(self, keys: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Keys of the texts with one more token each; the empty text has key 0."""
        if self.factor_V.device != keys.device:
            self.factor_V = self.factor_V.to(keys.device)
            self.summand_V = self.summand_V.to(keys.device)
        return keys * self.factor_V[labels] + self.summand_V[labels]
