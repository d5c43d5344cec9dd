"""Frames left out or put in at random, each sequence on its own.

Source: reference/parts.md 2.5 (rndframedrop). Ref: Cui et al. 2022, Improving
generalization of deep neural network acoustic models with length perturbation and
n-best based label smoothing, section 2.
"""

# Dimensions: B batch, T frames, U frames afterwards, F features
from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import torch


@dataclass(frozen=True)
class FrameDropOptions:
    """Single frames left out.

    Attributes:
        rate: Probability of each frame.
        min_frames: So many frames, drawn at random, are kept whatever happens.
        in_evaluation: For validation scores too, as in the original.
    """

    rate: float = 0.0
    min_frames: int = 10
    in_evaluation: bool = False

    def __post_init__(self):
        if not 0.0 <= self.rate < 1.0:
            raise ValueError(f"frame_drop.rate {self.rate}: expected 0 <= rate < 1")


@dataclass(frozen=True)
class LengthPerturbationOptions:
    """Runs of frames left out, and runs of zero frames put in.

    Attributes:
        drop_rate: Probability that a frame begins a run that is left out.
        drop_length: Smallest and largest length of such a run.
        insert_rate: Probability that a run of zeros (the mean of normalised features)
            is put in after a frame.
        insert_length: Smallest and largest length of such a run.
        min_frames: Sequences that would become shorter stay as they are.
    """

    drop_rate: float = 0.0
    drop_length: Sequence[int] = (1, 7)
    insert_rate: float = 0.0
    insert_length: Sequence[int] = (1, 7)
    min_frames: int = 10

    def __post_init__(self):
        for name in ("drop", "insert"):
            rate = getattr(self, f"{name}_rate")
            low, high = getattr(self, f"{name}_length")
            if not 0.0 <= rate < 1.0 or not 1 <= low <= high:
                raise ValueError(
                    f"length_perturbation.{name}_rate {rate}, {name}_length "
                    f"{[low, high]}: expected 0 <= rate < 1, 1 <= smallest <= largest"
                )


def valid_frames(lengths_B: torch.Tensor, frames: int) -> torch.Tensor:
    """Whether a frame lies inside its sequence, [B, T] on the CPU."""
    return torch.arange(frames) < lengths_B.cpu().unsqueeze(1)


def frames_kept(
    lengths_B: torch.Tensor,
    frames: int,
    options: FrameDropOptions,
    generator: Optional[torch.Generator],
) -> torch.Tensor:
    """Which frames stay, [B, T] on the CPU; never a padded one.

    The ``min_frames`` frames with the largest of some random numbers stay; each other
    frame goes with probability ``rate``.
    """
    valid_BT = valid_frames(lengths_B, frames)
    kept_BT = torch.rand(valid_BT.shape, generator=generator) >= options.rate
    noise_BT = torch.rand(valid_BT.shape, generator=generator)
    noise_BT = noise_BT.masked_fill(~valid_BT, -1.0)
    count = min(options.min_frames, frames)
    if count > 0:
        least_B1 = noise_BT.topk(count, dim=1).values[:, -1:]
        kept_BT |= noise_BT >= least_B1
    return kept_BT & valid_BT


def select_frames(
    x_BTF: torch.Tensor, kept_BT: torch.Tensor
) -> Tuple[torch.Tensor, torch.Tensor]:
    """The kept frames moved to the front, zeros behind them, and their number [B]."""
    lengths_B = kept_BT.sum(1)
    size = int(lengths_B.max()) if len(lengths_B) else 0
    order_BU = torch.sort((~kept_BT).int(), dim=1, stable=True).indices[:, :size]
    order_BU1 = order_BU.to(x_BTF.device).unsqueeze(2)
    y_BUF = x_BTF.gather(1, order_BU1.expand(-1, -1, x_BTF.size(2)))
    behind_BU = torch.arange(size) >= lengths_B.unsqueeze(1)
    return y_BUF.masked_fill(behind_BU.to(x_BTF.device).unsqueeze(2), 0.0), lengths_B


def drop_frames(
    x_BTF: torch.Tensor,
    lengths_B: torch.Tensor,
    options: FrameDropOptions,
    generator: Optional[torch.Generator],
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Features and lengths without the frames that are left out."""
    kept_BT = frames_kept(lengths_B, x_BTF.size(1), options, generator)
    y_BUF, kept_B = select_frames(x_BTF, kept_BT)
    return y_BUF, kept_B.to(lengths_B)


def frame_repeats(
    lengths_B: torch.Tensor,
    frames: int,
    options: LengthPerturbationOptions,
    generator: Optional[torch.Generator],
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Which frames stay and how many zero frames follow each, [B, T] on the CPU."""
    valid_BT = valid_frames(lengths_B, frames)
    shape = valid_BT.shape

    def runs(rate: float, length: Sequence[int]) -> torch.Tensor:
        """Length of the run that begins at each frame, mostly 0."""
        begins_BT = torch.rand(shape, generator=generator) < rate
        low, high = length
        length_BT = torch.randint(low, high + 1, shape, generator=generator)
        return length_BT * (begins_BT & valid_BT)

    dropped_BT = runs(options.drop_rate, options.drop_length)
    # a frame is inside a run if the farthest end of the runs begun so far is behind it
    end_BT = (torch.arange(frames) + dropped_BT).cummax(1).values
    kept_BT = (end_BT <= torch.arange(frames)) & valid_BT
    zeros_BT = runs(options.insert_rate, options.insert_length)
    short_B1 = (kept_BT + zeros_BT).sum(1, keepdim=True) < options.min_frames
    kept_BT = torch.where(short_B1, valid_BT, kept_BT)
    return kept_BT, zeros_BT.masked_fill(short_B1, 0)


def perturb_length(
    x_BTF: torch.Tensor,
    lengths_B: torch.Tensor,
    options: LengthPerturbationOptions,
    generator: Optional[torch.Generator],
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Features and lengths after runs of frames were left out and put in."""
    frames = x_BTF.size(1)
    kept_BT, zeros_BT = frame_repeats(lengths_B, frames, options, generator)
    # where each kept frame goes: behind the kept frames and zeros before it
    taken_BT = kept_BT.long() + zeros_BT
    place_BT = taken_BT.cumsum(1) - taken_BT
    new_B = taken_BT.sum(1)
    size = int(new_B.max()) if len(new_B) else 0
    place_BT = place_BT.masked_fill(~kept_BT, size)  # a place that is cut off
    y_BUF = x_BTF.new_zeros(x_BTF.size(0), size + 1, x_BTF.size(2))
    index = place_BT.to(x_BTF.device).unsqueeze(2).expand_as(x_BTF)
    return y_BUF.scatter(1, index, x_BTF)[:, :size], new_B.to(lengths_B)
