"""Gradient coefficients of a node against the formulas on whole distributions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from espnet_ext.asr.loss.node_gradient import (
    SMOOTHING_TYPES,
    GradientOptions,
    LabelSmoothing,
    NodeGradient,
    growth_fraction,
    smooth,
    smoothing_terms,
    warmup_fraction,
)
from espnet_ext.errors import OptionError
from tests.asr.loss.smoothing_by_definition import smoothed_by_definition

NEXT, CURRENT = 1, 0  # which of the K labels the two label arcs carry


def double(number):
    return torch.tensor(number, dtype=torch.float64)


def dense(node, num_labels):
    """The gradient at [labels, blank] that the coefficients of one node stand for."""
    gradient = np.zeros(num_labels + 1)
    if node.uniform is not None:
        gradient[:num_labels] -= float(node.uniform)
    gradient[NEXT] -= float(node.peak)
    if node.peak_repeat is not None:
        gradient[CURRENT] -= float(node.peak_repeat)
    gradient[num_labels] -= float(node.blank)
    return gradient


occupancy = st.floats(0.0, 1.0)


@given(
    kind=st.sampled_from(SMOOTHING_TYPES),
    scale=st.floats(0.0, 0.9),
    blank=occupancy,
    label=occupancy,
    repeat=st.one_of(st.none(), occupancy),
    num_labels=st.integers(2, 7),
)
def test_smoothing_equals_the_definition_on_the_whole_distribution(
    kind, scale, blank, label, repeat, num_labels
):
    smoothing = LabelSmoothing(kind, scale)
    parts = [double(x) for x in (blank, label)]
    repeat = None if repeat is None else double(repeat)
    node = GradientOptions(smoothing).node_gradient(*parts, repeat, num_labels)
    plain = np.zeros(num_labels + 1)
    plain[NEXT], plain[num_labels] = -label, -blank
    plain[CURRENT] = 0.0 if repeat is None else -float(repeat)
    expected = smoothed_by_definition(plain, smoothing)
    np.testing.assert_allclose(dense(node, num_labels), expected, atol=1e-15)


def test_mass_is_what_each_type_promises():
    blank, label = torch.tensor([0.7, 0.2], dtype=torch.float64)
    K, s = 10, 0.1
    plain = NodeGradient(blank, label)
    total = {}
    for kind in SMOOTHING_TYPES:
        node = smooth(plain, LabelSmoothing(kind, s), K)
        total[kind] = float(node.blank + node.label_mass(K))
    assert total["ls"] == pytest.approx(0.9, abs=1e-15)
    assert total["lsxx"] == pytest.approx(0.9, abs=1e-15)
    assert total["lsx"] == pytest.approx(0.7 * (1 + s) + 0.2 * (1 - s / K), abs=1e-15)
    lsxx = smooth(plain, LabelSmoothing("lsxx", s), K)
    assert float(lsxx.label_mass(K)) == pytest.approx(0.2, abs=1e-15)
    assert lsxx.blank is blank


def test_a_node_without_any_occupancy_is_not_pushed():
    zero = torch.zeros(4)
    for kind in SMOOTHING_TYPES:
        node = smooth(NodeGradient(zero, zero, zero), LabelSmoothing(kind, 0.3), 5)
        assert all((part == 0).all() for part in node)


def test_smoothed_cross_entropy_of_one_label_has_the_usual_target():
    """A node that surely emits: target 1 - s, and s / (D - 1) elsewhere."""
    node = smooth(
        NodeGradient(torch.tensor(0.0), torch.tensor(1.0)),
        LabelSmoothing("lsxx", 0.1),
        5,
    )
    expected = np.full(6, -0.1 / 4)
    expected[NEXT], expected[5] = -0.9, 0.0
    np.testing.assert_allclose(dense(node, 5), expected, atol=1e-7)


def test_neutral_options_hand_back_the_very_same_tensors():
    blank, label, repeat = torch.rand(3, 2, 4).unbind(0)
    for kind in SMOOTHING_TYPES:
        options = GradientOptions(LabelSmoothing(kind, 0.0), fastemit=0.0)
        node = options.node_gradient(blank, label, repeat, 7)
        assert node.blank is blank and node.peak is label
        assert node.peak_repeat is repeat and node.uniform is None
        assert node.scaled_labels(1.0) is node


def test_fastemit_strengthens_the_next_label_only_and_comes_before_smoothing():
    blank, label, repeat = torch.rand(3, 5).double().unbind(0)
    node = GradientOptions(fastemit=0.25).node_gradient(blank, label, repeat, 7)
    assert node.blank is blank and node.peak_repeat is repeat
    torch.testing.assert_close(node.peak, 1.25 * label)
    smoothing = LabelSmoothing("ls", 0.1)
    both = GradientOptions(smoothing, fastemit=0.25)
    expected = smooth(node, smoothing, 7)
    for ours, theirs in zip(both.node_gradient(blank, label, repeat, 7), expected):
        torch.testing.assert_close(ours, theirs)


def test_label_scale_multiplies_all_that_goes_through_labels():
    node = NodeGradient(*torch.rand(4, 3).double().unbind(0))
    scaled = node.scaled_labels(0.5)
    assert scaled.blank is node.blank
    torch.testing.assert_close(scaled.label_mass(9), 0.5 * node.label_mass(9))


def test_schedules_print_their_whole_curve():
    assert [growth_fraction(n, 2, 12) for n in (2, 4, 8, 12)] == [0, 0.2, 0.6, 1]
    assert growth_fraction(12, 12, 12) == 1.0
    assert [warmup_fraction(e) for e in (1, 15, 30, 60, 61, 150)] == [
        pytest.approx(1 / 60),
        0.25,
        0.5,
        1,
        1,
        1,
    ]
    smoothing = LabelSmoothing("lsx", 0.1).times(warmup_fraction(15))
    assert smoothing == LabelSmoothing("lsx", 0.025)
    assert not LabelSmoothing("ls", 0.1).times(growth_fraction(2, 2, 12))


def test_one_class_cannot_be_smoothed():
    assert smoothing_terms(0.1, 1) == (1.0, 0.0)


def test_wrong_options_are_named_with_the_nearest_right_one():
    with pytest.raises(OptionError, match="did you mean lsxx"):
        LabelSmoothing("lsxxx", 0.1)
    with pytest.raises(OptionError, match="scale 1.0"):
        LabelSmoothing("ls", 1.0)
    with pytest.raises(OptionError, match="fastemit -0.1"):
        GradientOptions(fastemit=-0.1)
    with pytest.raises(OptionError, match="label_scale nan"):
        GradientOptions(label_scale=float("nan"))
