"""Small models that are trained on alignments, and a batch for them."""

import torch
from espnet2.asr.ctc import CTC

from espnet_ext.asr.encoder.staged_conformer import StagedConformerEncoder
from espnet_ext.asr.framewise_model import FramewiseModel
from tests.asr.tiny import tiny_batch

LENGTHS = (7, 5)


def tiny_conformer(**options):
    """Four layers of width 8; time is reduced by 2."""
    standard = dict(
        frontend={"type": "blstm", "hidden_size": 3, "time_pooling": [2, 1]},
        num_layers=4,
        model_size=8,
        feed_forward_size=8,
        num_heads=2,
        conv_kernel_size=3,
        conv_norm="layer_norm",
        padding="zero",
        input_dropout=0.0,
        dropout=0.0,
        attention_dropout=0.0,
    )
    return StagedConformerEncoder(8, **{**standard, **options})


def model_parts(encoder, vocab_size):
    """What every model class takes."""
    tokens = ["<blank>", *(f"t{i}" for i in range(1, vocab_size - 1)), "<sos/eos>"]
    return dict(
        vocab_size=vocab_size,
        token_list=tokens[-vocab_size:],
        frontend=None,
        specaug=None,
        normalize=None,
        preencoder=None,
        encoder=encoder,
        postencoder=None,
        ctc=CTC(vocab_size, encoder.output_size()),
    )


def tiny_framewise(vocab_size=6, encoder=None, **options):
    """FramewiseModel with the same weights in each call."""
    torch.manual_seed(0)
    encoder = tiny_conformer(**(encoder or {}))
    return FramewiseModel(**model_parts(encoder, vocab_size), **options)


def aligned_batch(vocab_size=6, seed=1):
    """Features, labels and alignments of two utterances: arguments of forward."""
    batch = tiny_batch(vocab_size, seed)
    batch["alignment"] = torch.zeros(2, 7, dtype=torch.long)
    batch["alignment"][0, [1, 2, 6]] = batch["text"][0]
    batch["alignment"][1, [0, 3]] = batch["text"][1, :2]
    batch["alignment"][1, 5:] = -1
    # even, as pooling sees frames after an odd end like the original
    batch["speech_lengths"] = torch.tensor([14, 10])
    batch["alignment_lengths"] = torch.tensor(LENGTHS)
    return batch
