"""Losses of the Conformer experiments, from the original's own encoder outputs.

The encoder output is stored, so that decoder, full sum, label smoothing and auxiliary
CTC can be compared without an encoder: values of each sequence, and gradients of all
parameters behind the encoder.
"""

import numpy as np
import pytest
import torch

from espnet_ext.asr.decoder.lstm_transducer import LstmTransducerDecoder
from espnet_ext.asr.loss import GradientOptions, factorised_loss
from espnet_ext.asr.loss.aux_ctc import AuxiliaryCtc
from espnet_ext.asr.loss.smoothing import SmoothingSchedule
from espnet_ext.interop.parameter_maps import joint_rules, prediction_rules
from espnet_ext.interop.parity import GRADIENT_LIMIT, VALUE_LIMIT, relative_error
from espnet_ext.interop.returnn import (
    apply_rules,
    label_ids,
    load_parameters,
    parameters_of,
    read_npz,
)
from tests.shared import shared_file

SUB_EPOCH, LAYERS = 15, 4
ENCODER = "out:model_encoder_layers_3_final_layer_norm_add_0"
LSXX01 = SmoothingSchedule(0.1, over="labels")
LSX01B = SmoothingSchedule(0.1, over="all_but_blank", schedule="warmup")
LS01B = SmoothingSchedule(0.1, over="all", schedule="warmup")
NONE = SmoothingSchedule()


def read(name):
    return read_npz(shared_file(f"reference/parity/{name}.npz"))


def text_of(arrays, ids_K):
    labels = torch.from_numpy(ids_K[arrays["in:targets"]])
    return labels, torch.from_numpy(arrays["in:targets_len"]).long()


def frames_of(arrays):
    frames = torch.from_numpy(arrays[ENCODER])
    return frames, torch.from_numpy(arrays[f"size:{ENCODER[4:]}:1"]).long()


def build_decoder(parameters, encoder_size, ids_K):
    """The decoder with the original's parameters, and the rules of their names."""
    attention = None
    if "att_query/weight" in parameters:
        key_size = parameters["att_query/weight"].shape[1]
        attention = {"key_size": key_size, "scale": "window_size", "padding": "visible"}
    rules = [*prediction_rules(ids_K), *joint_rules(ids_K, attention is not None)]
    decoder = LstmTransducerDecoder(
        len(ids_K) + 1,
        encoder_size,
        embedding_size=parameters["lm/embed/weight"].shape[1],
        hidden_size=parameters["lm/lstm/param_W_re"].shape[0],
        joint={
            "readout_size": parameters["readout_in_bias"].shape[0],
            "attention": attention,
        },
    )
    holder = torch.nn.ModuleDict({"decoder": decoder}).eval()
    names = {rule.original for rule in rules}
    load_parameters(holder, {k: parameters[k] for k in names}, rules)
    return holder, rules


def gradient_errors(arrays, smoothing):
    """Relative error of the loss, and of the gradient of each decoder parameter."""
    parameters = parameters_of(arrays)
    ids_K = label_ids(parameters["out_nb_label_logits/bias"].shape[0])
    frames, frame_lens = frames_of(arrays)
    labels, label_lens = text_of(arrays, ids_K)
    holder, rules = build_decoder(parameters, frames.size(-1), ids_K)
    decoder = holder["decoder"]
    am = decoder.joint_network.project_frames(frames, frame_lens)
    lm = decoder(torch.nn.functional.pad(labels, (1, 0)))
    logits, emission = decoder.joint_network.logits(am.unsqueeze(2), lm.unsqueeze(1))
    options = GradientOptions(smoothing.at(SUB_EPOCH))
    nll = factorised_loss(
        logits, emission, labels - 1, frame_lens, label_lens, options=options
    )
    nll.sum().backward()
    gradients = parameters_of(arrays, "grad:")
    names = {rule.original for rule in rules}
    gradients = {k: gradients[k] for k in names if k in gradients}
    assert gradients
    expected = apply_rules(gradients, rules, partial=True)
    ours = dict(holder.named_parameters())
    errors = {
        name: relative_error(ours[name].grad.numpy(), array)
        for name, array in expected.items()
    }
    return relative_error(nll.detach().numpy(), arrays["out:full_sum"]), errors


@pytest.mark.parametrize(
    "name, smoothing",
    [
        ("recommended_e15", LSXX01),
        ("conf_bn_lsx01b_e15", LSX01B),
        ("conf_decnoatt_e15", NONE),
        ("conf_relold_dh4_e15", NONE),
        ("conf_bn_dh4_e15", NONE),
    ],
)
def test_full_sum_and_smoothed_gradients_equal_the_original(name, smoothing):
    loss_error, gradient_error = gradient_errors(read(name), smoothing)
    assert loss_error <= VALUE_LIMIT
    for parameter, error in gradient_error.items():
        assert error <= GRADIENT_LIMIT, parameter


