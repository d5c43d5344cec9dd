"""A small configuration of every model class with every decoder, joint and encoder.

Registered classes that no configuration uses make a test fail: see
``test_model_classes``.
"""

import argparse
import copy
import functools
from typing import Dict, List, Sequence

import torch

from espnet_ext.interop.original_experiment import original_experiment
from espnet_ext.tasks.asr import TransducerTask

TOKENS = ["<blank>", "▁a", "▁b", "c", "<unk>", "<sos/eos>"]
RATE_HZ = 8000
GAMMATONE = {"fs": RATE_HZ, "channels": 10}
SAMPLES = (2900, 2180)  # 30 and 21 frames

BLSTM = {
    "encoder": "conv_blstm",
    "encoder_conf": {
        **{"conv_channels": [2], "conv_feature_pooling": [2], "num_layers": 2},
        **{"hidden_size": 4, "time_pooling": [2]},
    },
}
SIZES = {
    **{"num_layers": 2, "model_size": 8, "feed_forward_size": 8, "num_heads": 2},
    "conv_kernel_size": 3,
}


def conformer(kind: str, **options) -> Dict:
    """Conformer behind that frontend."""
    frontends = {
        "blstm": {"hidden_size": 3, "time_pooling": [2, 1]},
        "conv": {"conv_channels": [2, 2]},
        "conv_blstm": {"conv_channels": [2, 2], "hidden_size": 3},
        "strided_conv": {"conv_channels": [2, 2, 2]},
        "swish_conv": {"conv_channels": [2, 2, 2, 2]},
        "vgg": {"conv_channels": [2, 2, 2]},
    }
    frontend = {"type": kind, **frontends[kind]}
    return {
        "encoder": "staged_conformer",
        "encoder_conf": {**SIZES, "frontend": frontend, **options},
    }


def of_experiment(name: str) -> Dict:
    """Encoder of an experiment of the original, but for its sizes."""
    options = copy.deepcopy(dict(original_experiment(name).encoder))
    sizes = conformer(options["frontend"]["type"])["encoder_conf"]
    options.update(SIZES, frontend={**options["frontend"], **sizes["frontend"]})
    return {"encoder": "staged_conformer", "encoder_conf": options}


def branchformer(kind: str) -> Dict:
    """E-Branchformer behind that frontend."""
    return {
        "encoder": "frontend_e_branchformer",
        "encoder_conf": {
            **{"output_size": 8, "num_blocks": 2, "attention_heads": 2},
            **{"cgmlp_linear_units": 8, "cgmlp_conv_kernel": 3, "linear_units": 8},
            "frontend": conformer(kind)["encoder_conf"]["frontend"],
        },
    }


def transducer(joint=None, attention={"key_size": 3}, decoder=None, **model) -> Dict:
    """Full-sum transducer with the LSTM prediction network."""
    joint = {"readout_size": 8, "attention": attention, **(joint or {})}
    sizes = {"embedding_size": 3, "hidden_size": 4, "joint": joint}
    return {
        "decoder": "lstm_transducer",
        "decoder_conf": {**sizes, **(decoder or {})},
        "model": "full_sum_transducer",
        "model_conf": model,
    }


def stateless(**options) -> Dict:
    """Full-sum transducer whose prediction network sees two labels."""
    return {**transducer(**options), "decoder": "stateless_transducer"}


def attention(decoder=None, **model) -> Dict:
    """Attention encoder-decoder."""
    sizes = {"embedding_size": 3, "hidden_size": 4, "key_size": 3, "readout_size": 6}
    return {
        "decoder": "mlp_attention_lstm",
        "decoder_conf": {**sizes, **(decoder or {})},
        "model": "attention_encoder_decoder",
        "model_conf": model,
    }


def without_decoder(name: str, **model) -> Dict:
    """CTC and framewise models."""
    return {"decoder": None, "decoder_conf": {}, "model": name, "model_conf": model}


EXTENDED = {
    **{"bottleneck_size": 5, "attention": {"key_size": 3}, "embedding_size": 3},
    **{"hidden_size": 4, "symbol_embedding_size": 3, "fast_size": 4},
    "readout_size": 6,
}


def extended(decoder=None, **model) -> Dict:
    """Transducer trained on alignments, with the extended prediction network."""
    return {
        "decoder": "extended_transducer",
        "decoder_conf": {**EXTENDED, **(decoder or {})},
        "model": "framewise_transducer",
        "model_conf": model,
    }


