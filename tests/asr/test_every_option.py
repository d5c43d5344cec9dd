"""Every option of decoders, joints and models: neutral is absent, on changes something.

The lists name all options of all constructors; one more or less makes a test fail. Of
each: with its neutral value, no bit of the loss, its gradients and the weights differs
from the model without the option; with the other value, something differs; evaluation
is deterministic; and the loss of an utterance is the same alone and in a batch.
"""

import argparse
import copy
import inspect
from typing import Any, Dict, NamedTuple, Optional

import pytest
import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.tasks import asr

from espnet_ext.asr.decoder.extended_transducer import ExtendedTransducerDecoder
from espnet_ext.asr.decoder.lstm_transducer import LstmTransducerDecoder
from espnet_ext.asr.decoder.mlp_attention import MlpAttentionDecoder
from espnet_ext.asr.decoder.stateless_transducer import StatelessTransducerDecoder
from espnet_ext.asr.encoder_model import IGNORED, EncoderModel
from espnet_ext.asr.joint.maxout_readout import MaxoutReadout
from espnet_ext.asr.joint.window_attention import WindowAttention
from espnet_ext.asr.loss.aux_ctc import AuxiliaryCtc
from espnet_ext.asr.reproduction import OPTIONS as REPRODUCTION_OPTIONS
from espnet_ext.layers.switchout import AlignmentSwitchOut
from espnet_ext.layers.zoneout_lstm import ZoneoutLstm
from espnet_ext.tasks.asr import TransducerTask
from tests.asr import every_model

FRAMES, LABELS = (24, 12), 2  # the encoder's frames are half as many
DECODER, MODEL = "decoder_conf", "model_conf"
# each dropout and each random disturbance is off
STILL = {"input_dropout": 0.0, "dropout": 0.0, "attention_dropout": 0.0}
ENCODER = every_model.conformer(
    "blstm", padding="zero", conv_norm="layer_norm", **STILL
)
WINDOW = {"key_size": 3, "key_dropout": 0.0, "weight_dropout": 0.0}
JOINT = {"input_dropout": 0.0, "label_dropout": 0.0, "attention": WINDOW}
EMBEDDING = {"embedding_dropout": 0.0}
EXTENDED = {
    "attention": {"key_size": 3, "weight_dropout": 0.0},
    **{"fast_input_dropout": 0.0, "fast_weight_dropout": 0.0, "label_dropout": 0.0},
}
BASES: Dict[str, Dict] = {
    "transducer": every_model.transducer(JOINT, decoder=EMBEDDING),
    "zoneout": every_model.transducer(
        JOINT, decoder={**EMBEDDING, "zoneout": {"cell": 0.0, "output": 0.0}}
    ),
    "stateless": every_model.stateless(joint=JOINT, decoder=EMBEDDING),
    "attention": every_model.attention({"label_dropout": 0.0}),
    "extended": every_model.extended(EXTENDED),
    "switchout": every_model.extended(
        {**EXTENDED, "switchout": {"replace": 0.0, "frames_per_stretch": 0}}
    ),
    "ctc": every_model.without_decoder("ctc"),
    "auxiliary": every_model.without_decoder("ctc", aux_ctc={"layers": [1, 2]}),
    "framewise": every_model.without_decoder("framewise"),
}


class Option(NamedTuple):
    """What is tried of an option.

    Attributes:
        on: A value that changes something.
        neutral: The value that is as good as none; absent from the base, or in it.
        given: What else has to be set for it to act, by path.
        padded: Whether padding has an influence, as in the original.
        epoch: Sub-epoch of the training.
    """

    on: Any
    neutral: Any = "absent"
    given: Dict[str, Any] = {}
    padded: bool = False
    epoch: Optional[int] = None


