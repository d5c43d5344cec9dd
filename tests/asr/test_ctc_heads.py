"""Auxiliary CTC in the four forms of the original, against a sum over all paths."""

import itertools
import math

import pytest
import torch

from espnet_ext.asr.ctc_heads import CtcHeads, ctc_nll


def enumerated_nll(log_probs_TC, labels, blank):
    """Sum over every path that collapses to the labels."""
    frames, classes = log_probs_TC.shape
    total = 0.0
    for path in itertools.product(range(classes), repeat=frames):
        collapsed = [k for k, _ in itertools.groupby(path) if k != blank]
        if collapsed == list(labels):
            total += math.exp(sum(log_probs_TC[t, k] for t, k in enumerate(path)))
    return -math.log(total)


@pytest.mark.parametrize("labels", [[], [1], [2, 1], [1, 1]])
def test_the_loss_is_the_sum_over_all_paths(labels):
    logits = torch.randn(1, 4, 3, dtype=torch.float64)
    expected = enumerated_nll(logits[0].log_softmax(1), labels, 0)
    nll = ctc_nll(
        logits,
        torch.tensor([labels + [0] * (2 - len(labels))]),
        torch.tensor([4]),
        torch.tensor([len(labels)]),
        blank=0,
    )
    assert float(nll) == pytest.approx(expected, rel=1e-5)


def test_an_impossible_sequence_costs_nothing_and_has_no_gradient():
    logits = torch.randn(1, 2, 3, requires_grad=True)
    labels = torch.tensor([[1, 1]])  # needs a blank between
    nll = ctc_nll(logits, labels, torch.tensor([2]), torch.tensor([2]), 0)
    nll.sum().backward()
    assert float(nll) == 0.0 and (logits.grad == 0).all()


def nll_of(heads, layers=4):
    torch.manual_seed(1)
    outputs = [(2, torch.randn(1, 5, 3)), (4, torch.randn(1, 5, 3))]
    batch = (torch.tensor([5]), torch.tensor([[2, 1]]), torch.tensor([2]))
    return outputs, batch, heads(outputs, layers, *batch)


@pytest.mark.parametrize(
    "form, at_the_top", [("aux", [2]), ("f", [2, 4]), ("ff", [2, 4])]
)
def test_only_without_f_the_top_layer_has_no_loss(form, at_the_top):
    heads = CtcHeads(3, 6, [2, 4], form)
    assert list(nll_of(heads, layers=4)[2]) == at_the_top
    assert list(nll_of(heads, layers=8)[2]) == [2, 4]


def test_the_right_blank_is_the_first_class_and_all_tokens_have_one():
    heads = CtcHeads(3, 6, [4], "ff")
    assert heads.heads["4"].out_features == 6 and heads.blank == 0
    outputs, _, losses = nll_of(CtcHeads(3, 6, [2, 4], "ff"))
    assert len(losses) == 2


def test_the_wrong_blank_is_the_last_label_and_there_is_one_class_less():
    """models.md d.8: 1,030 classes, blank is the last word piece."""
    heads = CtcHeads(3, 1031, [4], "f")
    assert heads.heads["4"].out_features == 1030
    assert heads.blank + heads.shift == 1029  # the last one before <sos/eos>
    heads = CtcHeads(3, 6, [2, 4], "f")
    outputs, batch, losses = nll_of(heads)
    logits = heads.heads["2"](outputs[0][1])[0].log_softmax(1).detach()
    expected = enumerated_nll(logits.double(), [1, 0], blank=3)
    assert float(losses[2]) == pytest.approx(expected, rel=1e-4)


def test_parameter_count_of_two_heads_is_that_of_the_original():
    """models.md d.7: 793,870."""
    heads = CtcHeads(384, 1031, [4, 8], "ff")
    assert sum(p.numel() for p in heads.parameters()) == 793_870


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([4], "g"), "aux_ctc form 'g'"),
        (([8, 4], "ff"), "ascending"),
        (([0], "ff"), "ascending"),
    ],
)
def test_wrong_options_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        CtcHeads(3, 6, *arguments)


@pytest.mark.parametrize("form", ["aux", "f", "ff"])
def test_a_vocabulary_of_one_token_builds(form):
    assert CtcHeads(3, 1, [2], form).heads["2"].out_features == 1
