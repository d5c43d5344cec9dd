"""Auxiliary CTC: the original's arrays, torch's own CTC, enumeration, and the forms."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from espnet_ext.asr.loss.aux_ctc import AuxiliaryCtc, ctc_nll
from espnet_ext.errors import OptionError
from espnet_ext.interop.returnn import label_ids
from tests.asr.loss.paths import enumerated_nll
from tests.shared import shared_file

V, D = 7, 6


def random_case(seed=3, batch=4, frames=6, classes=5, labels=3):
    """Sequences without equal neighbours, all of them possible."""
    generator = torch.Generator().manual_seed(seed)
    shape = batch, frames, classes
    logits = torch.randn(shape, dtype=torch.float64, generator=generator)
    text = torch.randint(1, classes, (batch, labels), generator=generator)
    label_lens = torch.randint(0, labels + 1, (batch,), generator=generator)
    frame_lens = 2 * label_lens
    return logits.requires_grad_(), text, frame_lens, label_lens


def test_reference_vectors_of_ctc():
    """All arrays; the last sequence is infeasible."""
    arrays = np.load(shared_file("reference/vectors/ctc_blank_last.npz"))
    case = [
        torch.tensor(arrays[k]).long() for k in ("labels", "input_lens", "label_lens")
    ]
    blank, feasible = int(arrays["blank"]), arrays["feasible"]
    logits = torch.tensor(arrays["logits"]).double().requires_grad_()
    nll = ctc_nll(logits, *case, blank)
    np.testing.assert_allclose(
        nll.detach(), np.where(feasible, arrays["loss"], 0.0), rtol=1e-9
    )
    nll.sum().backward()
    np.testing.assert_allclose(logits.grad, arrays["grad_logits"], atol=1e-9)
    # the softmax has the gradient of the logits minus that of the log-probabilities
    occupancy = -arrays["grad_log_probs"]
    valid = np.arange(6) < arrays["input_lens"][:, None]
    softmax = (
        logits.detach().softmax(-1).numpy() * (valid & feasible[:, None])[..., None]
    )
    np.testing.assert_allclose(logits.grad, softmax - occupancy, atol=1e-9)


def test_value_and_gradient_equal_those_of_torch():
    logits, *case = random_case()
    nll = ctc_nll(logits, *case)
    (grad,) = torch.autograd.grad(nll.sum(), logits)
    log_probs = logits.log_softmax(-1).transpose(0, 1)
    expected = F.ctc_loss(log_probs, *case, reduction="none")
    (expected_grad,) = torch.autograd.grad(expected.sum(), logits)
    torch.testing.assert_close(nll, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(grad, expected_grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("infeasible", ["zero", "uniform_pull"])
def test_infeasible_sequences_cost_nothing_and_pull_as_told(infeasible):
    logits, _, _, _ = random_case(batch=3)
    labels = torch.tensor([[1, 1, 2], [1, 2, 1], [3, 0, 0]])
    lens = torch.tensor([3, 3, 2]), torch.tensor([3, 3, 1])  # "1 1 2" takes 4 frames
    nll = ctc_nll(logits, labels, *lens, infeasible=infeasible)
    assert nll[0] == 0 and (nll[1:] > 0).all()
    weights = torch.tensor([0.5, 1.0, 1.0], dtype=torch.float64)
    (grad,) = torch.autograd.grad((nll * weights).sum(), logits)
    expected = torch.zeros(6, 5, dtype=torch.float64)
    if infeasible == "uniform_pull":
        expected[:3] = 0.5 * logits[0, :3].softmax(-1)
    torch.testing.assert_close(grad[0], expected)
    plain = ctc_nll(logits[1:], labels[1:], *(x[1:] for x in lens))
    (plain_grad,) = torch.autograd.grad(plain.sum(), logits)
    assert torch.equal(grad[1:], plain_grad[1:])


def test_a_label_that_is_blank_itself_emits_blank():
    """Two blanks in a row are then two arcs, and many alignments look the same."""
    logits, _, _, _ = random_case(batch=1, frames=4, classes=3)
    labels = torch.tensor([[1, 2]])
    lens = torch.tensor([4]), torch.tensor([2])
    nll = ctc_nll(logits, labels, *lens, blank=2)
    # enumeration over four classes, of which 2 and 3 are copies of the same score
    log_probs = logits.log_softmax(-1).detach()
    copied = torch.cat([log_probs, log_probs[..., 2:]], dim=-1)
    scores = copied[0].unsqueeze(1).expand(-1, 3, -1)
    expected = enumerated_nll(scores, 4, [1, 2], 3, "ctc")
    assert float(nll.detach()) == pytest.approx(expected, rel=1e-12)
    assert torch.autograd.gradcheck(lambda z: ctc_nll(z, labels, *lens, 2), logits)


def test_gradient_equals_finite_differences():
    logits, *case = random_case()
    assert torch.autograd.gradcheck(lambda z: ctc_nll(z, *case), logits)


def heads(**options):
    options = {"layers": [2, 4], **options}
    return AuxiliaryCtc(V, D, **options).double()


def batch(layers=(2, 4)):
    generator = torch.Generator().manual_seed(5)
    outputs = [
        (layer, torch.randn(2, 9, D, dtype=torch.float64, generator=generator))
        for layer in layers
    ]
    labels = torch.tensor([[1, 5, 6], [5, 2, -1]])
    return outputs, torch.tensor([9, 6]), labels, torch.tensor([3, 2])


@pytest.mark.parametrize(
    "options, by_layers",
    [
        ({"top_layer": False}, {2: (), 4: (2,), 8: (2, 4), 12: (2, 4, 8)}),
        ({"top_layer": True}, {2: (2,), 4: (2, 4), 8: (2, 4, 8), 12: (2, 4, 8, 12)}),
        ({"weight": 0.0}, {12: ()}),
    ],
)
def test_heads_become_active_as_the_encoder_grows(options, by_layers):
    """aux24812: without f, a layer has its loss only when it is no longer the top."""
    module = heads(layers=[2, 4, 8, 12], **options)
    assert {n: module.active_layers(n) for n in by_layers} == by_layers


@pytest.mark.parametrize("bos, blank_token", [(0, None), (V - 2, V - 1), (2, V - 2)])
def test_wrong_blank_is_the_last_label_of_the_original(bos, blank_token):
    """Compared with the original's own numbering: 1030 outputs there, blank = -1."""
    module = heads(blank="last_label", layers=[2], blank_token=blank_token)
    ids_K = label_ids(V - 1, bos=bos)  # that label becomes <sos/eos>, the last one
    assert ids_K[V - 2] == blank_token or blank_token is None
    head = module.heads["2"]
    assert head.weight.shape == (V - 1, D)
    outputs, frame_lens, labels, label_lens = batch([2])
    labels[1, 0] = int(ids_K[V - 2])  # a label that is taken for blank
    original_weight = torch.empty(V - 1, D, dtype=torch.float64)
    original_bias = torch.randn(V - 1, dtype=torch.float64)
    for original, ours in enumerate(ids_K):
        original_weight[original] = head.weight[ours - 1]
        head.bias.data[ours - 1] = original_bias[original]
    nll = module(outputs, frame_lens, labels, label_lens, 12)[2]
    to_original = torch.zeros(V, dtype=torch.long)
    to_original[torch.tensor(ids_K)] = torch.arange(V - 1)
    text = to_original[labels.clamp(min=0)]
    assert text[1, 0] == V - 2
    log_probs = F.linear(outputs[0][1], original_weight, original_bias).log_softmax(-1)
    # an independent count of its arcs: that label gets a column of its own
    last = log_probs.size(-1) - 1
    copied = torch.cat([log_probs, log_probs[..., last:]], dim=-1).detach()
    for b in range(2):
        frames, count = int(frame_lens[b]), int(label_lens[b])
        scores = copied[b].unsqueeze(1).expand(-1, count + 1, -1)
        words = text[b, :count].tolist()
        expected = enumerated_nll(scores, frames, words, last + 1, "ctc")
        assert float(nll[b].detach()) == pytest.approx(expected, rel=1e-10)