@pytest.mark.parametrize("name", ["recommended_e15", "conf_bn_lsx01b_e15"])
def test_the_arrays_tell_the_kinds_of_smoothing_apart(name):
    """A wrong kind, scale or schedule would have been seen in the test above."""
    right = LSXX01 if name == "recommended_e15" else LSX01B
    for wrong in (NONE, LS01B, LSX01B, LSXX01, SmoothingSchedule(0.025, "labels")):
        if wrong != right:
            _, errors = gradient_errors(read(name), wrong)
            assert max(errors.values()) > 5 * GRADIENT_LIMIT


def ctc_of(arrays, parameter, infeasible):
    """Loss of each sequence, and gradients of weight and bias in the original's order.

    48ff: at sub-epoch 15, layer 4 is the highest and has its head.
    """
    parameters = parameters_of(arrays)
    num_labels = parameters[f"{parameter}/bias"].shape[0] - 1
    ids_K = label_ids(num_labels)
    columns_V = np.concatenate([ids_K, [0]])  # our output of each original class
    rows_V = np.argsort(columns_V)
    frames, frame_lens = frames_of(arrays)
    module = AuxiliaryCtc(
        num_labels + 1, frames.size(-1), [4, 8], infeasible=infeasible
    )
    head = module.heads["4"]
    with torch.no_grad():
        weight = parameters[f"{parameter}/weight"].T[rows_V]
        head.weight.copy_(torch.from_numpy(weight))
        head.bias.copy_(torch.from_numpy(parameters[f"{parameter}/bias"][rows_V]))
    labels, label_lens = text_of(arrays, ids_K)
    nll = module([(4, frames)], frame_lens, labels, label_lens, LAYERS)
    assert list(nll) == [4]
    module.total(nll).backward()
    gradients = head.weight.grad.numpy()[columns_V].T, head.bias.grad.numpy()[columns_V]
    return nll[4].detach().numpy(), *gradients


@pytest.mark.parametrize(
    "name, parameter, loss",
    [
        ("recommended_e15", "enc_aux_logits_4", "ctc_4"),
        ("conf_bn_lsx01b_e15", "enc_aux_logits_4", "ctc_4"),
        ("conf_decnoatt_e15", "enc_aux_logits_4", "ctc_4"),
        ("conf_bn_dh4_e15", "enc_aux_logits_4", "ctc_4"),
        ("att_conformer_e15", "enc_aux_logits_4", "ctc_4"),
        ("ctc_conformer_e15", "logits", "ctc"),
    ],
)
@pytest.mark.parametrize("infeasible", ["zero", "uniform_pull"])
def test_ctc_equals_the_original(name, parameter, loss, infeasible):
    arrays = read(name)
    nll_B, weight, bias = ctc_of(arrays, parameter, infeasible)
    gradients = parameters_of(arrays, "grad:")
    assert relative_error(nll_B, arrays[f"out:{loss}"]) <= VALUE_LIMIT
    assert float(nll_B.sum()) == pytest.approx(float(arrays[f"loss:{loss}"]), rel=1e-5)
    assert relative_error(weight, gradients[f"{parameter}/weight"]) <= GRADIENT_LIMIT
    assert relative_error(bias, gradients[f"{parameter}/bias"]) <= GRADIENT_LIMIT


def test_auxiliary_ctc_beside_a_second_ctc_equals_the_original_where_that_is_sound():
    """The values out:ctc_4 of this file cannot be right.

    That of the sequence without labels is not the sum of -log p(blank) over its frames,
    while the gradient is the one of that sum. It is the only file in which the
    original computed two CTC losses at a time. What can be compared are the gradients
    of all classes but those of the second sequence, and all of them roughly.
    """
    arrays = read("ctc_conformer_e15")
    nll_B, weight, bias = ctc_of(arrays, "enc_aux_logits_4", "zero")
    assert relative_error(nll_B, arrays["out:ctc_4"]) > 0.1
    gradients = parameters_of(arrays, "grad:")
    original = gradients["enc_aux_logits_4/weight"], gradients["enc_aux_logits_4/bias"]
    second = set(arrays["in:targets"][1, :3].tolist())
    others = sorted(set(range(17)) - second)
    for ours, theirs in zip((weight, bias), original):
        assert relative_error(ours[..., others], theirs[..., others]) <= 1e-5
        assert relative_error(ours, theirs) <= 1e-2
