"""RNA loss of a transducer with a separate emission sigmoid, straight from logits.

With emission logit e and label logits z,

    log p(blank)   = log sigmoid(-e)
    log p(label k) = log sigmoid(e) + log_softmax(z)_k

and occupancies gamma (of ``lattice.occupancies``), m = gamma_label, the gradients are

    d nll / d z_k = m softmax(z)_k - gamma_label [k is the next label]
    d nll / d e   = sigmoid(e) (gamma_blank + gamma_label) - gamma_label

so neither log-probabilities nor autograd's intermediate tensors are ever stored.

Source: reference/losses.md 5; Variani et al. 2020 (HAT), equation 5.
"""

# Dimensions: B batch, T frames, L labels, S = L + 1 positions, K = V - 1 labels
import torch
import torch.nn.functional as F

from espnet_ext.asr.loss.dense import check_shapes, label_index
from espnet_ext.asr.loss.lattice import ArcScores, occupancies


class _FactorisedRnaLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits_BTSK, emission_BTS, labels_BL, frame_lens_B, label_lens_B):
        index_BS = label_index(labels_BL.clamp(min=0), logits_BTSK.size(2))
        index_BTS1 = index_BS[:, None, :, None].expand(-1, logits_BTSK.size(1), -1, 1)
        normaliser_BTS1 = logits_BTSK.logsumexp(dim=3, keepdim=True)
        label_BTS = (logits_BTSK.gather(3, index_BTS1) - normaliser_BTS1).squeeze(3)
        arcs = ArcScores(
            F.logsigmoid(-emission_BTS), F.logsigmoid(emission_BTS) + label_BTS
        )
        result = occupancies(arcs, labels_BL, frame_lens_B, label_lens_B, "rna")
        ctx.save_for_backward(
            logits_BTSK,
            normaliser_BTS1,
            emission_BTS,
            index_BTS1,
            result.blank_BTS,
            result.label_BTS,
        )
        return result.nll_B.to(logits_BTSK.dtype)

    @staticmethod
    def backward(ctx, grad_B):
        logits, normaliser, emission, index, blank_BTS, label_BTS = ctx.saved_tensors
        scale = torch.nan_to_num(grad_B.double(), nan=0.0, posinf=0.0, neginf=0.0)
        blank_BTS = (scale.view(-1, 1, 1) * blank_BTS).to(logits.dtype)
        label_BTS = (scale.view(-1, 1, 1) * label_BTS).to(logits.dtype)
        grad_logits = (logits - normaliser).exp_()
        grad_logits.mul_(label_BTS.unsqueeze(3))
        grad_logits.scatter_add_(3, index, -label_BTS.unsqueeze(3))
        grad_emission = emission.sigmoid() * (blank_BTS + label_BTS) - label_BTS
        return grad_logits, grad_emission, None, None, None


def factorised_rna_loss(
    label_logits_BTSK: torch.Tensor,
    emission_BTS: torch.Tensor,
    labels_BL: torch.Tensor,
    frame_lens_B: torch.Tensor,
    label_lens_B: torch.Tensor,
) -> torch.Tensor:
    """RNA full sum from emission logit and label logits.

    Args:
        label_logits_BTSK: Logits over the K = V - 1 labels, without blank.
        emission_BTS: Logit of emitting any label.
        labels_BL: Label ids 0..K-1 (blank is not counted), padded with anything.
        frame_lens_B: Valid frames per sequence.
        label_lens_B: Valid labels per sequence.

    Returns:
        nll_B in nats; inf with zero gradient where labels outnumber frames.
    """
    check_shapes(emission_BTS.shape, labels_BL, frame_lens_B, label_lens_B)
    return _FactorisedRnaLoss.apply(
        label_logits_BTSK, emission_BTS, labels_BL, frame_lens_B, label_lens_B
    )
