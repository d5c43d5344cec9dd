"""How long an encoder frame is and how far ahead the model hears: measured.

Configurations say it in many ways (hop, pooling, stacking, chunks, normalisation over
the utterance), the encoder itself in one.
"""

# Dimensions: T encoder frames, D encoder
from typing import Callable, Optional, Tuple

import torch

from espnet_ext.alignment.store import WHOLE_UTTERANCE

PROBE_S = 4.0
CHANGE_S = 3.0  # where the probe is changed; look-ahead beyond it is not told apart
SEED = 1
Encode = Callable[[torch.Tensor, torch.Tensor], Tuple[torch.Tensor, torch.Tensor]]


@torch.no_grad()
def frame_shift(encode: Encode, rate: int) -> float:
    """Seconds from one encoder frame to the next.

    Args:
        encode: Waveforms [1, samples] and lengths to frames and lengths.
        rate: Samples a second.
    """

    def frames(samples: int) -> int:
        probe = torch.zeros(1, samples)
        probe[0, :: rate // 50] = 0.1  # silence alone has no variance to divide by
        return int(encode(probe, torch.tensor([samples]))[1])

    def first_with(count: int) -> int:
        low, high = 0, rate // 4
        while frames(high) < count:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if frames(middle) >= count else (middle, high)
        return high

    base, more = frames(rate // 2), 8
    return (first_with(base + more) - first_with(base)) / more / rate


@torch.no_grad()
def look_ahead(encode: Encode, rate: int, shift_s: float) -> float:
    """Seconds of future that a frame depends on, at most; -1 for the whole utterance.

    The end of a noise is changed. Frames that stay the same, bit for bit, do not see
    it; the look-ahead is counted from the end of the last of them.
    """
    generator = torch.Generator().manual_seed(SEED)
    probe = torch.randn(1, int(PROBE_S * rate), generator=generator) * 0.1
    changed, start = probe.clone(), int(CHANGE_S * rate)
    changed[:, start:] = torch.randn(1, probe.size(1) - start, generator=generator)
    lengths = torch.tensor([probe.size(1)])
    one, other = (encode(x, lengths)[0][0] for x in (probe, changed))
    differs_T = (one != other).flatten(1).any(1)
    first: Optional[int] = None
    if bool(differs_T.any()):
        first = int(differs_T.int().argmax())
    if first == 0:
        return WHOLE_UTTERANCE
    if first is None:
        return 0.0
    return max(0.0, CHANGE_S - first * shift_s)
