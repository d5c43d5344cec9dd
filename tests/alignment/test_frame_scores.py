"""Scores without positions, and sums without logarithms, against enumeration."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_ext.alignment.aligner import align_batch
from espnet_ext.alignment.full_sums import full_sums
from espnet_ext.alignment.scores import frame_arcs
from espnet_ext.asr.loss.lattice import chain_of, forward_backward
from tests.asr.loss.paths import TOPOLOGY_NAMES, enumerate_all, random_case
from tests.asr.loss.test_lattice import arcs_of


def frame_case(seed, batch, frames, positions, lift=0.0):
    """Log-probabilities that are the same in all positions; ``lift`` is added."""
    case = random_case(seed, batch, frames, positions, 4, 0)
    scores = case.scores_BTSV[:, :, :1].expand(-1, -1, positions, -1) + lift
    return case._replace(scores_BTSV=scores)


def scores_of(case, name):
    return frame_arcs(
        *(case.scores_BTSV[:, :, 0].float(), lambda x: x, 4),
        *(case.labels_BL, case.label_lens_B, name),
        log_prior_C=torch.zeros(4),
    )


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 3),
    frames=st.integers(0, 6),
    positions=st.integers(1, 5),
)
def test_paths_and_sums_of_frame_scores_are_those_of_enumeration(
    name, seed, batch, frames, positions
):
    case = frame_case(seed, batch, frames, positions)
    found = align_batch(scores_of(case, name), *case[1:], name)
    for entry, (scores, length, labels) in zip(found.aligned, case.sequences()):
        expected = enumerate_all(scores, name, length, labels, 0)
        if not expected.count:
            assert entry is None
            continue
        # single precision, and equal scores in several positions
        assert entry.score == pytest.approx(expected.best_score, abs=1e-5)
        assert entry.full_sum == pytest.approx(-expected.nll, abs=1e-5)
        emitted = [s for i, s in enumerate(entry.symbols) if s]
        assert len(entry.symbols) == len(expected.best) and len(emitted) >= len(labels)


@pytest.mark.parametrize("method", ["exact", "sum_alpha", "posterior"])
def test_frame_scores_give_what_their_arcs_give(method):
    case = frame_case(5, 8, 12, 5)
    for name in ("ctc", "label_loop", "rna"):
        scores = scores_of(case, name)
        batch = *case[1:], name, 0, method
        ours, expected = align_batch(scores, *batch), align_batch(scores.arcs(), *batch)
        compared = 0
        for left, right in zip(ours.aligned, expected.aligned):
            assert (left is None) == (right is None)
            if left is not None:
                assert left.symbols.tolist() == right.symbols.tolist()
                assert left.score == pytest.approx(right.score, rel=1e-12)
                assert left.full_sum == pytest.approx(right.full_sum, rel=1e-12)
                compared += 1
        assert compared > 3


@pytest.mark.parametrize("lift", [0.0, 1.5, -200.0])
@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_sums_of_any_size_are_those_with_logarithms(name, lift):
    """Scores above 0, and sums below the smallest double, take logarithms."""
    case = random_case(4, 8, 7, 4, 4, 0)
    case = case._replace(scores_BTSV=case.scores_BTSV + lift)
    chain = chain_of(arcs_of(case, name, 0), *case[1:], name)
    expected_B = forward_backward(chain)[1][:, 0, 0]
    assert int(torch.isfinite(expected_B).sum()) > 3
    torch.testing.assert_close(
        full_sums(chain, expected_B), expected_B, rtol=1e-12, atol=1e-12
    )
