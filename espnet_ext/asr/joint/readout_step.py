"""The maxout readout for one frame and many hypotheses, as searches need it.

The same function as MaxoutReadout.forward; the two outputs are one product, and a row's
result does not depend on the other rows.
"""

# Dimensions: B batch, N hypotheses of all sequences, R readout before maxout,
#             H prediction network, V vocabulary with blank
import torch
import torch.nn.functional as F

from espnet_ext.asr.search.products import RowProduct


class ReadoutStep:
    """Scores of a joint; its weights are copied when this is made.

    Args:
        joint: MaxoutReadout in evaluation mode.
    """

    def __init__(self, joint):
        self.has_emission = joint.emission_output is not None
        outputs = [joint.emission_output] if self.has_emission else []
        outputs.append(joint.label_output)
        self.output = RowProduct(
            torch.cat([layer.weight for layer in outputs]),
            torch.cat([layer.bias for layer in outputs]),
        )
        self.project = RowProduct(joint.readout_weights()[1])
        self.misplaced = joint.blank_column == "misplaced"

    def __call__(self, frames_BR: torch.Tensor, lm_NR: torch.Tensor) -> torch.Tensor:
        """Log-probabilities [N, V], blank first; N / B adjacent rows share a frame."""
        size = frames_BR.size(1)
        lm_BKR = lm_NR.view(frames_BR.size(0), -1, size)
        pairs = (lm_BKR + frames_BR.unsqueeze(1)).view(-1, size // 2, 2)
        scores_NV = self.output(torch.maximum(pairs[..., 0], pairs[..., 1]))
        if not self.has_emission:
            return scores_NV.log_softmax(1)
        emission_N = scores_NV[:, 0].clone()
        scores_NV[:, 0] = float("-inf")  # the softmax is over labels
        scores_NV = scores_NV.log_softmax(1)
        scores_NV += F.logsigmoid(emission_N).unsqueeze(1)
        scores_NV[:, 0] = F.logsigmoid(-emission_N)
        if self.misplaced:
            scores_NV[:, [0, -1]] = scores_NV[:, [-1, 0]]
        return scores_NV
