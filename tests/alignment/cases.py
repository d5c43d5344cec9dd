"""Small alignments and models for the tests of this folder."""

import numpy as np
import torch

from espnet_ext.alignment.aligner import align_batch
from espnet_ext.alignment.store import AlignmentInfo, AlignmentSet
from tests.asr.loss.paths import random_case
from tests.asr.loss.test_lattice import arcs_of

TOKENS = ("<blank>", "<unk>", '\u2581he"llo', "s", "\u2581yes", "<sos/eos>")


def aligned_set(topology="rna", count=6, seed=3, shift_s=0.06):
    """Random alignments of one topology, with ids that need care in file names."""
    case = random_case(seed, count, 7, 4, len(TOKENS), 0)
    info = AlignmentInfo(topology, TOKENS, shift_s, look_ahead_s=0.12)
    result = align_batch(arcs_of(case, topology, 0), *case[1:], topology)
    keys = [f"sw/{number:02d}-A ü"[:8].replace(" ", "_") for number in range(count)]
    made = AlignmentSet(info)
    for key, entry in zip(keys, result.aligned):
        if entry is None:
            made.failed[key] = "no alignment"
        else:
            made.aligned[key] = entry
    return made


def same(left, right, scores=True):
    """Whether two sets hold the same alignments."""
    if list(left.aligned) != list(right.aligned):
        return False
    for key, entry in left.aligned.items():
        other = right.aligned[key]
        arrays = ("symbols", "labels")
        if not all(
            np.array_equal(getattr(entry, x), getattr(other, x)) for x in arrays
        ):
            return False
        if entry.frames != other.frames:
            return False
        if scores and (entry.score, entry.full_sum) != (other.score, other.full_sum):
            return False
    return True


def waveforms(lengths, seed=5):
    """Noise of given lengths."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, generator=generator).numpy() for n in lengths]
