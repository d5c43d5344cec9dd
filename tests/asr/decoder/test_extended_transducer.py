"""The decoder with an LSTM over labels and one over frames, against its definition."""

import pytest
import torch

from espnet_ext.asr.decoder.extended_transducer import ExtendedTransducerDecoder
from espnet_ext.asr.joint.extended_readout import log_probabilities
from espnet_ext.asr.search.time_sync import TimeSyncSearch

V, D = 5, 4
FRAME_LSTM = {"size": 3, "embedding_size": 2, "dropout": 0.0, "recurrent_dropout": 0.0}
ALIGNMENT = torch.tensor([[0, 2, 2, 0, 4, 1], [3, 0, 0, 3, -1, -1]])
LENGTHS = torch.tensor([6, 4])


def decoder_of(seed=0, vocab_size=V, **options):
    torch.manual_seed(seed)
    options = {"attention": {"key_size": 3}, "frame_lstm": FRAME_LSTM, **options}
    decoder = ExtendedTransducerDecoder(
        *(vocab_size, D), embedding_size=3, hidden_size=4, readout_size=6, **options
    )
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(3.0)
    return decoder.double().eval()


def frames_of(batch=2, frames=6):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, frames, D, generator=generator, dtype=torch.float64)


VARIANTS = {
    "all": {},
    "no attention in the label LSTM": {"label_attention": False},
    "no attention": {"attention": None},
    "no label feedback": {"frame_lstm": {**FRAME_LSTM, "embedding_size": 0}},
    "emission from the readout": {"emission": "readout"},
    "one softmax": {"emission": "softmax"},
    "label loop": {"topology": "label_loop"},
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=list(VARIANTS))
def test_the_search_interface_gives_the_scores_of_the_alignment(options):
    """Step by step, each frame sees the symbols before it only."""
    decoder, frames = decoder_of(**options), frames_of()
    logits = decoder.alignment_logits(frames, LENGTHS, ALIGNMENT)
    whole = log_probabilities(*logits)
    torch.testing.assert_close(whole.exp().sum(-1), torch.ones(2, 6).double())
    am = decoder.joint_network.project_frames(frames, LENGTHS)
    state = decoder.search_start(2)
    for t in range(6):
        scores, state = decoder.search_scores(am[:, t], state)
        valid = LENGTHS > t
        torch.testing.assert_close(scores[valid], whole[valid, t])
        state = decoder.search_advance(
            state, torch.arange(2), ALIGNMENT[:, t].clamp(min=0)
        )


def test_the_label_lstm_gets_labels_with_the_attention_of_their_frames():
    """The definition written out for one alignment."""
    decoder, frames = decoder_of(), frames_of(1)
    labels, emission = decoder.alignment_logits(frames, LENGTHS[:1], ALIGNMENT[:1])
    attention = decoder.joint_network.attention(frames, LENGTHS[:1])[0]
    rows, bos = decoder.embedding, V - 1
    vectors = [torch.cat([rows[bos], torch.zeros(D).double()])]
    for t, label in ((1, 2), (2, 2), (4, 4)):  # the last frame's is in no context
        vectors.append(torch.cat([rows[label], attention[t]]))
    lm = decoder.lstm(torch.stack(vectors)[None])[0][0]
    seen = [0, 0, 1, 2, 2, 3]  # labels before each frame
    previous = [0, 0, 2, 2, 0, 4]
    inputs = [
        torch.cat(
            [frames[0, t], decoder.symbol_embedding[a] + decoder.symbol_bias, lm[u]]
        )
        for t, (a, u) in enumerate(zip(previous, seen))
    ]
    fast = decoder.frame_lstm(torch.stack(inputs)[None])[0][0]
    joint = decoder.joint_network
    readout = joint.readout(torch.cat([fast, attention, lm[seen]], 1))
    readout = readout.view(6, 3, 2).amax(2)
    torch.testing.assert_close(labels[0], joint.label_output(readout))
    torch.testing.assert_close(emission[0], joint.emission_output(fast)[:, 0])


def test_beam_search_finds_the_best_path_of_all():
    decoder, frames = decoder_of(vocab_size=3), frames_of(1, 4)
    lengths = torch.tensor([4])
    paths = torch.cartesian_prod(*[torch.arange(3)] * 4)
    log_probs = log_probabilities(
        *decoder.alignment_logits(
            frames.expand(81, -1, -1), lengths.expand(81), paths
        )
    )
    scores = log_probs.gather(2, paths.unsqueeze(2)).sum((1, 2))
    am = decoder.joint_network.project_frames(frames, lengths)
    search = TimeSyncSearch(decoder, beam_size=81, recombination="none")
    best = search(am, lengths)[0][0]
    assert best.symbols == paths[scores.argmax()].tolist()
    assert best.score == pytest.approx(float(scores.max()), rel=1e-9)


def test_a_label_loop_alignment_advances_once_for_a_repeated_symbol():
    frames = frames_of(1)
    outputs = {}
    for topology in ("rna", "label_loop"):
        decoder = decoder_of(topology=topology)
        outputs[topology] = decoder.alignment_logits(frames, LENGTHS[:1], ALIGNMENT[:1])
    same = (outputs["rna"][0] == outputs["label_loop"][0]).all(-1)[0]
    assert same.tolist() == [True, True, True, False, False, False]


def test_switchout_perturbs_what_the_decoder_sees_in_training_only():
    frames = frames_of()
    plain = decoder_of().alignment_logits(frames, LENGTHS, ALIGNMENT)[0]
    decoder = decoder_of(switchout={"rate": 0.9})
    arguments = frames, LENGTHS, ALIGNMENT
    assert torch.equal(decoder.alignment_logits(*arguments)[0], plain)
    decoder.train().joint_network.eval()
    assert not torch.equal(decoder.alignment_logits(*arguments)[0], plain)
    neutral = decoder_of(switchout={"rate": 0.0, "frames_per_span": 0})
    neutral.train().joint_network.eval()
    assert torch.equal(neutral.alignment_logits(*arguments)[0], plain)


def test_unknown_options_are_refused():
    for options in (
        {"frame_lstm": {"units": 3}},
        {"topology": "rnnt"},
        {"emission": "sigmoid"},
        {"switchout": None, "attention": {"scale": "no"}},
    ):
        with pytest.raises(ValueError):
            decoder_of(**options)
