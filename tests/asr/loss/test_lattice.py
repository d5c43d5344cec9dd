"""The dynamic program against posteriors from enumeration, for every topology."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_ext.asr.loss import arc_posteriors, get_topology
from espnet_ext.asr.loss.lattice import ArcScores, occupancies
from tests.asr.loss.paths import TOPOLOGY_NAMES, enumerate_all, random_case

shapes = {
    "seed": st.integers(0, 2**31),
    "batch": st.integers(1, 3),
    "frames": st.integers(0, 6),
    "positions": st.integers(1, 5),
    "vocabulary": st.integers(2, 5),
    "data": st.data(),
}


def arcs_of(case, topology, blank):
    """The scores of arcs, read from the batch one by one."""
    batch, frames, positions, _ = case.scores_BTSV.shape
    arcs = [torch.full((batch, frames, positions), 7.0).double() for _ in range(3)]
    for b, (scores, _, labels) in enumerate(case.sequences()):
        for u in range(len(labels) + 1):
            arcs[0][b, :, u] = scores[:, u, blank]
            if u < len(labels):
                arcs[1][b, :, u] = scores[:, u, labels[u]]
            if u > 0:
                arcs[2][b, :, u] = scores[:, u, labels[u - 1]]
    repeats = get_topology(topology).repeats
    return ArcScores(arcs[0], arcs[1], arcs[2] if repeats else None)


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
@settings(max_examples=30)
@given(**shapes)
def test_sum_and_posteriors_equal_those_of_all_alignments(
    name, seed, batch, frames, positions, vocabulary, data
):
    blank = data.draw(st.integers(0, vocabulary - 1))
    case = random_case(seed, batch, frames, positions, vocabulary, blank)
    arcs = arcs_of(case, name, blank)
    result = occupancies(arcs, *case[1:], name)
    for b, (scores, length, labels) in enumerate(case.sequences()):
        expected = enumerate_all(scores, name, length, labels, blank)
        assert float(result.nll_B[b]) == pytest.approx(
            expected.nll, rel=1e-10, abs=1e-10
        )
        ours = torch.zeros_like(scores)
        for u in range(len(labels) + 1):
            ours[:, u, blank] -= result.blank_BTS[b, :, u]
            if u < len(labels):
                ours[:, u, labels[u]] -= result.label_BTS[b, :, u]
            if u > 0 and result.repeat_BTS is not None:
                ours[:, u, labels[u - 1]] -= result.repeat_BTS[b, :, u]
        expected_gradient = torch.from_numpy(expected.gradient_TSV)
        torch.testing.assert_close(ours, expected_gradient, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_posteriors_of_each_frame_sum_to_one(name):
    case = random_case(5, 8, 9, 4, 4, 0)
    result = arc_posteriors(*case, name)
    mass_BTS = result.blank_BTS.clone()
    if name != "rnnt":  # there only blank ends a frame
        mass_BTS += result.label_BTS
    if result.repeat_BTS is not None:
        mass_BTS += result.repeat_BTS
    valid_BT = torch.arange(9) < case.frame_lens_B.unsqueeze(1)
    feasible_B = get_topology(name).feasible(*case[2:], case.labels_BL)
    assert feasible_B.any() and not feasible_B.all()
    expected_BT = (valid_BT & feasible_B.unsqueeze(1)).double()
    torch.testing.assert_close(mass_BTS.sum(2), expected_BT)
    labels_B = case.label_lens_B * feasible_B
    torch.testing.assert_close(result.label_BTS.sum((1, 2)), labels_B.double())


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_nodes_on_no_alignment_may_hold_nan_and_inf(name):
    case = random_case(6, 5, 6, 4, 5, 1)
    expected = arc_posteriors(*case, name, blank=1)
    scores = case.scores_BTSV.clone()
    for b, (scores_TSV, length, labels) in enumerate(case.sequences()):
        visited = enumerate_all(scores_TSV, name, length, labels, 1).nodes_TS
        scores[b][~torch.from_numpy(visited)] = float("nan" if b % 2 else "inf")
    found = arc_posteriors(scores, *case[1:], name, blank=1)
    for ours, theirs in zip(found, expected):
        assert theirs is None or torch.equal(ours, theirs)


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_a_symbol_of_probability_zero_leaves_the_other_alignments(name):
    case = random_case(9, 3, 6, 3, 4, 0)
    lengths = torch.tensor([6, 5, 4]), torch.tensor([2, 1, 2])
    case = case._replace(frame_lens_B=lengths[0], label_lens_B=lengths[1])
    case.scores_BTSV[:, 1, :, 0] = -1e30
    expected = arc_posteriors(*case, name)
    case.scores_BTSV[:, 1, :, 0] = float("-inf")
    found = arc_posteriors(*case, name)
    assert torch.isfinite(found.blank_BTS).all()
    if name == "rnnt":  # each alignment has a blank in each frame
        assert (found.nll_B == float("inf")).all()
        assert (found.blank_BTS == 0).all()
    else:
        torch.testing.assert_close(found.nll_B, expected.nll_B)
        torch.testing.assert_close(found.label_BTS, expected.label_BTS)


def test_occupancies_hold_no_number_that_is_denormal_in_single_precision():
    scores = random_case(1, 1, 30, 11, 6, 0).scores_BTSV * 40
    labels = torch.ones(1, 10, dtype=torch.long)
    result = arc_posteriors(scores, labels, torch.tensor([30]), torch.tensor([10]))
    positive = result.label_BTS[result.label_BTS > 0]
    assert float(positive.min()) >= torch.finfo(torch.float32).tiny
    assert (result.label_BTS == 0).any()
