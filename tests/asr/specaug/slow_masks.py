"""Augmentation written down sequence by sequence in numpy, from the same random draws.

The formulas are those of reference/parts.md 2.5 and of TensorFlow's operations.
"""

import math

import numpy
import torch


def slow_masks(batch, positions, low, high, lengths, per_sequence, seed):
    """What is masked, [B, N], one mask after the other."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randint(low, high + 1, (batch,), generator=generator).tolist()
    most = max(numbers)
    places = torch.rand(batch, positions, generator=generator).numpy()
    sizes = torch.randint(
        lengths[0], lengths[1] + 1, (batch, most), generator=generator
    )
    masked = numpy.zeros((batch, positions), dtype=bool)
    for b in range(batch):
        best_first = sorted(range(positions), key=lambda n: -places[b, n])
        for k in range(numbers[b] if per_sequence else most):
            begin = best_first[k]
            for n in range(begin, min(begin + int(sizes[b, k]), positions)):
                masked[b, n] = True
    return masked


def slow_resize(column, size):
    """TensorFlow's first bilinear resize of one column of numbers."""
    old = len(column)
    result = []
    for i in range(size):
        place = i * old / size
        low = math.floor(place)
        high = min(low + 1, old - 1)
        result.append(column[low] + (place - low) * (column[high] - column[low]))
    return numpy.array(result)


def slow_blur(grid, std):
    """Two-dimensional Gaussian blur of [M, N] with zero padding, kernel written out."""
    radius = int(std * 2 + 1)
    weights = {
        (i, j): math.exp(-0.5 * (i**2 + j**2) / std**2)
        for i in range(-radius, radius + 1)
        for j in range(-radius, radius + 1)
    }
    total = sum(weights.values())
    result = numpy.zeros_like(grid)
    for m in range(grid.shape[0]):
        for n in range(grid.shape[1]):
            for (i, j), weight in weights.items():
                if 0 <= m + i < grid.shape[0] and 0 <= n + j < grid.shape[1]:
                    result[m, n] += weight / total * grid[m + i, n + j]
    return result


def slow_flow(grid, std, frames, features):
    """Displacements [T, F] of one sequence from its grid [M, N]."""
    blurred = slow_blur(grid, std)
    over_time = numpy.stack([slow_resize(c, frames) for c in blurred.T], axis=1)
    return numpy.stack([slow_resize(row, features) for row in over_time])


def slow_warp(x, flow_t, flow_f):
    """One sequence [T, F] read at displaced places, bilinear, clipped at borders."""
    frames, features = x.shape
    y = numpy.zeros_like(x)
    for t in range(frames):
        for f in range(features):
            row = min(max(t - flow_t[t, f], 0.0), frames - 1.0)
            column = min(max(f - flow_f[t, f], 0.0), features - 1.0)
            t0 = min(int(row), frames - 2)
            f0 = min(int(column), features - 2)
            a, b = row - t0, column - f0
            y[t, f] = (
                (1 - a) * (1 - b) * x[t0, f0]
                + (1 - a) * b * x[t0, f0 + 1]
                + a * (1 - b) * x[t0 + 1, f0]
                + a * b * x[t0 + 1, f0 + 1]
            )
    return y
