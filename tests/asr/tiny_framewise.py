"""Small models that are trained on alignments, and a batch for them."""

import torch

from espnet_ext.asr.decoder.extended_transducer import ExtendedTransducerDecoder
from espnet_ext.asr.encoder.staged_conformer import StagedConformerEncoder
from espnet_ext.asr.framewise_model import FramewiseModel
from espnet_ext.asr.framewise_transducer_model import FramewiseTransducerModel
from tests.asr.tiny import model_parts, tiny_batch, tiny_blstm

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


def tiny_extended(vocab_size=6, encoder_size=6, seed=0, spread=3.0, **options):
    """Extended decoder in evaluation, its weights scaled up so that labels come."""
    torch.manual_seed(seed)
    standard = dict(
        bottleneck_size=4,
        attention={"key_size": 3},
        embedding_size=3,
        hidden_size=4,
        symbol_embedding_size=2,
        fast_size=3,
        readout_size=10,
    )
    decoder = ExtendedTransducerDecoder(
        vocab_size, encoder_size, **{**standard, **options}
    )
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(spread)
    return decoder.eval()


def tiny_framewise_transducer(vocab_size=6, decoder=None, **options):
    """FramewiseTransducerModel with an extended decoder without dropout."""
    torch.manual_seed(0)
    encoder = tiny_blstm()
    if decoder is None:
        decoder = tiny_extended(
            vocab_size,
            encoder.output_size(),
            spread=1.0,
            attention={"key_size": 3, "weight_dropout": 0.0},
            fast_input_dropout=0.0,
            fast_weight_dropout=0.0,
            label_dropout=0.0,
        )
    return FramewiseTransducerModel(
        **model_parts(encoder, vocab_size), decoder=decoder, **options
    )
