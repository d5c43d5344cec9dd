"""Text of another domain: subtracting the internal language model must help.

A transducer is trained on source sequences with noisy frames, in which one label is
frequent; its prediction network learns that. Test sequences come from a target chain in
which all labels are as frequent, but each likes another one to follow, and whose
probabilities are known exactly.
"""

import pytest
import torch

from espnet_ext.asr.decoder.lstm_transducer import LstmTransducerDecoder
from espnet_ext.asr.search.internal_lm import (
    FixedFrame,
    InternalLm,
    InternalLmScorer,
    MiniLstm,
    projected_frame,
    zero_frame,
)
from espnet_ext.asr.search.time_sync import TimeSyncSearch
from espnet_ext.inference.internal_lm_files import new_mini_lstm
from espnet_ext.inference.mini_lstm_training import (
    MiniLstmOptions,
    perplexity,
    train_mini_lstm,
)
from espnet_ext.inference.sequence_scores import sequence_scores

LABELS = 4
VOCABULARY = LABELS + 2  # blank first, sentence begin last
LENGTH = 8
FRAMES = 2 * LENGTH  # a blank frame after each label
ENCODER = LABELS + 1
NOISE = 0.9
LIKELY = 0.7  # of the frequent label in the source, of the next one in the target
RARE = (1.0 - LIKELY) / (LABELS - 1)


def chain(domain):
    """Transition probabilities [L, L] of labels 0 .. L - 1."""
    table = torch.full((LABELS, LABELS), RARE)
    for label in range(LABELS):
        table[label, 0 if domain == "source" else (label + 1) % LABELS] = LIKELY
    return table


def sequences(domain, count, generator):
    """Labels [count, LENGTH], from 1 on; the first one is uniform."""
    table = chain(domain)
    labels = [torch.randint(LABELS, (count,), generator=generator)]
    if domain == "source":
        labels = [torch.multinomial(table[0], count, True, generator=generator)]
    for _ in range(LENGTH - 1):
        draw = torch.multinomial(table[labels[-1]], 1, generator=generator)
        labels.append(draw.squeeze(1))
    return torch.stack(labels, 1) + 1


def frames_of(labels_BL, generator):
    """Each label is one noisy frame, followed by one that clearly is a blank."""
    clean = torch.zeros(len(labels_BL), FRAMES, ENCODER)
    clean[:, ::2, :LABELS] = torch.nn.functional.one_hot(labels_BL - 1, LABELS).float()
    noise = torch.randn(clean.shape, generator=generator) * NOISE
    noise[..., LABELS] = 0.0
    clean[:, 1::2, LABELS] = 1.0
    noise[:, 1::2] *= 0.1
    return clean + noise


class Chain:
    """The target chain itself as language model."""

    def start(self):
        return torch.zeros(VOCABULARY), None

    def step(self, labels, states):
        rows = torch.full((len(labels), VOCABULARY), -20.0)  # no sentence end
        # nothing is said of what follows a sentence end
        table = torch.nn.functional.pad(chain("target").log(), (0, 0, 0, 1))
        rows[:, 1 : LABELS + 1] = table[torch.tensor(labels) - 1]
        return rows, [None] * len(labels)


