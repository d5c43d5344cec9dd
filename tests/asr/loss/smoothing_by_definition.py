"""Label smoothing by gradient as reference/losses.md 6.2 writes it, on whole axes."""

import numpy as np


def smoothed_by_definition(gradient, smoothing):
    """Smoothed gradient at [..., V] log-probabilities, labels first and blank last."""
    if smoothing is None:
        return gradient
    smoothed = np.array(gradient)
    classes = smoothed.shape[-1]
    if smoothing.type == "lsxx":  # the label distribution alone
        classes -= 1
    floor = smoothing.scale / (classes - 1)
    mass = np.abs(gradient[..., :classes]).sum(-1, keepdims=True)
    # for lsx, blank counts in D and in the mass, but its own gradient stays
    changed = classes - 1 if smoothing.type == "lsx" else classes
    factor = 1 - classes * floor
    smoothed[..., :changed] = factor * gradient[..., :changed] - floor * mass
    return smoothed
