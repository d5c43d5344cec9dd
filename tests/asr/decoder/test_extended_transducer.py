import itertools
import math

import pytest
import torch

from espnet_ext.asr.loss.factorised import symbol_log_probs
from espnet_ext.asr.search.time_sync import TimeSyncSearch
from tests.asr.tiny_framewise import tiny_extended

LENGTHS = torch.tensor([7, 4])
VARIANTS = [
    {},
    {"slow_attention": False},
    {"attention": None},
    {"symbol_embedding_size": 0},
    {"emission": "readout"},
    {"bottleneck_size": None},
]


def frames_of(decoder, batch=2, frames=7, seed=3):
    generator = torch.Generator().manual_seed(seed)
    frames_BTD = torch.randn(batch, frames, 6, generator=generator)
    lengths = LENGTHS[:batch] if frames == 7 else torch.full((batch,), frames)
    return decoder.project_frames(frames_BTD, lengths), lengths


def alignment_of(batch=2, frames=7, seed=5):
    generator = torch.Generator().manual_seed(seed)
    symbols = torch.randint(1, 6, (batch, frames), generator=generator)
    blank = torch.rand(batch, frames, generator=generator) < 0.5
    return symbols.masked_fill(blank, 0)


def step_by_step(decoder, frames_TR, symbols):
    """Scores of all symbols in each frame, through the steps of the searches."""
    state, rows = decoder.search_start(1), torch.tensor([0])
    scores = []
    for frame_R, symbol in zip(frames_TR, symbols):
        scores_1V, state = decoder.search_scores(frame_R[None], state)
        scores.append(scores_1V[0])
        state = decoder.search_advance(state, rows, torch.tensor([symbol]))
    return torch.stack(scores)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_along_an_alignment_it_is_what_its_steps_are(options):
    decoder = tiny_extended(**options)
    frames_BTR, lengths = frames_of(decoder)
    alignment = alignment_of()
    whole = symbol_log_probs(*decoder(frames_BTR, lengths, alignment))
    for row, length in enumerate(lengths.tolist()):
        symbols = alignment[row, :length].tolist()
        steps = step_by_step(decoder, frames_BTR[row, :length], symbols)
        torch.testing.assert_close(whole[row, :length], steps, rtol=1e-4, atol=1e-5)


def test_it_is_the_equations_of_the_original_one_frame_after_the_other():
    decoder = tiny_extended().double()
    frames_BTR, lengths = frames_of(decoder.float())
    decoder, frames_BTR = decoder.double(), frames_BTR.double()
    alignment = alignment_of()
    found = symbol_log_probs(*decoder(frames_BTR, lengths, alignment))[0]

    def lstm_step(lstm, x, h, c):
        gates = lstm.weight_ih @ x + lstm.weight_hh @ h + lstm.bias
        i, f, g, o = gates.chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    slow, fast = (torch.zeros(2, 4).double(), torch.zeros(2, 3).double())
    last, emitted = 5, True  # BOS
    for t in range(7):
        x, attended = frames_BTR[0, t, :4], frames_BTR[0, t, 4:]
        if emitted:
            inputs = torch.cat([decoder.embedding[last], attended])
            slow = lstm_step(decoder.slow, inputs, *slow)
        symbol = decoder.symbol_embedding[last] + decoder.symbol_bias
        fast = lstm_step(decoder.fast, torch.cat([x, symbol, slow[0]]), *fast)
        readout = decoder.readout(torch.cat([fast[0], attended, slow[0]]))
        readout = readout.view(5, 2).amax(1)
        labels = decoder.label_output(readout).log_softmax(0)
        emission = decoder.emission_output(fast[0])
        expected = [(-emission).sigmoid().log(), emission.sigmoid().log() + labels]
        torch.testing.assert_close(found[t], torch.cat(expected), rtol=1e-9, atol=1e-9)
        last = int(alignment[0, t])
        emitted = last != 0


