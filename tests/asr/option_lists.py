"""Every option of decoders, joints and models, with values to try.

``PARTS`` has, of each part: the base it is tried on, its path in the configuration, its
class, and its options. ``test_every_option`` says what holds for them.
"""

from typing import Any, Dict, NamedTuple, Optional

from espnet2.tasks import asr

from espnet_ext.asr.decoder.extended_transducer import ExtendedTransducerDecoder
from espnet_ext.asr.decoder.lstm_transducer import LstmTransducerDecoder
from espnet_ext.asr.decoder.mlp_attention import MlpAttentionDecoder
from espnet_ext.asr.decoder.stateless_transducer import StatelessTransducerDecoder
from espnet_ext.asr.joint.maxout_readout import MaxoutReadout
from espnet_ext.asr.joint.window_attention import WindowAttention
from espnet_ext.asr.loss.aux_ctc import AuxiliaryCtc
from espnet_ext.layers.switchout import AlignmentSwitchOut
from espnet_ext.layers.zoneout_lstm import ZoneoutLstm
from espnet_ext.register import register
from tests.asr import every_model

register()

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
