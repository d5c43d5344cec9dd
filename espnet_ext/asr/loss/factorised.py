"""Full sum straight from logits, with label smoothing, FastEmit and a label scale.

``factorised_loss`` is for a transducer with a separate emission sigmoid: with emission
logit e and label logits z,

    log p(blank)   = log sigmoid(-e)
    log p(label k) = log sigmoid(e) + label_scale log_softmax(z)_k

``softmax_loss`` is for one softmax over labels and blank. The gradient of either is
that of ``node_gradient.py``, which is where the options come in: no log-probabilities
and none of autograd's intermediate tensors are ever stored.

Source: reference/losses.md 5 and 6; Variani et al. 2020 (HAT), equation 5.
"""

# Dimensions: B batch, T frames, L labels, S = L + 1 positions, V vocabulary with blank,
#             K = V - 1 labels. Logits that all positions share (``ctc``) have no S.
from typing import Optional, Union

import torch
import torch.nn.functional as F

from espnet_ext.asr.loss.dense import arc_index, arc_scores, check_scores
from espnet_ext.asr.loss.lattice import ArcScores, occupancies
from espnet_ext.asr.loss.logits_gradient import logits_gradient
from espnet_ext.asr.loss.node_gradient import PLAIN, GradientOptions, NodeGradient
from espnet_ext.asr.loss.topology import Topology, get_topology


class _LogitsFullSum(torch.autograd.Function):
    """nll_B of logits [B, T, (S,) K] with emission, or [B, T, (S,) V] without."""

    @staticmethod
    def forward(
        ctx,
        logits,
        emission,
        labels_BL,
        frame_lens_B,
        label_lens_B,
        kind,
        blank,
        options,
    ):
        index = arc_index(labels_BL, label_lens_B)
        exact = torch.promote_types(logits.dtype, torch.float32)
        normaliser = logits.to(exact).logsumexp(-1)
        raw = arc_scores(logits, index, kind, blank)

        def at_positions(row):
            return row.unsqueeze(2) if logits.dim() == 3 else row

        def label_score(logit_BTS):
            log_prob_BTS = logit_BTS.to(exact) - at_positions(normaliser)
            score_BTS = options.label_scale * log_prob_BTS
            if emission is None:
                return score_BTS
            return F.logsigmoid(at_positions(emission.to(exact))) + score_BTS

        if emission is None:
            blank_BTS = raw.blank_BTS.to(exact) - at_positions(normaliser)
        else:
            blank_BTS = F.logsigmoid(-at_positions(emission.to(exact)))
        repeat_BTS = None if raw.repeat_BTS is None else label_score(raw.repeat_BTS)
        label_BTS = label_score(raw.label_BTS)
        arcs = ArcScores(blank_BTS.expand_as(label_BTS), label_BTS, repeat_BTS)
        result = occupancies(arcs, labels_BL, frame_lens_B, label_lens_B, kind)
        nll_B, *posteriors = (x if x is None else x.to(exact) for x in result)
        possible_B = torch.isfinite(result.nll_B)
        ctx.save_for_backward(
            logits, normaliser, emission, possible_B, *index, *posteriors
        )
        ctx.blank, ctx.options = blank, options
        return nll_B

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_B):
        logits, normaliser, emission, possible_B, *index_and_posteriors = (
            ctx.saved_tensors
        )
        index, posteriors = index_and_posteriors[:2], index_and_posteriors[2:]
        # an impossible sequence has no gradient, whatever the caller multiplies with
        scale_B11 = grad_B.masked_fill(~possible_B, 0.0)[:, None, None]
        posteriors = [None if x is None else x * scale_B11 for x in posteriors]
        num_labels = logits.size(-1) - (emission is None)
        node = ctx.options.node_gradient(*posteriors, num_labels)
        peaks = [
            (index_BS.unsqueeze(1).expand_as(peak_BTS), peak_BTS)
            for index_BS, peak_BTS in zip(index, (node.peak, node.peak_repeat))
            if peak_BTS is not None
        ]
        if logits.dim() == 3:  # one row of logits for all positions
            node = NodeGradient(*(x if x is None else x.sum(2) for x in node))
        grads = logits_gradient(
            logits,
            normaliser,
            emission,
            node,
            peaks,
            blank=ctx.blank,
            label_scale=ctx.options.label_scale,
        )
        return *grads, *[None] * 6