def test_all_alignments_of_an_utterance_together_have_probability_one():
    decoder = tiny_extended(vocab_size=3).double()
    frames_BTR, _ = frames_of(decoder.float(), batch=1, frames=4)
    decoder, frames_BTR = decoder.double(), frames_BTR.double()
    alignments = torch.tensor(list(itertools.product(range(3), repeat=4)))
    lengths = torch.full((len(alignments),), 4)
    frames_BTR = frames_BTR.expand(len(alignments), -1, -1)
    log_probs = symbol_log_probs(*decoder(frames_BTR, lengths, alignments))
    paths = log_probs.gather(2, alignments.unsqueeze(2)).sum((1, 2))
    assert paths.exp().sum().item() == pytest.approx(1.0, abs=1e-12)


def scores_of_alignments(decoder, frames_1TR):
    """Log-probability of every alignment with the labels 1 and 2, by its symbols."""
    frames = frames_1TR.size(1)
    alignments = torch.tensor(list(itertools.product(range(3), repeat=frames)))
    lengths = torch.full((len(alignments),), frames)
    log_probs = symbol_log_probs(
        *decoder(frames_1TR.expand(len(alignments), -1, -1), lengths, alignments)
    )
    scores = log_probs.gather(2, alignments.unsqueeze(2)).sum((1, 2))
    return dict(zip(map(tuple, alignments.tolist()), scores.tolist()))


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_a_beam_that_keeps_everything_finds_every_alignment_with_its_score(options):
    """Exhaustive enumeration, of two utterances of different lengths in a batch."""
    decoder = tiny_extended(vocab_size=3, seed=4, **options)
    frames_BTR, _ = frames_of(decoder, batch=2, frames=4)
    lengths = torch.tensor([4, 3])
    search = TimeSyncSearch(decoder, beam_size=81, recombination="none")
    for row, beam in enumerate(search(frames_BTR, lengths)):
        frames_1TR = frames_BTR[row : row + 1, : lengths[row]]
        expected = scores_of_alignments(decoder, frames_1TR)
        found = {tuple(entry.symbols): entry.score for entry in beam}
        assert found.keys() == expected.keys()
        for symbols, score in expected.items():
            assert found[symbols] == pytest.approx(score, abs=1e-4)
        assert tuple(beam[0].symbols) == max(expected, key=expected.get)


def merged_by_hand(decoder, frames_TR, rule):
    """Score and path of each label sequence: one of two paths that meet goes on."""
    beam = {(): (0.0, [])}
    for t in range(len(frames_TR)):
        arcs = {}
        for labels, (score, path) in beam.items():
            steps = step_by_step(decoder, frames_TR[: t + 1], [*path, 0])
            for symbol, log_prob in enumerate(steps[t].tolist()):
                reached = labels if symbol == 0 else (*labels, symbol)
                arc = score + log_prob, [*path, symbol]
                arcs.setdefault(reached, []).append(arc)
        beam = {}
        for labels, meeting in arcs.items():
            score, path = max(meeting)
            if rule == "sum":
                score = math.log(sum(math.exp(other) for other, _ in meeting))
            beam[labels] = score, path
    return beam


@pytest.mark.parametrize("rule", ["sum", "max"])
def test_of_paths_with_the_same_labels_the_better_one_s_memory_goes_on(rule):
    decoder = tiny_extended(vocab_size=3, seed=4)
    frames_BTR, lengths = frames_of(decoder, batch=1, frames=4)
    search = TimeSyncSearch(decoder, beam_size=40, recombination=rule)
    found = {
        tuple(e.labels): (e.score, e.symbols) for e in search(frames_BTR, lengths)[0]
    }
    expected = merged_by_hand(decoder, frames_BTR[0], rule)
    assert found.keys() == expected.keys() and len(found) == 31
    for labels, (score, path) in expected.items():
        assert found[labels][0] == pytest.approx(score, abs=1e-4)
        assert found[labels][1] == path


def test_with_such_memory_the_sum_of_paths_is_an_approximation():
    """docs/framewise.md says so: the scores after a merge are those of one path."""
    decoder = tiny_extended(vocab_size=3, seed=4)
    frames_BTR, lengths = frames_of(decoder, batch=1, frames=4)
    exact = {}
    for symbols, score in scores_of_alignments(decoder, frames_BTR).items():
        labels = tuple(symbol for symbol in symbols if symbol)
        exact[labels] = exact.get(labels, 0.0) + math.exp(score)
    beam = TimeSyncSearch(decoder, beam_size=40)(frames_BTR, lengths)[0]
    errors = [abs(e.score - math.log(exact[tuple(e.labels)])) for e in beam]
    assert 0.001 < max(errors) < 1.0


