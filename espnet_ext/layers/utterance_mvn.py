"""ESPnet's normalisation of each utterance, in place and with one mask at the end.

The same operations in the same order, so the same numbers, without the copies and with
a mask only for the frames in which some utterance has ended. For evaluation on CPUs.

Ref: espnet2/layers/utterance_mvn.py.
"""

# Dimensions: B batch, T frames, F feature
import torch
from espnet2.layers.utterance_mvn import UtteranceMVN

from espnet_ext.layers.evaluation import is_evaluated_on_cpu, zero_after_


def is_covered(normalize: torch.nn.Module, x: torch.Tensor) -> bool:
    """Whether ``utterance_mvn_`` does what the module does."""
    return (
        type(normalize) is UtteranceMVN and normalize.norm_means
    ) and is_evaluated_on_cpu(x)


def utterance_mvn_(
    normalize: UtteranceMVN, x_BTF: torch.Tensor, lengths_B: torch.Tensor
) -> torch.Tensor:
    """Features [B, T, F] with mean zero, and variance one if the module says so, in
    place; zero after the ends.
    """
    counts_B11 = lengths_B.to(x_BTF.dtype).view(-1, 1, 1)
    mean_B1F = zero_after_(x_BTF, lengths_B).sum(1, keepdim=True) / counts_B11
    zero_after_(x_BTF.sub_(mean_B1F), lengths_B)
    if normalize.norm_vars:
        var_B1F = x_BTF.square().sum(1, keepdim=True) / counts_B11
        x_BTF /= var_B1F.sqrt().clamp(min=normalize.eps)
    return x_BTF