DROPPED = {"embedding_dropout": 0.4}
PREDICTION = {
    "embedding_size": Option(5),
    "hidden_size": Option(5),
    "embedding_dropout": Option(0.4, 0.0),
    "dropout_mask": Option("elementwise", "shared", given=DROPPED),
    "label_switchout": Option(0.9, 0.0),
    "bos_vector": Option("zero", "label"),
    "joint": Option({"readout_size": 6}),
}
REPLACING = {"switchout.replace": 0.7}
AUX = {"aux_ctc": {"layers": [1, 2]}}
NODES = {"type": "ls", "scale": 0.2}
# part -> (base, path of the part, class, options)
PARTS = {
    "LSTM prediction network": (
        *("transducer", DECODER, LstmTransducerDecoder),
        {
            **PREDICTION,
            "zoneout": Option({}, None),
            "recurrent_weight_dropout": Option(0.4, 0.0),
        },
    ),
    "zoneout": (
        *("zoneout", f"{DECODER}.zoneout", ZoneoutLstm),
        {
            "cell": Option(0.5, 0.0),
            "output": Option(0.5, 0.0),
            "step_output": Option("zoned", "plain", given={"output": 0.5}),
            "recurrent_dropout": Option(0.4, 0.0),
        },
    ),
    "stateless": (
        *("stateless", DECODER, StatelessTransducerDecoder),
        {**PREDICTION, "context_size": Option(3, 2)},
    ),
    "joint": (
        *("transducer", f"{DECODER}.joint", MaxoutReadout),
        {
            "readout_size": Option(6),
            "attention": Option(None, {**WINDOW, "window_size": 5}),
            "input_dropout": Option(0.4, 0.0),
            "label_dropout": Option(0.4, 0.0),
            "dropout_mask": Option(
                "elementwise", "shared", given={"input_dropout": 0.4}
            ),
            "readout_matrix": Option("single", "separate"),
            "blank_column": Option("misplaced", "matching"),
            "emission": Option("softmax", "sigmoid"),
        },
    ),
    "window attention": (
        *("transducer", f"{DECODER}.joint.attention", WindowAttention),
        {
            "key_size": Option(4),
            "window_size": Option(3, 5),
            "key_dropout": Option(0.4, 0.0),
            "weight_dropout": Option(0.4, 0.0),
            "scale": Option("window_size", "key_size"),
            "key_bias": Option(False, True),
            "padding": Option("visible", "zero", padded=True),
            "dropout_mask": Option("elementwise", "shared", given={"key_dropout": 0.4}),
        },
    ),
    "attention decoder": (
        *("attention", DECODER, MlpAttentionDecoder),
        {
            "embedding_size": Option(5),
            "hidden_size": Option(5),
            "key_size": Option(5),
            "readout_size": Option(8),
            "label_dropout": Option(0.4, 0.0),
            "dropout_mask": Option(
                "elementwise", "shared", given={"label_dropout": 0.4}
            ),
            "weight_feedback": Option(1.0, 0.5),
            "inverse_fertility": Option("sigmoid", "linear"),
            "zoneout": Option({}, None),
            "recurrent_weight_dropout": Option(0.4, 0.0),
            "label_switchout": Option(0.9, 0.0),
        },
    ),
    "extended decoder": (
        *("extended", DECODER, ExtendedTransducerDecoder),
        {
            "bottleneck_size": Option(None),
            "attention": Option(None),
            "embedding_size": Option(5),
            "hidden_size": Option(5),
            "slow_attention": Option(False, True),
            "symbol_embedding_size": Option(0),
            "fast_size": Option(3),
            "fast_input_dropout": Option(0.4, 0.0),
            "fast_weight_dropout": Option(0.4, 0.0),
            "readout_size": Option(8),
            "label_dropout": Option(0.4, 0.0),
            "emission": Option("readout", "fast"),
            "switchout": Option({}, None),
            "dropout_mask": Option(
                "elementwise", "shared", given={"fast_input_dropout": 0.4}
            ),
        },
    ),
    "switchout": (
        *("switchout", f"{DECODER}.switchout", AlignmentSwitchOut),
        {
            "replace": Option(0.7, 0.0),
            "blank_share": Option(1.0, 0.5, given=REPLACING),
            "frames_per_stretch": Option(2, 0),
            "stretch": Option(1, 3, given={"switchout.frames_per_stretch": 2}),
            "blank": Option(3, 0, given=REPLACING),
        },
    ),
}
SHARED = {
    "aux_ctc": Option({"layers": [1]}, None),
    "loss_reduction": Option("sum", "mean"),
    "transducer_start_epoch": Option(2, 1, given=AUX, epoch=1),
    "l2": Option({"encoder": 0.1}, None, given={"loss_reduction": "sum"}),
    "reproduction": Option({"weight": 0.1, "features": 10}, None),
}
FRAMEWISE = {
    **SHARED,
    "ctc_weight": Option(0.5, 0.0),
    "focal_factor": Option(2.0, 0.0),
    "label_smoothing": Option(NODES, {"scale": 0.0}),
}
MODELS = {
    "transducer": {
        **SHARED,
        "ctc_weight": Option(0.5, 0.0),
        "label_smoothing": Option(NODES, {"scale": 0.0}),
        "fastemit": Option(0.1, 0.0),
        "loss_backend": Option("torch", "fused"),
        "topology": Option("rnnt", "rna"),
    },
    "ctc": {
        **SHARED,
        "ctc_weight": Option(0.5, 1.0),
        "label_smoothing": Option(NODES, {"type": "lsx", "scale": 0.0}),
    },
    "attention": {
        **SHARED,
        "ctc_weight": Option(0.5, 0.0),
        "label_smoothing": Option(NODES, {"scale": 0.0}),
    },
    "framewise": {
        **FRAMEWISE,
        "label_smoothing": Option(NODES, {"type": "lsx", "scale": 0.0}),
        "aux_framewise": Option({"layers": [1]}, None),
        "prior_scale": Option(0.5, 0.0),
        "prior_momentum": Option(0.5, 0.01),
    },
    "extended": {
        **FRAMEWISE,
        "encoder_ctc_weight": Option(0.5, 0.0),
        "topology": Option("label_loop", "rna"),
        "chunk": Option({"size": 4, "hop": 2}, None),
    },
}
for base, options in MODELS.items():
    kind = asr.model_choices.get_class(BASES[base]["model"])
    PARTS[f"model {base}"] = (base, MODEL, kind, options)
