"""Stock ESPnet transducers without ``warprnnt_pytorch``, on torchaudio's loss.

ESPnet's own transducer models import ``warprnnt_pytorch.RNNTLoss`` when they are built,
for training and for decoding. That package is on no index and does not compile against
current torch. ``install()`` makes the name importable, on request only; where the real
package is present it stays the one that is used.

    python -m espnet_ext.run --warprnnt-shim -m espnet2.bin.asr_train --config ...
"""

# Dimensions: B batch, T frames, S = L + 1 label positions, L labels, V vocabulary
import importlib
import importlib.util
import sys
from pathlib import Path

import torch
import torchaudio

from espnet_ext.errors import OptionError, ToolMissingError

NAME = "warprnnt_pytorch"
FOLDER = Path(__file__).resolve().parent / "shims"
REDUCTIONS = ("none", "mean", "sum")
SMALLEST_NORMAL = torch.finfo(torch.float32).tiny


def install() -> bool:
    """Make ``import warprnnt_pytorch`` work; may be called twice.

    Our folder is appended to the import path, so that a real package always comes
    first, and processes spawned for several GPUs, which inherit the path, have it too.

    Returns:
        True if the stand-in is in use, False if it is the real package.

    Raises:
        ToolMissingError: The real package is there but broken. It is not replaced: the
            results of a machine should not depend on an error that nobody has seen.
    """
    try:
        there = importlib.util.find_spec(NAME) is not None
    except ValueError:  # somebody put a bare module under that name
        there = True
    if not there:
        sys.path.append(str(FOLDER))
        importlib.invalidate_caches()
    try:
        module = importlib.import_module(NAME)
    except (ImportError, OSError) as error:
        raise ToolMissingError(
            f"{NAME} is installed but cannot be imported: {error}",
            next_step=f"repair it, or pip uninstall {NAME} to use the stand-in",
        ) from error
    return getattr(module, "RNNTLoss", None) is RNNTLoss


def rnnt_loss(
    acts: torch.Tensor,
    labels: torch.Tensor,
    act_lens: torch.Tensor,
    label_lens: torch.Tensor,
    blank: int = 0,
    fastemit_lambda: float = 0.0,
    reduction: str = "mean",
) -> torch.Tensor:
    """RNN-T loss: labels take no frame, each frame ends with a blank.

    Args:
        acts: [B, T, S, V] logits (not log-probabilities; those give the same value, as
            the softmax of a log-softmax is itself). Computed in float32.
        labels: [B, L], anything beyond the lengths.
        act_lens: [B] frames.
        label_lens: [B] labels.
        blank: Index of blank in V.
        fastemit_lambda: Only 0: torchaudio has no FastEmit.
        reduction: "none" gives [B]; "sum" over the batch and "mean", the sum divided
            by B, give [1]. Nothing is divided by lengths.

    Raises:
        OptionError: FastEmit or an unknown reduction.

    Ref: Graves 2012, Sequence Transduction with Recurrent Neural Networks, section 2.
    """
    _check(fastemit_lambda, reduction)
    # torchaudio insists on tensors as long as the longest sequence, on labels inside
    # the vocabulary also in the padding, and on int32
    frames, positions = int(act_lens.max()), int(label_lens.max()) + 1
    logits_BTSV = _NormalGradient.apply(acts[:, :frames, :positions].float())
    targets_BL = labels[:, : positions - 1].clamp(min=0, max=acts.size(-1) - 1)
    nll_B = torchaudio.functional.rnnt_loss(
        logits_BTSV.contiguous(),
        targets_BL.to(acts.device, torch.int32).contiguous(),
        act_lens.to(acts.device, torch.int32),
        label_lens.to(acts.device, torch.int32),
        blank=blank,
        reduction="none",
    )
    if reduction == "none":
        return nll_B
    total = nll_B.sum().unsqueeze(0)
    return total / nll_B.size(0) if reduction == "mean" else total


def _check(fastemit_lambda: float, reduction: str) -> None:
    if fastemit_lambda != 0:
        raise OptionError(
            f"fastemit_lambda {fastemit_lambda}: torchaudio's loss has no FastEmit",
            where=NAME,
            expected="0",
            next_step="set fastemit_lambda: 0.0, or install the real package",
        )
    if reduction not in REDUCTIONS:
        raise OptionError(
            f"unknown reduction {reduction!r}",
            where=NAME,
            expected=", ".join(REDUCTIONS),
        )


class RNNTLoss(torch.nn.Module):
    """``warprnnt_pytorch.RNNTLoss`` as ESPnet calls it; arguments as ``rnnt_loss``."""

    def __init__(
        self, blank: int = 0, fastemit_lambda: float = 0.0, reduction: str = "mean"
    ):
        super().__init__()
        _check(fastemit_lambda, reduction)
        self.blank = blank
        self.fastemit_lambda = fastemit_lambda
        self.reduction = reduction

    def forward(
        self,
        acts: torch.Tensor,
        labels: torch.Tensor,
        act_lens: torch.Tensor,
        label_lens: torch.Tensor,
    ) -> torch.Tensor:
        """The loss of a batch: [1], or [B] without reduction."""
        return rnnt_loss(
            acts,
            labels,
            act_lens,
            label_lens,
            blank=self.blank,
            fastemit_lambda=self.fastemit_lambda,
            reduction=self.reduction,
        )


class _NormalGradient(torch.autograd.Function):
    """Identity whose gradient has zeros in place of denormal numbers.

    Occupancies below 1e-38 are denormal floats, and with them the matrix products of
    the joint's backward pass take several times as long on a CPU.
    """

    @staticmethod
    def forward(ctx, logits: torch.Tensor) -> torch.Tensor:
        return logits.view_as(logits)

    @staticmethod
    def backward(ctx, grad: torch.Tensor) -> torch.Tensor:
        return grad.masked_fill(grad.abs() < SMALLEST_NORMAL, 0.0)
