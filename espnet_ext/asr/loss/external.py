"""RNN-T losses of other packages behind our contract: torchaudio and warp_rnnt.

Both want tensors cut to the longest sequence, int32, labels inside the vocabulary also
in the padding, at least one frame, and float32.
"""

# Dimensions: B batch, T frames, L labels, S = L + 1 label positions, V vocabulary
import functools
from typing import Callable

import torch

from espnet_ext.asr.loss.dense import dense_loss
from espnet_ext.asr.loss.topology import Topology


def torchaudio_loss(
    scores_BTSV: torch.Tensor,
    labels_BL: torch.Tensor,
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
    topology: Topology,
    blank: int,
) -> torch.Tensor:
    """``torchaudio.functional.rnnt_loss`` of log-probabilities."""
    from torchaudio.functional import rnnt_loss

    loss = functools.partial(
        rnnt_loss, blank=blank, reduction="none", fused_log_softmax=False
    )
    lengths = frame_lens_B, label_lens_B
    return _call(loss, scores_BTSV, labels_BL, *lengths, topology, blank)


def warp_rnnt_loss(
    scores_BTSV: torch.Tensor,
    labels_BL: torch.Tensor,
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
    topology: Topology,
    blank: int,
) -> torch.Tensor:
    """``warp_rnnt.rnnt_loss``; ``gather`` keeps only the two scores of each node."""
    from warp_rnnt import rnnt_loss

    options = {"average_frames": False, "reduction": "none", "gather": True}
    loss = functools.partial(rnnt_loss, blank=blank, **options)
    lengths = frame_lens_B, label_lens_B
    return _call(loss, scores_BTSV, labels_BL, *lengths, topology, blank)


def _call(
    loss: Callable[..., torch.Tensor],
    scores_BTSV: torch.Tensor,
    labels_BL: torch.Tensor,
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
    topology: Topology,
    blank: int,
) -> torch.Tensor:
    lengths = frame_lens_B, label_lens_B
    frames, labels = (int(x.max()) if x.numel() else 0 for x in lengths)
    if frames == 0:  # nothing these packages could be asked
        return dense_loss(scores_BTSV, labels_BL, *lengths, topology, blank)
    padding_BL = torch.arange(labels, device=labels_BL.device) >= label_lens_B[:, None]
    nll_B = loss(
        scores_BTSV[:, :frames, : labels + 1].float().contiguous(),
        labels_BL[:, :labels].masked_fill(padding_BL, 0).int().contiguous(),
        frame_lens_B.clamp(min=1).int(),  # they read frame T - 1 unasked
        label_lens_B.int(),
    )
    # without frames the empty label sequence is certain and any other impossible
    certain_B = torch.where(label_lens_B > 0, float("inf"), 0.0).to(nll_B)
    return torch.where(frame_lens_B > 0, nll_B, certain_B)