PARTS["auxiliary CTC"] = (
    *("auxiliary", f"{MODEL}.aux_ctc", AuxiliaryCtc),
    {
        "layers": Option([2]),
        "weight": Option(0.5, 1.0),
        "top_layer": Option(False, True),
        "blank": Option("last_label", "separate"),
        "blank_token": Option(2, 4, given={"aux_ctc.blank": "last_label"}),
    },
)
# tested where they belong: what they change does not show in an ordinary batch
ELSEWHERE = {
    "nonfinite_loss": "test_nonfinite_loss",
    "alignment": "test_framewise_model",
    "infeasible": "loss.test_aux_ctc",
}
NOT_OPTIONS = {
    *("self", "vocab_size", "encoder_output_size", "encoder_size", "input_size"),
    *("prediction_size", "decoder", "ctc", "joint_network"),
}


def configured(base: str, changes: Dict[str, Any]):
    """The base with other values at paths like ``decoder_conf.joint.emission``."""
    values = {**every_model.configuration("CTC"), **copy.deepcopy(ENCODER)}
    values.update(copy.deepcopy(BASES[base]))
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = values
        for name in parents:
            place = place.setdefault(name, {})
        if value == "absent":
            place.pop(last, None)
        else:
            place[last] = value
    values.update(frontend=None, frontend_conf={}, input_size=10)
    torch.manual_seed(0)
    return TransducerTask.build_model(argparse.Namespace(**values))