def label_unit(ids: torch.Tensor, blank: int) -> torch.Tensor:
    """Place of ids in V among the labels alone; -1 for blank itself, which is none."""
    return torch.where(ids == blank, -1, ids - (ids > blank).long())


def symbol_log_probs(
    label_logits: torch.Tensor, emission: torch.Tensor
) -> torch.Tensor:
    """Log-probabilities [..., V], blank first, of [..., V - 1] and [...]."""
    labels = F.logsigmoid(emission).unsqueeze(-1) + label_logits.log_softmax(-1)
    return torch.cat([F.logsigmoid(-emission).unsqueeze(-1), labels], dim=-1)


def factorised_loss(
    label_logits: torch.Tensor,
    emission: torch.Tensor,
    labels_BL: torch.Tensor,
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
    topology: Union[str, Topology] = "rna",
    *,
    blank: Optional[int] = None,
    options: Optional[GradientOptions] = None,
) -> torch.Tensor:
    """Full sum from emission logit and label logits.

    Args:
        label_logits: Logits [B, T, S, K] over the K = V - 1 labels, without blank; for
            ``ctc`` also [B, T, K]. Padded nodes hold anything finite.
        emission: Logit of emitting any label, [B, T, S], or [B, T].
        labels_BL: Labels, padded with anything.
        frame_lens_B: Valid frames per sequence.
        label_lens_B: Valid labels per sequence.
        topology: As for ``full_sum_loss``.
        blank: Its index in V, if the labels are ids in V, as for ``full_sum_loss``;
            label k is then unit k, or k - 1 behind blank. None: they are units 0..K-1.
        options: Label smoothing by gradient, FastEmit, scale of the label part.

    Returns:
        nll_B in nats, at least float32; inf with zero gradient where there is no
        alignment, see ``batch_cost``. Of the options, only ``label_scale`` has an
        influence on it.

    Raises:
        OptionError: Unknown topology; a label outside of the vocabulary.
        ValueError: Shapes or lengths do not fit.
    """
    topology = get_topology(topology)
    if emission.shape != label_logits.shape[:-1]:
        raise ValueError(
            f"emission of shape {tuple(emission.shape)}: expected "
            f"{tuple(label_logits.shape[:-1])}, that of the label logits without K"
        )
    if blank is not None:
        labels_BL = label_unit(labels_BL, blank)
    return _loss(
        label_logits,
        emission,
        labels_BL,
        frame_lens_B,
        label_lens_B,
        topology,
        0,
        options,
    )


def softmax_loss(
    logits: torch.Tensor,
    labels_BL: torch.Tensor,
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
    topology: Union[str, Topology] = "rna",
    blank: int = 0,
    *,
    options: Optional[GradientOptions] = None,
) -> torch.Tensor:
    """Full sum from logits [B, T, S, V] (``ctc``: also [B, T, V]) of one softmax.

    Arguments, result and errors otherwise as ``factorised_loss``; labels are ids in V.
    ``lsxx`` smooths the distribution of labels given that there is one, and
    ``label_scale`` multiplies the whole log-probability of a label.
    """
    topology = get_topology(topology)
    return _loss(
        logits, None, labels_BL, frame_lens_B, label_lens_B, topology, blank, options
    )


def _loss(
    logits, emission, labels_BL, frame_lens_B, label_lens_B, kind, blank, options
):
    check_scores(logits, labels_BL, frame_lens_B, label_lens_B, kind, blank)
    labels_BL, frame_lens_B, label_lens_B = (
        x.to(logits.device) for x in (labels_BL, frame_lens_B, label_lens_B)
    )
    return _LogitsFullSum.apply(
        logits,
        emission,
        labels_BL,
        frame_lens_B,
        label_lens_B,
        kind,
        blank,
        options or PLAIN,
    )
