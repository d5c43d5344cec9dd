"""Small joints, and the same scores written out: what the fused loss is measured by."""

# Dimensions: B batch, T frames, L labels, S = L + 1 positions, V vocabulary,
#             K units of the softmax, R readout before the activation, J after
from typing import Dict, List, NamedTuple, Optional

import torch
import torch.nn.functional as F

from espnet_ext.asr.loss.reference import reference_loss


class Case(NamedTuple):
    """A batch and the tensors of a joint.

    Attributes:
        inputs: am, lm, label weight, label bias[, emission weight, emission bias].
        labels_BL, frame_lens_B, label_lens_B: The batch.
        blank: Index of blank.
    """

    inputs: List[torch.Tensor]
    labels_BL: torch.Tensor
    frame_lens_B: torch.Tensor
    label_lens_B: torch.Tensor
    blank: int

    @property
    def batch(self):
        """Labels and lengths."""
        return self.labels_BL, self.frame_lens_B, self.label_lens_B


def make_case(
    frame_lens=(6, 4, 5),
    label_lens=(3, 0, 2),
    *,
    vocabulary=5,
    blank=2,
    readout=8,
    emission="sigmoid",
    activation="maxout",
    dtype=torch.float64,
    seed=1,
) -> Case:
    """Random projections and weights that require gradients; labels without blank."""
    generator = torch.Generator().manual_seed(seed)
    batch, frames, labels = len(frame_lens), max(frame_lens), max(label_lens)
    after = readout // 2 if activation == "maxout" else readout
    units = vocabulary - (emission == "sigmoid")
    shapes = [(batch, frames, readout), (batch, labels + 1, readout)]
    shapes += [(units, after), (units,)]
    shapes += [(1, after), (1,)] if emission == "sigmoid" else []
    inputs = [
        torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        for shape in shapes
    ]
    ids = torch.randint(0, vocabulary - 1, (batch, labels), generator=generator)
    ids += (ids >= blank).long()
    return Case(
        [x.requires_grad_() for x in inputs],
        ids,
        torch.tensor(frame_lens),
        torch.tensor(label_lens),
        blank,
    )


def written_out(
    inputs: List[torch.Tensor],
    blank: int,
    *,
    activation: str = "maxout",
    label_scale: float = 1.0,
    mask: Optional[torch.Tensor] = None,
) -> torch.Tensor:
    """Log-probabilities [B, T, S, V], differentiable, by the definition."""
    am_BTR, lm_BSR, weight_KJ, bias_K, *emission = inputs
    sum_BTSR = am_BTR.unsqueeze(2) + lm_BSR.unsqueeze(1)
    functions: Dict = {
        "maxout": lambda x: x.unflatten(3, (-1, 2)).amax(4),
        "tanh": torch.tanh,
        "relu": torch.relu,
        "none": lambda x: x,
    }
    readout_BTSJ = functions[activation](sum_BTSR)
    dropped_BTSJ = readout_BTSJ if mask is None else readout_BTSJ * mask
    log_probs = F.linear(dropped_BTSJ, weight_KJ, bias_K).log_softmax(3)
    if not emission:
        scaled = label_scale * log_probs
        others = torch.arange(log_probs.size(3)) == blank
        return torch.where(others, log_probs, scaled)
    emission_BTS1 = F.linear(readout_BTSJ, *emission)
    labels = F.logsigmoid(emission_BTS1) + label_scale * log_probs
    blank_BTS1 = F.logsigmoid(-emission_BTS1)
    return torch.cat([labels[..., :blank], blank_BTS1, labels[..., blank:]], dim=3)


def reference(case: Case, topology: str, weights=None, **kwargs):
    """nll_B and gradients of the inputs of the weighted sum, by plain autograd."""
    nll_B = reference_loss(
        written_out(case.inputs, case.blank, **kwargs), *case.batch, topology, case.blank
    )
    return nll_B, gradients(nll_B, case.inputs, weights)


def gradients(nll_B, inputs, weights=None):
    """Gradients of the weighted sum of the finite costs."""
    weights_B = torch.ones_like(nll_B) if weights is None else weights.to(nll_B.dtype)
    finite_B = torch.isfinite(nll_B)
    total = (nll_B[finite_B] * weights_B[finite_B]).sum()
    return torch.autograd.grad(total, inputs)