AUX = {"layers": [1], "form": "ff"}
REPRODUCTION = {"weight": 0.1, "reduction": 2, "features": 10}
ZONEOUT = {"cell": 0.15, "output": 0.05}
CASES: Dict[str, Dict] = {
    "BLSTM": {**BLSTM, **transducer(ctc_weight=0.3)},
    "zoneout": {**BLSTM, **transducer(decoder={"zoneout": ZONEOUT})},
    "no attention": {**BLSTM, **transducer(attention=None)},
    "stateless": {**BLSTM, **stateless()},
    "one softmax": {**BLSTM, **transducer({"emission": "softmax"})},
    "RNN-T": {**BLSTM, **transducer(topology="rnnt")},
    "RNN-T, stateless, one softmax": {
        **BLSTM,
        **stateless(joint={"emission": "softmax"}, topology="rnnt"),
    },
    "orig": {
        **BLSTM,
        **transducer({"readout_matrix": "single", "blank_column": "misplaced"}),
    },
    "reproduction": {**BLSTM, **transducer(reproduction=REPRODUCTION)},
    "Conformer, conv": {**conformer("conv"), **transducer(aux_ctc=AUX)},
    "Conformer, blstm": {
        **conformer("blstm", conv_norm="layer_norm"),
        **transducer(aux_ctc=AUX),
    },
    "Conformer, conv_blstm, chunks": {
        **conformer("conv_blstm", chunk_size=3),
        **transducer(),
    },
    "Conformer, strided_conv": {**conformer("strided_conv"), **transducer()},
    "old_moh": {**of_experiment("old_moh_hybrid_conformer"), **transducer()},
    "old_nick": {**of_experiment("old_nick_att_conformer"), **transducer()},
    "E-Branchformer": {**branchformer("conv"), **transducer(aux_ctc=AUX)},
    "E-Branchformer, blstm, CTC": {
        **branchformer("blstm"),
        **without_decoder("ctc", aux_ctc=AUX, reproduction={"weight": 0.1}),
    },
    "CTC": {**conformer("conv"), **without_decoder("ctc", aux_ctc=AUX)},
    "attention": {**conformer("conv"), **attention(aux_ctc=AUX, ctc_weight=0.3)},
    "attention, zoneout": {**BLSTM, **attention({"zoneout": ZONEOUT})},
    "framewise, vgg": {
        **conformer("vgg"),
        **without_decoder("framewise", aux_framewise={"layers": [1]}),
    },
    "framewise, CTC": {**BLSTM, **without_decoder("framewise", ctc_weight=0.3)},
    "extended": {
        **BLSTM,
        **extended({"switchout": {}}, encoder_ctc_weight=0.3, chunk={"size": 4}),
    },
    "framewise transducer": {
        **conformer("conv"),
        **{**transducer(), "model": "framewise_transducer"},
    },
}


@functools.lru_cache(maxsize=None)
def _standard() -> Dict:
    words = ["--output_dir", "unused", "--token_type", "char"]
    return vars(TransducerTask.get_parser().parse_args(words))


def configuration(name: str, tokens: List[str] = TOKENS) -> Dict:
    """All of ESPnet's options, as a training writes them."""
    return {
        **copy.deepcopy(_standard()),
        "token_list": tokens,
        "frontend": "gammatone",
        "frontend_conf": GAMMATONE,
        **dict.fromkeys(("specaug", "normalize")),
        "normalize_conf": {},
        **copy.deepcopy(CASES[name]),
    }


def build(name: str, tokens: List[str] = TOKENS):
    """The model, in training mode; the same weights in each call."""
    torch.manual_seed(0)
    return TransducerTask.build_model(argparse.Namespace(**configuration(name, tokens)))


def batch_of(model, labels: int = 3, samples: Sequence[int] = SAMPLES) -> Dict:
    """Noise of two lengths with labels, and alignments that have them."""
    generator = torch.Generator().manual_seed(1)
    speech = torch.randn(2, max(samples), generator=generator)
    lengths = torch.tensor(samples)
    highest = max(model.vocab_size - 1, 2)
    text = torch.randint(1, highest, (2, labels), generator=generator)
    batch = {"speech": speech, "speech_lengths": lengths, "text": text}
    batch["text_lengths"] = torch.tensor([labels, labels])
    batch["utt_id"] = ["a", "b"]
    if not hasattr(model, "alignment"):
        return batch
    training = model.training
    with torch.no_grad():
        _, frames = model.eval().encode(speech, lengths)
    model.train(training)
    alignment = torch.zeros(2, int(frames.max()), dtype=torch.long)
    for row, length in enumerate(frames.tolist()):
        places = torch.randperm(length, generator=generator)[:labels].sort().values
        alignment[row, places] = text[row]
        alignment[row, length:] = -1
    return {**batch, "alignment": alignment, "alignment_lengths": frames}
