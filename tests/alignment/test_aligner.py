"""Alignments of a batch: each method against enumeration, for every topology."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_ext.alignment.aligner import ALL_METHODS, align_batch, score_of
from espnet_ext.asr.loss.framewise import softmax_framewise_cost
from espnet_ext.errors import FormatError, OptionError
from tests.asr.loss.paths import (
    TOPOLOGY_NAMES,
    alignments,
    enumerate_all,
    random_case,
)
from tests.asr.loss.test_lattice import arcs_of

shapes = {
    "seed": st.integers(0, 2**31),
    "batch": st.integers(1, 3),
    "frames": st.integers(0, 6),
    "positions": st.integers(1, 4),
}


def align(case, name, method="exact", soft=False):
    return align_batch(arcs_of(case, name, 0), *case[1:], name, 0, method, soft)


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
@settings(max_examples=20)
@given(**shapes)
def test_the_exact_path_and_both_scores_are_those_of_enumeration(
    name, seed, batch, frames, positions
):
    case = random_case(seed, batch, frames, positions, 4, 0)
    found = align(case, name)
    for entry, (scores, length, labels) in zip(found.aligned, case.sequences()):
        expected = enumerate_all(scores, name, length, labels, 0)
        if not expected.count:
            assert entry is None
            continue
        assert entry.symbols.tolist() == expected.best
        assert entry.score == pytest.approx(expected.best_score, abs=1e-10)
        assert entry.full_sum == pytest.approx(-expected.nll, abs=1e-10)
        assert entry.labels.tolist() == labels and entry.frames == length


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
@settings(max_examples=15)
@given(**shapes)
def test_the_posterior_path_has_the_most_expected_frames_in_common(
    name, seed, batch, frames, positions
):
    """Its sum of arc posteriors is the highest of all paths, and its score its own."""
    case = random_case(seed, batch, frames, positions, 4, 0)
    found = align(case, name, "posterior")
    for b, (scores, length, labels) in enumerate(case.sequences()):
        paths = list(alignments(name, length, labels, 0))
        if not paths:
            assert found.aligned[b] is None
            continue
        # keyed by what an arc is, as two arcs of a node may have the same symbol
        table = scores.numpy()
        weights = np.array([np.exp(sum(table[s] for s in path)) for path in paths])
        weights /= weights.sum()
        occupancy = {}
        for path, weight in zip(paths, weights):
            for arc in arcs_on(path):
                occupancy[arc] = occupancy.get(arc, 0.0) + weight
        values = [sum(occupancy[arc] for arc in arcs_on(path)) for path in paths]
        symbols = found.aligned[b].symbols.tolist()
        ours = [
            (value, sum(table[s] for s in path))
            for value, path in zip(values, paths)
            if [step.symbol for step in path] == symbols
        ]
        assert max(ours)[0] == pytest.approx(max(values), abs=1e-9)
        best_score = max(score for _, score in ours)
        assert found.aligned[b].score == pytest.approx(best_score, abs=1e-9)


def arcs_on(path):
    """Arcs with where they lead: of equal symbols, new and repeated labels differ."""
    ends = [step.position for step in path[1:]] + [path[-1].position if path else 0]
    return [(*step, step.position != end) for step, end in zip(path, ends)]


@pytest.mark.parametrize("name", ["rna", "ctc", "label_loop"])
def test_soft_posteriors_are_those_of_enumeration_and_sum_to_one(name):
    case = random_case(4, 6, 6, 4, 4, 0)
    found = align(case, name, soft=True)
    checked = 0
    for b, (scores, length, labels) in enumerate(case.sequences()):
        if found.aligned[b] is None:
            assert found.soft[b] is None
            continue
        gradient = enumerate_all(scores, name, length, labels, 0).gradient_TSV
        blank, label = found.soft[b]
        np.testing.assert_allclose(
            blank.sum(1), -gradient[:length, :, 0].sum(1), atol=1e-6
        )
        ones = (blank.sum(1) + label.sum(1)).numpy()
        np.testing.assert_allclose(ones, np.ones(length), atol=1e-6)
        for u, count in enumerate(label.sum(0)[:-1]):
            # each label takes a frame at least; exactly one where none repeats
            assert count > 1 - 1e-5 and (name != "rna" or count < 1 + 1e-5), u
        checked += length
    assert checked > 10


@pytest.mark.parametrize("method", ALL_METHODS)
@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_a_batch_gives_what_single_sequences_give_whatever_the_padding_holds(
    name, method
):
    case = random_case(8, 8, 6, 4, 4, 0)
    together = align(case, name, method)
    noisy = case.scores_BTSV.clone()
    for b, length in enumerate(case.frame_lens_B.tolist()):
        noisy[b, length:] = float("nan")
        noisy[b, :, int(case.label_lens_B[b]) + 1 :] = float("nan")
    padded = align(case._replace(scores_BTSV=noisy), name, method)
    for b in range(8):
        part = type(case)(*(x[b : b + 1] for x in case))
        alone = align(part, name, method).aligned[0]
        for other in (together.aligned[b], padded.aligned[b]):
            if alone is None:
                assert other is None
                continue
            assert other.symbols.tolist() == alone.symbols.tolist()
            assert other.score == pytest.approx(alone.score, abs=1e-12)
            assert other.full_sum == pytest.approx(alone.full_sum, abs=1e-12)


def test_cross_entropy_on_the_best_path_is_its_score():
    """Framewise training pays for an alignment what the aligner says it costs."""
    case = random_case(12, 6, 7, 4, 5, 0)
    found = align(case, "rna")
    compared = 0
    for b, entry in enumerate(found.aligned):
        if entry is None:
            continue
        symbols = torch.from_numpy(entry.symbols).long()
        position_T = (symbols != 0).long().cumsum(0) - (symbols != 0).long()
        frames_T = torch.arange(entry.frames)
        logits_TV = case.scores_BTSV[b, frames_T, position_T]
        cost = softmax_framewise_cost(
            logits_TV[None], symbols[None], torch.tensor([entry.frames])
        )
        assert float(cost.sum()) == pytest.approx(-entry.score, abs=1e-9)
        compared += entry.frames
    assert compared > 10


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_given_symbols_are_scored_as_the_best_of_their_walks(name):
    case = random_case(21, 6, 5, 4, 3, 0)
    arcs = arcs_of(case, name, 0)
    scored = 0
    for b, (scores, length, labels) in enumerate(case.sequences()):
        by_symbols = {}
        for path in alignments(name, length, labels, 0):
            symbols = tuple(step.symbol for step in path)
            value = sum(float(scores[step]) for step in path)
            by_symbols[symbols] = max(value, by_symbols.get(symbols, -np.inf))
        for symbols, value in by_symbols.items():
            ours = score_of(arcs, b, symbols, labels, length, name, 0)
            assert ours == pytest.approx(value, abs=1e-10)
        scored += len(by_symbols)
        with pytest.raises(FormatError, match="no .* alignment"):
            score_of(arcs, b, [0] * (length + 9), labels, length, name, 0)
    assert scored > 10


def test_an_unknown_method_is_named():
    with pytest.raises(OptionError, match="exact, sum_alpha, posterior"):
        align(random_case(1, 1, 2, 2, 2, 0), "rna", "best")