def test_a_merged_hypothesis_goes_on_with_the_memory_of_its_best_path():
    decoder = tiny_extended(vocab_size=4, seed=2)
    frames_BTR, lengths = frames_of(decoder, batch=2)
    search = TimeSyncSearch(decoder, beam_size=4, recombination="max")
    for row, beam in enumerate(search(frames_BTR, lengths)):
        length = int(lengths[row])
        for entry in beam:
            steps = step_by_step(decoder, frames_BTR[row, :length], entry.symbols)
            path = steps.gather(1, torch.tensor(entry.symbols)[:, None]).sum()
            assert entry.score == pytest.approx(path.item(), abs=1e-4)


def test_a_search_gives_the_same_bits_alone_and_in_a_batch():
    decoder = tiny_extended(seed=1)
    frames_BTR, lengths = frames_of(decoder)
    search = TimeSyncSearch(decoder, beam_size=3)
    together = search(frames_BTR, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = search(frames_BTR[row : row + 1, :length], lengths[row : row + 1])
        assert alone[0] == together[row]


def test_without_a_label_the_slow_network_says_nothing_if_bos_is_skipped():
    decoder = tiny_extended()
    frames_BTR, _ = frames_of(decoder)
    run, skip = (decoder.search_start(2, bos) for bos in ("run", "skip"))
    assert not torch.equal(
        decoder.search_scores(frames_BTR[:, 0], run)[0],
        decoder.search_scores(frames_BTR[:, 0], skip)[0],
    )
    _, state = decoder.search_scores(frames_BTR[:, 0], skip)
    assert (state[2] == 0).all() and (state[3] == 0).all()


def test_with_repetition_a_label_counts_once():
    decoder = tiny_extended(symbol_embedding_size=0)
    frames_BTR, lengths = frames_of(decoder, batch=1)
    repeated = torch.tensor([[0, 2, 2, 0, 3, 0, 0]])
    single = torch.tensor([[0, 2, 0, 0, 3, 0, 0]])
    loop = decoder(frames_BTR, lengths, repeated, "label_loop")
    rna = decoder(frames_BTR, lengths, single)
    for one, other in zip(loop, rna):
        torch.testing.assert_close(one, other)
    assert not torch.allclose(decoder(frames_BTR, lengths, repeated)[1], rna[1])


def test_padding_and_the_future_have_no_influence():
    decoder = tiny_extended()
    frames_BTR, lengths = frames_of(decoder)
    alignment = alignment_of()
    before = decoder(frames_BTR, lengths, alignment)
    alignment[1, 4:] = -1
    alignment[0, 5] = 4
    frames_BTR = frames_BTR.clone()
    frames_BTR[1, 4:] = 1e3
    after = decoder(frames_BTR, lengths, alignment)
    for one, other in zip(before, after):
        torch.testing.assert_close(one[1, :4], other[1, :4])
        torch.testing.assert_close(one[0, :6], other[0, :6])


def test_the_number_of_parameters_is_that_of_the_equations():
    decoder = tiny_extended(
        1031,
        2048,
        embedding_size=621,
        hidden_size=1024,
        bottleneck_size=256,
        attention={},
        symbol_embedding_size=128,
        fast_size=128,
        readout_size=1000,
    )
    expected = 2048 * 256 + 256 + 2 * 256 * 200  # bottleneck, key, query
    expected += 1031 * 621 + 4 * 1024 * (621 + 256 + 1024 + 1)
    expected += 1031 * 128 + 128 + 4 * 128 * (256 + 128 + 1024 + 128 + 1)
    expected += (128 + 256 + 1024) * 1000 + 1000
    expected += 500 * 1030 + 1030 + 128 + 1
    assert sum(p.numel() for p in decoder.parameters()) == expected
