"""From the log-probabilities of the original program to its losses and gradients."""

# Dimensions: B batch, T frames, S label positions, K labels, J readout, V = K + 1
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from espnet_ext.asr.loss import full_sum_loss
from tests.shared import shared_file

NEW = "model_ProbsFromReadout.get_wb_label_log_probs_concat_features_concat"
OLD = "output/output_log_prob"
FILES = {
    "start_e1": NEW,
    "start_full": NEW,
    "conf_bn_dh4_e15": NEW,
    "conf_bn_lsx01b_e15": NEW,
    "conf_decnoatt_e15": NEW,
    "conf_relold_dh4_e15": NEW,
    "recommended_e15": NEW,
    "orig_stage1": OLD,
    "orig_stage2": OLD,
    "orig_last": OLD,
}
# smoothing changes these gradients, not the loss: see the tests of the smoothing
SMOOTHED_LABELS = ("recommended_e15", "conf_bn_lsx01b_e15")
SMOOTHED_EMISSION = ("conf_bn_lsx01b_e15",)


def load(name):
    """Arrays, log-probabilities with blank last, labels and lengths."""
    arrays = np.load(shared_file(f"reference/parity/{name}.npz"))
    log_probs = torch.from_numpy(arrays[f"out:{FILES[name]}"]).double()
    keys = "in:targets", f"size:{FILES[name]}:1", "in:targets_len"
    return arrays, log_probs, [torch.from_numpy(arrays[key]).long() for key in keys]


@pytest.mark.parametrize("backend", ["torch", "reference"])
@pytest.mark.parametrize("name", FILES)
def test_losses_equal_those_of_the_original(name, backend):
    arrays, log_probs, rest = load(name)
    blank = log_probs.size(3) - 1
    nll = full_sum_loss(log_probs, *rest, "rna", blank, backend=backend)
    original = arrays[
        "out:output/output_prob" if FILES[name] == OLD else "out:full_sum"
    ]
    np.testing.assert_allclose(nll, original, rtol=1e-5)


@pytest.mark.parametrize("name", FILES)
def test_gradients_of_the_output_layers_equal_those_of_the_original(name):
    """All that log-probabilities (and the stored readout) determine.

    The logits are recovered from the log-probabilities; layers of zeros are added to
    them, and their gradients are those of the original's layers.
    """
    arrays, log_probs, rest = load(name)
    blank = log_probs.size(3) - 1
    label_bias_K = torch.zeros(blank, dtype=torch.float64, requires_grad=True)
    emission_bias = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    logits_BTSK = log_probs[..., :blank] + label_bias_K
    emission_BTS = log_probs[..., :blank].logsumexp(3) - log_probs[..., blank]
    emission_BTS = emission_BTS + emission_bias
    leaves = {"label bias": label_bias_K, "emission bias": emission_bias}
    if FILES[name] == OLD:
        readout_BTSJ = torch.from_numpy(arrays["out:output/readout"]).double()
        size = readout_BTSJ.size(3)
        label_JK, emission_J1 = (
            torch.zeros(size, n, dtype=torch.float64, requires_grad=True)
            for n in (blank, 1)
        )
        logits_BTSK = logits_BTSK + readout_BTSJ @ label_JK
        emission_BTS = emission_BTS + (readout_BTSJ @ emission_J1).squeeze(3)
        leaves |= {"label weight": label_JK, "emission weight": emission_J1}
        names = {
            "label bias": "output/rec/label_log_prob/b",
            "emission bias": "output/rec/emit_prob0/b",
            "label weight": "output/rec/label_log_prob/W",
            "emission weight": "output/rec/emit_prob0/W",
        }
    else:
        names = {
            "label bias": "out_nb_label_logits/bias/param",
            "emission bias": "out_emit_logit/bias/param",
        }
    label_BTSK = F.logsigmoid(emission_BTS).unsqueeze(3) + logits_BTSK.log_softmax(3)
    blank_BTS1 = F.logsigmoid(-emission_BTS).unsqueeze(3)
    composed = torch.cat([label_BTSK, blank_BTS1], dim=3)
    full_sum_loss(composed, *rest, "rna", blank).sum().backward()
    if name in SMOOTHED_LABELS:
        del leaves["label bias"]
    if name in SMOOTHED_EMISSION:
        del leaves["emission bias"]
    for what, leaf in leaves.items():
        original = arrays[f"grad:{names[what]}"]
        scale = np.abs(original).max()
        np.testing.assert_allclose(leaf.grad, original, atol=1e-4 * scale, err_msg=what)
