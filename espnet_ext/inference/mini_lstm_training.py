"""Trains a mini-LSTM so that the internal language model fits transcripts.

All else of the recognizer is fixed. Of the epochs the one with the lowest perplexity on
the development text is kept.

Ref: Zeineldeen et al. 2021, section 3.4; Zhou et al. 2022, section 3.1.
"""

# Dimensions: B batch, L labels
import math
from typing import List, NamedTuple, Sequence, Tuple

import torch

from espnet_ext.asr.search.internal_lm import InternalLm

Sentences = Sequence[Sequence[int]]


class MiniLstmOptions(NamedTuple):
    """How long and how fast to train.

    Attributes:
        epochs: Passes over the text.
        batch_size: Sentences of one update.
        learning_rate: Of Adam.
        seed: Of the order of sentences.
    """

    epochs: int = 5
    batch_size: int = 64
    learning_rate: float = 1e-3
    seed: int = 1


def padded(sentences: Sentences) -> Tuple[torch.Tensor, torch.Tensor]:
    """Labels [B, L] with -1 after the end, and lengths [B]."""
    lengths = torch.tensor([len(labels) for labels in sentences])
    rows = [torch.tensor(list(labels), dtype=torch.long) for labels in sentences]
    return torch.nn.utils.rnn.pad_sequence(rows, True, -1), lengths


@torch.no_grad()
def perplexity(model: InternalLm, sentences: Sentences, batch_size: int = 64) -> float:
    """Perplexity a label, without sentence ends."""
    device = model.decoder.embedding.device
    total = 0.0
    for first in range(0, len(sentences), batch_size):
        labels_BL, lengths_B = padded(sentences[first : first + batch_size])
        total += float(model.nll(labels_BL.to(device), lengths_B).double().sum())
    return math.exp(total / sum(map(len, sentences)))


def train_mini_lstm(
    model: InternalLm,
    train: Sentences,
    dev: Sentences,
    options: MiniLstmOptions = MiniLstmOptions(),
) -> List[float]:
    """Train ``model.frames`` in place.

    Returns:
        Perplexity of the development text before training and after each epoch; the
        weights of the best are kept.
    """
    # sentences without labels teach nothing
    train, dev = [s for s in train if len(s)], [s for s in dev if len(s)]
    device = model.decoder.embedding.device
    model.eval()  # the recognizer's dropout stays off
    fixed = [p for p in model.decoder.parameters() if p.requires_grad]
    for parameter in fixed:
        parameter.requires_grad_(False)
    optimizer = torch.optim.Adam(model.frames.parameters(), options.learning_rate)
    generator = torch.Generator().manual_seed(options.seed)
    history = [perplexity(model, dev)]
    best = {k: v.clone() for k, v in model.frames.state_dict().items()}
    for _ in range(options.epochs):
        order = torch.randperm(len(train), generator=generator).tolist()
        for first in range(0, len(order), options.batch_size):
            rows = order[first : first + options.batch_size]
            labels_BL, lengths_B = padded([train[row] for row in rows])
            nll_B = model.nll(labels_BL.to(device), lengths_B)
            loss = nll_B.sum() / int(lengths_B.sum())
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.frames.parameters(), 5.0)
            optimizer.step()
        history.append(perplexity(model, dev))
        if history[-1] < min(history[:-1]):
            best = {k: v.clone() for k, v in model.frames.state_dict().items()}
    model.frames.load_state_dict(best)
    for parameter in fixed:
        parameter.requires_grad_(True)
    return history