def test_separate_blank_has_its_own_output():
    module = heads(layers=[2])
    assert module.heads["2"].weight.shape == (V, D)
    outputs, *case = batch([2])
    nll = module(outputs, *case, 12)[2]
    log_probs = module.logits(2, outputs[0][1]).log_softmax(-1).transpose(0, 1)
    frame_lens, labels, label_lens = case
    expected = F.ctc_loss(log_probs, labels, frame_lens, label_lens, reduction="none")
    torch.testing.assert_close(nll, expected)


def test_total_is_the_weighted_sum_over_heads_and_sequences():
    module = heads(weight=0.3)
    outputs, *case = batch()
    nll = module(outputs, *case, 12)
    assert sorted(nll) == [2, 4] and nll[2].shape == (2,)
    expected = 0.3 * sum(float(x.detach().sum()) for x in nll.values())
    assert float(module.total(nll).detach()) == pytest.approx(expected)
    assert module.total(module(outputs, *case, 1)) is None


def test_a_narrower_encoder_uses_the_leading_part_of_the_weight():
    module = heads(layers=[2])
    outputs, *case = batch([2])
    narrow = [(2, outputs[0][1][..., :4])]
    padded = [(2, F.pad(narrow[0][1], (0, 2)))]
    losses = [module(x, *case, 12)[2] for x in (narrow, padded)]
    torch.testing.assert_close(*losses)
    module.total({2: losses[0]}).backward()
    assert (module.heads["2"].weight.grad[:, 4:] == 0).all()


def test_heads_start_glorot_uniform_with_zero_bias():
    head = AuxiliaryCtc(1031, 384, [4]).heads["4"]
    limit = (6 / (384 + 1031)) ** 0.5
    largest = float(head.weight.detach().abs().max())
    assert 0.99 * limit < largest <= limit and (head.bias == 0).all()


def test_wrong_options_are_named():
    with pytest.raises(OptionError, match="did you mean last_label"):
        heads(blank="last_labels")
    with pytest.raises(OptionError, match="did you mean uniform_pull"):
        heads(infeasible="uniform")
    with pytest.raises(OptionError, match="token 7 for blank"):
        heads(blank="last_label", blank_token=V)
    with pytest.raises(OptionError, match="counted from 1"):
        heads(layers=[0, 4])
    with pytest.raises(OptionError, match=r"outputs of encoder layers \[4\]"):
        outputs, *case = batch([2])
        heads()(outputs, *case, 12)