def batch_of(model) -> Dict[str, Any]:
    """Features with labels and alignments; the second utterance is shorter."""
    generator = torch.Generator().manual_seed(1)
    text = torch.tensor([[1, 3, 3], [2, 1, -1]])
    batch = {
        "speech": torch.randn(2, max(FRAMES), 10, generator=generator),
        "speech_lengths": torch.tensor(FRAMES),
        "text": text,
        "text_lengths": torch.tensor([3, 2]),
    }
    if hasattr(model, "alignment"):
        alignment = torch.zeros(2, max(FRAMES) // 2, dtype=torch.long)
        alignment[0, [1, 4, 5]] = text[0]
        alignment[1, [0, 3]] = text[1, :2]
        alignment[1, FRAMES[1] // 2 :] = -1
        batch["alignment"] = alignment
        batch["alignment_lengths"] = torch.tensor(FRAMES) // 2
    return batch


def outcome(model, epoch=None) -> Dict[str, torch.Tensor]:
    """Weights, loss and gradients in training, loss in evaluation, buffers after it."""
    batch = batch_of(model)
    found = {f"initial {k}": v.clone() for k, v in model.state_dict().items()}
    if epoch is not None:
        model.set_epoch(epoch)
    torch.manual_seed(3)
    found["training loss"] = model.train()(**batch)[0]
    found["training loss"].backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            found[f"gradient {name}"] = parameter.grad
    found.update((f"buffer {k}", v.clone()) for k, v in model.named_buffers())
    model.eval()
    found["evaluation loss"] = model(**batch)[0]
    if hasattr(model, "symbol_scores"):
        frames, _ = model.encode_frames(batch["speech"], batch["speech_lengths"])
        found["scores"] = model.symbol_scores(frames)
    return found


def same(one: Dict[str, torch.Tensor], other: Dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(value, other[name]) for name, value in one.items()
    )


def cases():
    for part, (base, path, _, options) in PARTS.items():
        for name, option in options.items():
            yield pytest.param(base, path, name, option, id=f"{part}: {name}")


every_option = pytest.mark.parametrize("base, path, name, option", cases())


def with_value(base, path, name, option, value):
    root = path.split(".")[0]
    given = {
        f"{path if '.' not in key else root}.{key}": other
        for key, other in option.given.items()
    }
    return configured(base, {**given, f"{path}.{name}": value})


@every_option
def test_neutral_is_absent_and_on_changes_something(base, path, name, option):
    reference = outcome(configured(base, {}), option.epoch)
    if option.neutral != "absent":
        neutral = with_value(base, path, name, option, option.neutral)
        reference = outcome(neutral, option.epoch)
        in_base = BASES[base]
        for key in path.split("."):
            in_base = in_base[key]
        without = with_value(base, path, name, option, "absent")
        if name in in_base:  # what is absent there is a rate that is not zero
            without = with_value(base, path, name, option, in_base[name])
        assert same(outcome(without, option.epoch), reference)
    model = with_value(base, path, name, option, option.on)
    assert not same(outcome(model, option.epoch), reference)
    again = model(**batch_of(model))[0]
    assert torch.equal(model(**batch_of(model))[0], again)


@every_option
def test_an_utterance_costs_the_same_alone_and_in_a_batch(base, path, name, option):
    model = with_value(base, path, name, option, option.on).eval()
    batch = batch_of(model)
    together = float(model(**batch)[1]["loss"]) * 2
    batch["speech"][1, FRAMES[1] :] = 1e3
    alone = 0.0
    for row, length in enumerate(FRAMES):
        one = {key: value[row : row + 1] for key, value in batch.items()}
        one["speech"] = one["speech"][:, :length]
        if "alignment" in one:
            one["alignment"] = one["alignment"][:, : length // 2]
        alone += float(model(**one)[1]["loss"])
    assert (together == pytest.approx(alone, rel=1e-5)) != option.padded


@pytest.mark.parametrize("base", BASES)
def test_with_all_options_neutral_training_is_as_evaluation(base):
    model = configured(base, {})
    batch = batch_of(model)
    training, evaluation = (model.train(mode)(**batch)[0] for mode in (True, False))
    torch.testing.assert_close(training, evaluation, rtol=1e-6, atol=0)


@pytest.mark.parametrize("part", PARTS)
def test_no_option_of_a_constructor_is_left_out(part):
    _, _, kind, options = PARTS[part]
    names = set(inspect.signature(kind.__init__).parameters)
    if issubclass(kind, EncoderModel):
        names |= set(inspect.signature(EncoderModel.__init__).parameters)
    sizes = {"hidden_size"} if kind is ZoneoutLstm else set()
    names -= NOT_OPTIONS | sizes | {"kwargs"}
    assert set(options) == names - set(ELSEWHERE)


def test_no_option_of_the_reproduction_loss_is_left_out():
    assert REPRODUCTION_OPTIONS == {"weight", "reduction", "features"}


def test_espnets_own_options_act_or_are_refused():
    """What its classes take and ours would pass over in silence."""
    own = set(inspect.signature(ESPnetASRModel.__init__).parameters)
    ours = {"aux_ctc", "ctc_weight"}
    parts = {
        *("self", "vocab_size", "token_list", "frontend", "specaug", "normalize"),
        *("preencoder", "encoder", "postencoder", "decoder", "ctc", "joint_network"),
    }
    acting = {"autocast_frontend", "extract_feats_in_collect_stats"}
    assert own - ours - parts - acting == set(IGNORED)
    for name, neutral in IGNORED.items():
        configured("transducer", {f"{MODEL}.{name}": neutral})
        with pytest.raises(Exception, match=f"(?s){name}.*has no effect"):
            other = [2] if neutral == [] else 0.3
            configured("transducer", {f"{MODEL}.{name}": other})
