"""A model small enough for exhaustive checks."""

import torch
from espnet2.asr.ctc import CTC

from espnet_ext.asr.decoder.lstm_transducer import LstmTransducerDecoder
from espnet_ext.asr.encoder.conv_blstm import ConvBlstmEncoder
from espnet_ext.asr.transducer_model import TransducerModel


def tiny_decoder(
    vocab_size=4,
    encoder_size=6,
    seed=0,
    spread=4.0,
    kind=LstmTransducerDecoder,
    **options,
):
    """A decoder whose random weights are scaled up so that labels are emitted."""
    torch.manual_seed(seed)
    joint = {"readout_size": 10, "attention": {"key_size": 3}}
    joint.update(options.pop("joint", {}))
    decoder = kind(
        vocab_size,
        encoder_size,
        embedding_size=3,
        hidden_size=4,
        joint=joint,
        **options,
    )
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(spread)
    return decoder.eval()


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


def tiny_blstm():
    """Encoder of 8-dimensional features without dropout; time is reduced by 2."""
    return ConvBlstmEncoder(
        8, [2], [2], num_layers=2, hidden_size=3, time_pooling=[2], dropout=0.0
    )


def tiny_model(vocab_size=6, seed=0, **options):
    """TransducerModel on 8-dimensional features; time is reduced by 2."""
    torch.manual_seed(seed)
    encoder = tiny_blstm()
    decoder = LstmTransducerDecoder(
        vocab_size,
        encoder.output_size(),
        embedding_size=3,
        hidden_size=4,
        embedding_dropout=0.0,
        joint={
            "readout_size": 8,
            "attention": {"key_size": 3, "key_dropout": 0.0, "weight_dropout": 0.0},
            "input_dropout": 0.0,
            "label_dropout": 0.0,
        },
    )
    return TransducerModel(
        **model_parts(encoder, vocab_size),
        decoder=decoder,
        **options,
    )


def tiny_batch(vocab_size=6, seed=1):
    """Two utterances of features, the second shorter: arguments of forward."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.randint(1, vocab_size - 1, (2, 3), generator=generator)
    text[1, 2] = -1
    return {
        "speech": torch.randn(2, 14, 8, generator=generator),
        "speech_lengths": torch.tensor([14, 9]),
        "text": text,
        "text_lengths": torch.tensor([3, 2]),
        "utt_id": ["a", "b"],
    }