@pytest.fixture(scope="module")
def trained():
    """A decoder trained on the source domain along the known alignment."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    joint = {"readout_size": 48, "attention": None, "input_dropout": 0.0}
    decoder = LstmTransducerDecoder(
        VOCABULARY,
        ENCODER,
        embedding_size=8,
        hidden_size=24,
        embedding_dropout=0.0,
        joint={**joint, "label_dropout": 0.0},
    )
    optimizer = torch.optim.Adam(decoder.parameters(), 0.01)
    # the position in the label sequence at each frame
    position_T = (torch.arange(FRAMES) + 1) // 2
    for _ in range(250):
        labels = sequences("source", 32, generator)
        am = decoder.joint_network.project_frames(frames_of(labels, generator))
        lm = decoder(torch.nn.functional.pad(labels, (1, 0)))[:, position_T]
        log_probs = decoder.joint_network(am, lm)
        targets = torch.zeros(len(labels), FRAMES, dtype=torch.long)
        targets[:, ::2] = labels
        loss = torch.nn.functional.nll_loss(log_probs.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return decoder.eval()


def internal(decoder, kind):
    if kind == "zero":
        return InternalLm(decoder, FixedFrame(zero_frame(decoder, ENCODER)))
    generator = torch.Generator().manual_seed(3)
    mean = frames_of(sequences("source", 500, generator), generator).mean((0, 1))
    if kind == "average":
        return InternalLm(decoder, FixedFrame(projected_frame(decoder, mean)))
    torch.manual_seed(4)
    model = InternalLm(decoder, new_mini_lstm(decoder, ENCODER, 16))
    train = sequences("source", 1000, generator).tolist()
    dev = sequences("source", 100, generator).tolist()
    train_mini_lstm(model, train, dev, MiniLstmOptions(3, 32, 0.01))
    return model


def errors(decoder, scorers, count=150):
    """Wrong labels in all; each label is one noisy frame, so that places agree."""
    generator = torch.Generator().manual_seed(7)
    labels = sequences("target", count, generator)
    am = decoder.joint_network.project_frames(frames_of(labels, generator)).detach()
    search = TimeSyncSearch(decoder, 6, scorers=scorers)
    wrong = 0
    for beam, expected in zip(
        search(am, torch.full((count,), FRAMES)), labels.tolist()
    ):
        found = beam[0].labels
        wrong += abs(len(found) - LENGTH)
        wrong += sum(a != b for a, b in zip(found, expected))
    return wrong


@pytest.mark.parametrize("kind", ["zero", "average", "mini_lstm"])
def test_fusion_without_the_internal_lm_beats_plain_fusion(trained, kind):
    none = errors(trained, [])
    # each with its best weight, so that plain fusion is not beaten by a bad scale
    plain = min(errors(trained, [(Chain(), w)]) for w in (0.4, 0.8, 1.2, 1.6))
    scorer = InternalLmScorer(internal(trained, kind))
    both = errors(trained, [(Chain(), 1.0), (scorer, -1.0)])
    assert plain < none
    # by far more than the errors that one sequence can have
    assert both < plain - 2 * LENGTH


def test_the_internal_lm_is_as_good_as_the_source_itself_on_its_text(trained):
    generator = torch.Generator().manual_seed(9)
    text = sequences("source", 400, generator)
    true = float((-chain("source")[0].log()[text - 1].mean()).exp())
    for kind in ("zero", "mini_lstm"):
        value = perplexity(internal(trained, kind), text.tolist())
        assert 0.98 * true < value < 1.05 * true, kind
    assert true < 0.7 * LABELS


def test_training_a_mini_lstm_leaves_the_recognizer_alone_and_keeps_the_best():
    torch.manual_seed(0)
    decoder = LstmTransducerDecoder(
        VOCABULARY, ENCODER, 8, 12, joint={"readout_size": 16, "attention": None}
    )
    before = {name: value.clone() for name, value in decoder.state_dict().items()}
    model = InternalLm(decoder, MiniLstm(8, 16, 6))
    generator = torch.Generator().manual_seed(2)
    train = sequences("source", 60, generator).tolist()
    dev = sequences("source", 20, generator).tolist()
    history = train_mini_lstm(model, train, [*dev, []], MiniLstmOptions(4, 16, 0.02))
    assert len(history) == 5 and min(history) < history[0]
    assert perplexity(model, dev) == pytest.approx(min(history), rel=1e-6)
    for name, value in decoder.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.requires_grad for p in decoder.parameters())
    scorer = InternalLmScorer(model)
    total = -sum(sequence_scores(scorer, dev))
    count = sum(map(len, dev))
    assert perplexity(model, dev) == pytest.approx(
        float(torch.tensor(total / count).exp()), rel=1e-4
    )
