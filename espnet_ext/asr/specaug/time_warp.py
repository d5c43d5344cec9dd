"""Smooth random displacement of frames, and of features.

    grid of normal numbers -> Gaussian blur -> linear interpolation to [T, F] = flow
    y[t, f] = x[t - flow_t, f - flow_f], bilinear, clipped at the borders

The blur of the original is two-dimensional with zero padding, also where the grid has
only one or two cells over the features: most of the kernel's mass then lies outside.
With one cell a standard deviation of 10 becomes displacements of about 0.75 frames.

Source: reference/parts.md 2.5 (oldtwarp, oldtwarp3, oldtwarp4); RETURNN,
``create_random_warp_flow_2d`` and ``dense_image_warp``.
"""

# Dimensions: B batch, T frames, F features, M and N grid cells over time and features
import math
from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import torch

from espnet_ext.asr.specaug.time_resize import resize_linear


@dataclass(frozen=True)
class WarpOptions:
    """Strength of the warp.

    Attributes:
        std_frames: [first batch, standard deviation of the grid in frames], rising.
        feature_std: Standard deviation of the grid for displaced features; not delayed.
        feature_cells: Grid cells over features.
        frames_per_cell: Frames of a grid cell.
        blur_std: Of the Gaussian blur, in cells; its kernel ends at 2 blur_std + 1.
    """

    std_frames: Sequence[Sequence[float]] = ()
    feature_std: float = 0.0
    feature_cells: int = 1
    frames_per_cell: int = 10
    blur_std: float = 2.0

    def __post_init__(self):
        begins = [begin for begin, _ in self.std_frames]
        if begins != sorted(set(begins)):
            raise ValueError(
                f"time_warp.std_frames begins at batches {begins}: expected rising "
                "numbers"
            )
        if min(self.feature_cells, self.frames_per_cell) < 1:
            raise ValueError(
                "time_warp: feature_cells and frames_per_cell must be at least 1"
            )

    def std(self, batch: int) -> float:
        """Standard deviation over time after so many training batches."""
        begun = [std for begin, std in self.std_frames if begin <= batch]
        return begun[-1] if begun else 0.0


def blurred(grid_BMN: torch.Tensor, std: float) -> torch.Tensor:
    """Two-dimensional Gaussian blur of a grid, zeros outside of it."""
    radius = int(std * 2 + 1)
    place = torch.arange(-radius, radius + 1, dtype=grid_BMN.dtype)
    kernel = torch.exp(-0.5 * (place / std) ** 2)
    kernel = kernel / kernel.sum()
    grid_B1MN = grid_BMN.unsqueeze(1)
    over_time = kernel.reshape(1, 1, -1, 1)
    over_features = kernel.reshape(1, 1, 1, -1)
    grid_B1MN = torch.nn.functional.conv2d(grid_B1MN, over_time, padding=(radius, 0))
    return torch.nn.functional.conv2d(
        grid_B1MN, over_features, padding=(0, radius)
    ).squeeze(1)


def draw_flow(
    shape: Tuple[int, int, int],
    std: float,
    options: WarpOptions,
    generator: Optional[torch.Generator],
) -> torch.Tensor:
    """Displacements [B, T, F], or [B, T, 1] where they are equal for all features."""
    batch, frames, features = shape
    cells = max(frames // options.frames_per_cell, 1)
    grid_BMN = std * torch.randn(
        batch, cells, options.feature_cells, generator=generator
    )
    flow_BTN = resize_linear(blurred(grid_BMN, options.blur_std), frames, 1)
    if options.feature_cells == 1:
        return flow_BTN
    return resize_linear(flow_BTN, features, 2)


def _floor_and_weight(
    place: torch.Tensor, size: int
) -> Tuple[torch.Tensor, torch.Tensor]:
    floor = place.floor().clamp(0, size - 2)
    return floor.long(), (place - floor).clamp(0.0, 1.0)


def warp(
    x_BTF: torch.Tensor, flow_t: torch.Tensor, flow_f: Optional[torch.Tensor]
) -> torch.Tensor:
    """Features read at displaced places.

    Args:
        x_BTF: At least two frames and two features.
        flow_t: Displacement over time, [B, T, F] or [B, T, 1].
        flow_f: Displacement over features in the same form; None for none.
    """
    _, frames, features = x_BTF.shape
    frame_T1 = torch.arange(frames, device=x_BTF.device).unsqueeze(1)
    row, weight_t = _floor_and_weight(frame_T1 - flow_t, frames)
    row = row.expand_as(x_BTF)
    if flow_f is None:
        low, high = x_BTF.gather(1, row), x_BTF.gather(1, row + 1)
        return low + weight_t.to(x_BTF) * (high - low)
    column, weight_f = _floor_and_weight(
        torch.arange(features, device=x_BTF.device) - flow_f, features
    )
    flat = x_BTF.flatten(1)

    def across(index: torch.Tensor) -> torch.Tensor:
        """Interpolated over features in the rows of ``index``."""
        place = (index * features + column).flatten(1)
        low, high = flat.gather(1, place), flat.gather(1, place + 1)
        low, high = low.view_as(x_BTF), high.view_as(x_BTF)
        return low + weight_f.to(x_BTF) * (high - low)

    low, high = across(row), across(row + 1)
    return low + weight_t.to(x_BTF) * (high - low)


def random_warp(
    x_BTF: torch.Tensor,
    step: int,
    options: WarpOptions,
    generator: Optional[torch.Generator],
) -> torch.Tensor:
    """Warped features; as they are while both standard deviations are zero.

    Args:
        x_BTF: Features; the warp includes the padding, as in the original.
        step: Training batches before this one.
        options: Strength.
        generator: Source of the random numbers.
    """
    std = options.std(step)
    shape = x_BTF.shape
    if math.isclose(std, 0.0) and math.isclose(options.feature_std, 0.0):
        return x_BTF
    if min(shape[1:]) < 2:
        return x_BTF  # nothing to interpolate between
    flow_t = draw_flow(shape, std, options, generator).to(x_BTF.device)
    flow_f = None
    if options.feature_std:
        flow_f = draw_flow(shape, options.feature_std, options, generator)
        flow_f = flow_f.to(x_BTF.device)
    return warp(x_BTF, flow_t, flow_f)
