"""Attention search against enumeration, teacher forcing and torch's CTC loss."""

import itertools
import math

import pytest
import torch

from espnet_ext.asr.decoder.mlp_attention import MlpAttentionDecoder
from espnet_ext.asr.search.attention import AttentionSearch
from espnet_ext.asr.search.ctc_prefix import CtcPrefixScores
from tests.asr.search.test_label_scorer import lm_score, scorer

VOCABULARY, END = 4, 3  # blank, two labels, the end
FRAMES, LIMIT = 3, 4


def tiny(seed=0, spread=3.0):
    torch.manual_seed(seed)
    decoder = MlpAttentionDecoder(
        VOCABULARY, 5, embedding_size=3, hidden_size=4, key_size=3, readout_size=6
    )
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(spread)
    return decoder.eval()


def frames_of(seed=0, batch=1, frames=FRAMES):
    return torch.randn(batch, frames, 5, generator=torch.Generator().manual_seed(seed))


def forced(decoder, frames, labels):
    """Log-probabilities [U, V] along a label sequence, from the training forward."""
    inputs = torch.tensor([[END, *labels]])
    lengths = torch.tensor([frames.size(1)])
    with torch.no_grad():
        return decoder(frames, lengths, inputs, torch.tensor([len(labels) + 1]))[0][0]


def exact_scores(decoder, frames, limit=LIMIT):
    """All hypotheses: finished ones, and those cut off by the limit."""
    found = {}
    for length in range(limit + 1):
        for labels in itertools.product((1, 2), repeat=length):
            table = forced(decoder, frames, labels)
            score = sum(float(table[u, k]) for u, k in enumerate(labels))
            if length < limit:
                found[(*labels, END)] = score + float(table[length, END])
            else:
                found[labels] = score
    return found


@pytest.mark.parametrize("seed", range(3))
def test_full_beam_finds_all_hypotheses_with_their_scores(seed):
    decoder, frames = tiny(seed), frames_of(seed)
    search = AttentionSearch(decoder, 40, max_length_ratio=LIMIT / FRAMES)
    entries = search(frames, torch.tensor([FRAMES]))[0]
    expected = exact_scores(decoder, frames)
    assert {tuple(e.symbols) for e in entries} == set(expected)
    assert len(entries) == len(expected)
    for entry in entries:
        assert entry.score == pytest.approx(expected[tuple(entry.symbols)], abs=1e-5)
        assert entry.labels == [k for k in entry.symbols if k != END]
    assert tuple(entries[0].symbols) == max(expected, key=expected.get)


def test_a_batch_gives_what_each_sequence_alone_does():
    decoder, frames = tiny(2), frames_of(1, batch=3, frames=6)
    lengths = torch.tensor([6, 2, 4])
    search = AttentionSearch(decoder, 3)
    for row, together in enumerate(search(frames, lengths)):
        length = int(lengths[row])
        alone = search(frames[row : row + 1, :length], lengths[row : row + 1])[0]
        assert [e.symbols for e in together] == [e.symbols for e in alone]
        assert [e.score for e in together] == pytest.approx(
            [e.score for e in alone], abs=1e-5
        )


def test_the_original_s_limit_is_that_of_the_longest_in_the_batch():
    decoder, frames = tiny(1), frames_of(1, batch=2, frames=6)
    with torch.no_grad():
        decoder.output.bias[END - 1] = -50.0  # never ends
    lengths = torch.tensor([6, 2])
    own = AttentionSearch(decoder, 2)(frames, lengths)
    batch = AttentionSearch(decoder, 2, length_limit="batch")(frames, lengths)
    assert [len(beam[0].labels) for beam in own] == [12, 4]
    assert [len(beam[0].labels) for beam in batch] == [12, 12]


def ctc_nll(log_probs, labels):
    return float(
        torch.nn.functional.ctc_loss(
            log_probs.transpose(0, 1).double(),
            torch.tensor([labels], dtype=torch.long).view(1, -1),
            (log_probs.size(1),),
            (len(labels),),
            reduction="sum",
        )
    )


def ctc_output(frames):
    """A CTC layer on the frames, whatever they are; the end has no probability."""
    scores = frames[:, :, :VOCABULARY].double()
    scores[:, :, END] = -1e4
    return scores.log_softmax(2)


def test_ctc_prefix_scores_sum_over_all_sequences_that_begin_so():
    log_probs = ctc_output(frames_of(3, frames=4))
    full = {
        labels: math.exp(-ctc_nll(log_probs, labels))
        for n in range(5)
        for labels in itertools.product((1, 2), repeat=n)
    }
    scores = CtcPrefixScores(log_probs, torch.tensor([4]), beam=1)
    labels = ()
    for label in (1, 1, 2):
        psi = scores.scores(END)[0, 0]
        assert float(psi[END]) == pytest.approx(math.log(full[labels]), abs=1e-6)
        for k in (1, 2):
            begins = (*labels, k)
            mass = sum(p for y, p in full.items() if y[: len(begins)] == begins)
            assert math.exp(float(psi[k])) == pytest.approx(mass, abs=1e-9)
        scores.advance(torch.tensor([0]), torch.tensor([label]))
        labels = (*labels, label)


@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_joint_scores_of_finished_hypotheses_are_the_weighted_sum(weight):
    decoder, frames = tiny(0), frames_of(5)
    search = AttentionSearch(
        decoder, 40, LIMIT / FRAMES, ctc=ctc_output, ctc_weight=weight
    )
    entries = search(frames, torch.tensor([FRAMES]))[0]
    attention = exact_scores(decoder, frames)
    finished = [e for e in entries if e.symbols[-1:] == [END]]
    assert len(finished) > 5
    for entry in finished:
        ctc = -ctc_nll(ctc_output(frames), entry.labels)
        expected = (1 - weight) * attention[tuple(entry.symbols)] + weight * ctc
        assert entry.score == pytest.approx(expected, abs=1e-5)


def test_joint_search_of_a_batch_gives_what_each_sequence_alone_does():
    decoder, frames = tiny(2), frames_of(1, batch=3, frames=6)
    lengths = torch.tensor([6, 2, 4])
    search = AttentionSearch(decoder, 3, ctc=ctc_output, ctc_weight=0.5)
    for row, together in enumerate(search(frames, lengths)):
        length = int(lengths[row])
        alone = search(frames[row : row + 1, :length], lengths[row : row + 1])[0]
        assert [e.symbols for e in together] == [e.symbols for e in alone]
        assert [e.score for e in together] == pytest.approx(
            [e.score for e in alone], abs=1e-5
        )


def test_a_language_model_scores_labels_and_the_end():
    decoder, frames = tiny(1), frames_of(2)
    limits = {"max_length_ratio": LIMIT / FRAMES}
    search = AttentionSearch(decoder, 40, scorers=[(scorer("lstm"), 0.5)], **limits)
    plain = exact_scores(decoder, frames)
    for entry in search(frames, torch.tensor([FRAMES]))[0]:
        symbols = tuple(entry.symbols)
        expected = plain[symbols] + 0.5 * lm_score("lstm", symbols)
        assert entry.score == pytest.approx(expected, abs=1e-4)


def test_impossible_options_are_refused():
    with pytest.raises(ValueError, match="ctc_weight 0.5: expected 0 to 1, and a CTC"):
        AttentionSearch(tiny(), 2, ctc_weight=0.5)
    with pytest.raises(ValueError, match="length_limit 'all'"):
        AttentionSearch(tiny(), 2, length_limit="all")
