"""The softmax prior: the average of a CTC output's distribution over training data.

    log p'(k | t) = log p(k | t) - scale log prior(k)

Without it a CTC model aligns in single frames with much blank between them.
Ref: reference/losses.md 7.
"""

# Dimensions: B batch, T frames, C classes
from typing import Optional

import numpy as np
import torch

from espnet_ext.alignment.outputs import Output
from espnet_ext.errors import FormatError, MissingInputError, OptionError
from espnet_ext.files import PathLike, atomic_path

SMALLEST = 1e-10  # of a class that never had any probability


class PriorSum:
    """Adds up the distributions of valid frames."""

    def __init__(self, output: Output):
        if output.log_probs is None:
            raise OptionError(
                f"output {output.name} has no distribution without a label history",
                expected="an output of CTC",
                next_step="--output ctc",
            )
        self.output = output
        self.sum_C = torch.zeros(output.classes, dtype=torch.float64)
        self.frames = 0

    @torch.no_grad()
    def add(self, frames_BTD: torch.Tensor, frame_lens_B: torch.Tensor) -> None:
        """Add the valid frames of a batch, one sequence at a time."""
        for frames_TD, length in zip(frames_BTD, frame_lens_B.tolist()):
            log_probs = self.output.log_probs(frames_TD[None, :length])[0]
            self.sum_C += log_probs.exp().sum(0).double().cpu()
            self.frames += length

    def save(self, path: PathLike) -> None:
        """Write the average.

        Raises:
            FormatError: No frame was added.
        """
        if not self.frames:
            raise FormatError("no frame to take the prior of", where=path)
        prior = (self.sum_C / self.frames).numpy()
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, prior=prior, frames=self.frames, output=self.output.name)


def load_log_prior(
    path: PathLike, output: Output, scale: float
) -> Optional[torch.Tensor]:
    """scale log prior [C] in float32; None for scale 0.

    Raises:
        MissingInputError: The file does not exist.
        FormatError: It belongs to another output.
    """
    if scale == 0.0:
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            prior, name = file["prior"], str(file["output"])
    except FileNotFoundError:
        raise MissingInputError(
            "there is no prior",
            where=path,
            next_step="python -m espnet_ext.bin.align prior --help",
        ) from None
    except (ValueError, KeyError, OSError):
        raise FormatError(
            "it holds no prior",
            where=path,
            expected="the file that the verb prior wrote",
            next_step="python -m espnet_ext.bin.align prior --help",
        ) from None
    if name != output.name or prior.shape != (output.classes,):
        raise FormatError(
            f"the prior of output {name} with {len(prior)} classes",
            where=path,
            expected=f"that of output {output.name} with {output.classes} classes",
        )
    log_prior = np.log(np.maximum(prior, SMALLEST))
    return torch.from_numpy(scale * log_prior).float()
