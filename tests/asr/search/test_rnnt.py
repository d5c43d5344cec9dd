"""RNN-T searches against enumeration and against ESPnet's own."""

import itertools
import math

import pytest
import torch
from espnet2.asr.transducer.beam_search_transducer import BeamSearchTransducer

from espnet_ext.asr.search.greedy import greedy_search
from espnet_ext.asr.search.rnnt import RnntSearch, rnnt_greedy
from tests.asr.loss.paths import alignments
from tests.asr.search.test_time_sync import alone, log_probs_of, toy

FRAMES = 3


def exact_score(decoder, am_TR, labels, most):
    """Log sum over the alignments with at most so many labels in a frame."""
    table = log_probs_of(decoder, am_TR, list(labels))
    total = -math.inf
    for steps in alignments("rnnt", FRAMES, labels, 0):
        frames = [step.frame for step in steps if step.symbol != 0]
        if any(frames.count(t) > most for t in range(FRAMES)):
            continue
        score = sum(float(table[s.frame, s.position, s.symbol]) for s in steps)
        total = float(torch.logaddexp(torch.tensor(total), torch.tensor(score)))
    return total


@pytest.mark.parametrize("most", [1, 2])
def test_full_beam_gives_the_exact_sum_over_all_alignments(most):
    decoder, am_TR = toy(1)
    am_TR = am_TR[:FRAMES]
    entries = alone(RnntSearch(decoder, 1200, max_symbols=most), am_TR)
    possible = range(FRAMES * most + 1)
    assert len(entries) == sum(3**n for n in possible)
    best = max(entries, key=lambda entry: entry.score)
    assert entries[0] == best
    for entry in entries[:60]:
        expected = exact_score(decoder, am_TR, entry.labels, most)
        assert entry.score == pytest.approx(expected, abs=1e-4)
    short = [y for n in range(3) for y in itertools.product((1, 2, 3), repeat=n)]
    assert exact_score(decoder, am_TR, best.labels, most) >= max(
        exact_score(decoder, am_TR, labels, most) for labels in short
    )


# With several labels a frame the two may prune differently: paths to one label sequence
# that meet inside a frame are one entry here and two in ESPnet (as with seed 3).
@pytest.mark.parametrize(
    "beam, most, seed",
    [*((2, 1, seed) for seed in range(4)), *((3, 2, seed) for seed in range(3))],
)
def test_espnet_tsd_finds_the_same_hypotheses_with_the_same_scores(beam, most, seed):
    decoder, am_TR = toy(seed)
    stock = BeamSearchTransducer(
        decoder,
        decoder.joint_network,
        beam_size=beam,
        search_type="tsd",
        max_sym_exp=most + 1,
        score_norm=False,
        nbest=beam,
    )
    with torch.no_grad():
        expected = stock(am_TR)
    entries = alone(RnntSearch(decoder, beam, max_symbols=most), am_TR)
    assert [e.labels for e in entries] == [h.yseq[1:] for h in expected]
    assert [e.score for e in entries] == pytest.approx(
        [h.score for h in expected], abs=1e-4
    )


def simple_greedy(decoder, am_TR, most):
    """One utterance, one frame and one symbol at a time."""
    labels, score = [], 0.0
    for t in range(am_TR.size(0)):
        for _ in range(most):
            table = log_probs_of(decoder, am_TR, labels)
            best, symbol = table[t, len(labels)].max(0)
            score += float(best)
            if symbol == 0:
                break
            labels.append(int(symbol))
    return labels, score


@pytest.mark.parametrize("most", [1, 2, 3])
def test_looping_over_labels_equals_looping_over_frames(most):
    decoders = [toy(seed) for seed in range(4)]
    for decoder, am_TR in decoders:
        am_TR = torch.cat([am_TR, am_TR.flip(0), am_TR * 0.5])
        result = rnnt_greedy(decoder, am_TR[None], torch.tensor([15]), most)[0]
        labels, score = simple_greedy(decoder, am_TR, most)
        assert result.labels == labels
        assert result.score == pytest.approx(score, abs=1e-4)


def test_one_label_a_frame_is_greedy_search_of_rna():
    decoder, am_TR = toy(2)
    batch = am_TR.unsqueeze(0), torch.tensor([5])
    assert rnnt_greedy(decoder, *batch, max_symbols=1) == greedy_search(decoder, *batch)


def test_impossible_options_are_refused():
    decoder, _ = toy(0)
    with pytest.raises(ValueError, match="max_symbols 0"):
        RnntSearch(decoder, 2, max_symbols=0)
    with pytest.raises(ValueError, match="recombination 'none'"):
        RnntSearch(decoder, 2, recombination="none")
