"""Masks over time and over features, whose number grows with the training batch.

Source: reference/parts.md 2.5 (specaug, specaugwei, specaugweia, oldspecaug4a) and 4.
Ref: Park et al. 2019, SpecAugment, section 2.
"""

# Dimensions: B batch, T frames, F features, N positions on the masked axis, K masks
from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import torch

SCHEDULES = ("increasing", "halved_until_2000")
COUNTS = ("batch_maximum", "per_sequence")
FIRST_STEP, SECOND_STEP = 1000, 2000


@dataclass(frozen=True)
class MaskOptions:
    """How many masks, how long.

    Attributes:
        time_length: Smallest and largest number of frames of a mask.
        frames_per_time_mask: One mask more for so many frames of the longest sequence.
        min_time_masks: Largest number of masks of short sequences, at least.
        feature_length: Smallest and largest number of features of a mask.
        feature_masks: Largest number of masks over features.
        schedule: ``increasing``: numbers grow at batches 1,000 and 2,000;
            ``halved_until_2000``: largest numbers are halved before batch 2,000.
        count: ``batch_maximum``: all sequences get as many masks as the one with most
            (the original's second version); ``per_sequence``: each its own number.
    """

    time_length: Sequence[int] = (1, 20)
    frames_per_time_mask: int = 100
    min_time_masks: int = 2
    feature_length: Sequence[int] = (1, 8)
    feature_masks: int = 2
    schedule: str = "increasing"
    count: str = "batch_maximum"

    def __post_init__(self):
        for name, choices in (("schedule", SCHEDULES), ("count", COUNTS)):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"masks.{name} {getattr(self, name)!r}: expected one of {choices}"
                )
        for name in ("time_length", "feature_length"):
            low, high = getattr(self, name)
            if not 1 <= low <= high:
                raise ValueError(
                    f"masks.{name} {[low, high]}: expected [smallest, largest] with "
                    "1 <= smallest <= largest"
                )
        if min(self.frames_per_time_mask, self.min_time_masks) < 1:
            raise ValueError(
                "masks.frames_per_time_mask and min_time_masks must be at least 1"
            )
        if self.feature_masks < 0:
            raise ValueError("masks.feature_masks must not be negative")

    def numbers(
        self, batch: int, frames: int, features: int
    ) -> Tuple[Tuple[int, int], Tuple[int, int]]:
        """Smallest and largest number of masks over time and over features.

        With s1 = [batch >= 1000], s2 = [batch >= 2000] and T frames:

            increasing:  time      s1 + s2 .. max(T // P, M) (1 + s1 + 2 s2)
                         features  s1 + s2 .. N + s1 + 2 s2
            halved:      time      0 .. max(T // P, M) // (2 - s2)
                         features  0 .. N // (2 - s2)

        none of them more than there are positions.

        Args:
            batch: Training batches before this one.
            frames: T, with padding.
            features: Features of a frame.
        """
        first, second = int(batch >= FIRST_STEP), int(batch >= SECOND_STEP)
        most = max(frames // self.frames_per_time_mask, self.min_time_masks)
        if self.schedule == "increasing":
            least = first + second
            time = least, most * (1 + first + 2 * second)
            feature = least, self.feature_masks + first + 2 * second
        else:
            time = 0, most // (2 - second)
            feature = 0, self.feature_masks // (2 - second)
        return _at_most(time, frames), _at_most(feature, features)


def _at_most(numbers: Tuple[int, int], positions: int) -> Tuple[int, int]:
    return min(numbers[0], positions), min(numbers[1], positions)


def draw_masks(
    batch: int,
    positions: int,
    numbers: Tuple[int, int],
    lengths: Sequence[int],
    count: str,
    generator: Optional[torch.Generator],
) -> torch.Tensor:
    """What is masked, [B, N] on the CPU.

    Numbers of masks are uniform, start positions are uniform without replacement over
    all positions (padding included), lengths are uniform.

    Args:
        batch: B.
        positions: N.
        numbers: Smallest and largest number of masks.
        lengths: Smallest and largest length of a mask.
        count: See MaskOptions.
        generator: Source of the random numbers.
    """
    low, high = numbers
    count_B = torch.randint(low, high + 1, (batch,), generator=generator)
    most = int(count_B.max()) if batch else 0
    if count == "batch_maximum":
        count_B = torch.full_like(count_B, most)
    # the K largest of uniform numbers: K places without replacement
    order_BN = torch.rand(batch, positions, generator=generator)
    start_BK = order_BN.topk(most, dim=1).indices
    length_BK = torch.randint(
        lengths[0], lengths[1] + 1, start_BK.shape, generator=generator
    )
    end_BK = (start_BK + length_BK).clamp(max=positions)
    active_BK = (torch.arange(most) < count_B.unsqueeze(1)).int()
    # +1 where a mask begins and -1 behind its end: the running sum counts open masks
    changes_BN = torch.zeros(batch, positions + 1, dtype=torch.int32)
    changes_BN.scatter_add_(1, start_BK, active_BK)
    changes_BN.scatter_add_(1, end_BK, -active_BK)
    return changes_BN.cumsum(1)[:, :positions] > 0


def mask(
    x_BTF: torch.Tensor,
    step: int,
    options: MaskOptions,
    generator: Optional[torch.Generator],
) -> torch.Tensor:
    """Features with masked values set to zero.

    Args:
        x_BTF: Normalised features, so that zero is their mean.
        step: Training batches before this one.
        options: Numbers and lengths.
        generator: Source of the random numbers.
    """
    batch, frames, features = x_BTF.shape
    time, feature = options.numbers(step, frames, features)
    time_BT = draw_masks(
        batch, frames, time, options.time_length, options.count, generator
    )
    feature_BF = draw_masks(
        batch, features, feature, options.feature_length, options.count, generator
    )
    x_BTF = x_BTF.masked_fill(time_BT.to(x_BTF.device).unsqueeze(2), 0.0)
    return x_BTF.masked_fill(feature_BF.to(x_BTF.device).unsqueeze(1), 0.0)
