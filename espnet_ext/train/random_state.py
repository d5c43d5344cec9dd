"""Global random generators set aside, so that loading data does not advance them."""

import contextlib
import random
from typing import Iterator

import numpy
import torch


@contextlib.contextmanager
def untouched_generators() -> Iterator[None]:
    """Whatever the block draws or seeds, the global generators are as before it."""
    states = random.getstate(), numpy.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        numpy.random.set_state(states[1])
        torch.set_rng_state(states[2])


@contextlib.contextmanager
def seeded_generators(seed: int) -> Iterator[None]:
    """Python's, numpy's and torch's global generators seeded for the block."""
    with untouched_generators():
        random.seed(seed)
        numpy.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        yield
