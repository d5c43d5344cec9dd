"""Alignments: the best of all, and those of the original program."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_ext.asr.loss import full_sum_loss, viterbi
from espnet_ext.errors import OptionError
from tests.asr.loss.paths import TOPOLOGY_NAMES, enumerate_all, random_case
from tests.asr.loss.test_full_sum import VECTORS, vector
from tests.asr.loss.test_lattice import arcs_of
from tests.shared import shared_file

ALL_VECTORS = {**VECTORS, "ctc_blank_last": "ctc"}
del ALL_VECTORS["rna_large_dp"]  # holds no alignment


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 3),
    frames=st.integers(0, 6),
    positions=st.integers(1, 5),
    vocabulary=st.integers(2, 5),
    data=st.data(),
)
def test_the_exact_alignment_is_the_best_of_all(
    name, seed, batch, frames, positions, vocabulary, data
):
    blank = data.draw(st.integers(0, vocabulary - 1))
    case = random_case(seed, batch, frames, positions, vocabulary, blank)
    found = viterbi(*case, name, blank)
    for b, (scores, length, labels) in enumerate(case.sequences()):
        best = enumerate_all(scores, name, length, labels, blank)
        assert float(found.score_B[b]) == pytest.approx(best.best_score, abs=1e-12)
        symbols = [s for s in found.symbols_BN[b].tolist() if s != -1]
        assert symbols == best.best
        assert found.symbols_BN[b, len(symbols) :].eq(-1).all()


@pytest.mark.parametrize("name", ALL_VECTORS)
def test_score_and_alignment_equal_the_reference_vectors(name):
    arrays, (scores, *rest) = vector(name)
    if name == "ctc_blank_last":
        scores = scores.log_softmax(-1)
    found = viterbi(scores, *rest, ALL_VECTORS[name], int(arrays["blank"]))
    np.testing.assert_allclose(found.score_B, arrays["viterbi_score"], rtol=1e-10)
    np.testing.assert_array_equal(found.symbols_BN, arrays["viterbi_align"])


@pytest.mark.parametrize("method", ["exact", "sum_alpha"])
@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_one_alignment_scores_less_than_the_sum_of_all_and_is_one_of_them(name, method):
    case = random_case(11, 12, 6, 4, 4, 0)
    found = viterbi(*case, name, method=method)
    nll = full_sum_loss(*case, name)
    assert (found.score_B <= -nll + 1e-12).all()
    assert torch.equal(torch.isfinite(found.score_B), torch.isfinite(nll))
    for b, (scores, length, labels) in enumerate(case.sequences()):
        symbols = [s for s in found.symbols_BN[b].tolist() if s != -1]
        if name not in ("ctc", "label_loop") or not torch.isfinite(nll[b]):
            continue
        kept = [s for i, s in enumerate(symbols) if i == 0 or s != symbols[i - 1]]
        assert [s for s in kept if s != 0] == labels


def sum_alpha_by_definition(scores_TSV, labels, blank):
    """The original's back-trace of RNA, from the formula, one cell at a time."""
    frames, count = len(scores_TSV), len(labels)
    table = scores_TSV.double().numpy()
    alpha = np.full((frames + 1, count + 1), -np.inf)
    alpha[0, 0] = 0.0

    def arrive(t, u):
        blank_arc = alpha[t - 1, u] + table[t - 1, u, blank]
        if u == 0:
            return [blank_arc, -np.inf]
        return [blank_arc, alpha[t - 1, u - 1] + table[t - 1, u - 1, labels[u - 1]]]

    for t in range(1, frames + 1):
        for u in range(count + 1):
            alpha[t, u] = np.logaddexp(*arrive(t, u))
    symbols, u = [], count
    for t in range(frames, 0, -1):
        if int(np.argmax(arrive(t, u))) == 0:
            symbols.append(blank)
        else:
            u -= 1
            symbols.append(labels[u])
    return symbols[::-1]


def test_sum_alpha_reads_back_the_full_sum_and_may_miss_the_best_alignment():
    case = random_case(13, 20, 6, 4, 4, 0)
    case = case._replace(scores_BTSV=case.scores_BTSV / 5)
    lengths = torch.full((20,), 6), torch.full((20,), 3)
    case = case._replace(frame_lens_B=lengths[0], label_lens_B=lengths[1])
    found = viterbi(*case, method="sum_alpha")
    exact = viterbi(*case)
    for b, (scores, _, labels) in enumerate(case.sequences()):
        expected = sum_alpha_by_definition(scores, labels, 0)
        assert found.symbols_BN[b].tolist() == expected
    assert (found.score_B <= exact.score_B + 1e-12).all()
    assert (found.score_B < exact.score_B - 1e-6).any()


def test_of_equal_alignments_the_one_that_ends_in_most_blanks_is_taken():
    """Read from the end, blank wins each tie, as in the original."""
    scores, labels = torch.zeros(1, 4, 3, 4), torch.tensor([[1, 2]])
    lengths = torch.tensor([4]), torch.tensor([2])
    assert viterbi(scores, labels, *lengths).symbols_BN.tolist() == [[1, 2, 0, 0]]


@pytest.mark.parametrize("name", ["orig_stage1", "orig_stage2", "orig_last"])
def test_sum_alpha_gives_the_alignments_of_the_original(name):
    arrays = np.load(shared_file(f"reference/parity/{name}.npz"))
    log_probs = torch.from_numpy(arrays["out:output/output_log_prob"])
    names = "in:targets", "size:output/output_log_prob:1", "in:targets_len"
    labels, *lengths = (torch.from_numpy(arrays[key]).long() for key in names)
    blank = log_probs.size(-1) - 1
    found = viterbi(log_probs, labels, *lengths, blank=blank, method="sum_alpha")
    compared = 0
    for b, length in enumerate(lengths[0].tolist()):
        ours = found.symbols_BN[b, :length].tolist()
        assert ours == arrays["out:rna_alignment"][b, :length].tolist()
        compared += length
    assert compared > 30


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_scores_of_arcs_alone_give_the_same_alignment(name):
    case = random_case(14, 5, 6, 4, 4, 2)
    dense = viterbi(*case, name, 2)
    arcs = viterbi(arcs_of(case, name, 2), *case[1:], name, 2)
    assert torch.equal(dense.symbols_BN, arcs.symbols_BN)
    assert torch.equal(dense.score_B, arcs.score_B)


def test_an_unknown_method_is_named():
    with pytest.raises(OptionError, match="expected: exact, sum_alpha"):
        viterbi(*random_case(1, 1, 2, 2, 2, 0), method="best")
