"""The models of the benchmark of a training step, and the step itself.

Each case is a mapping of ESPnet's configuration keys; the two stacks of LSTMs are
encoders alone. Everything is random: only sizes matter here.
"""

# Dimensions: B batch, T frames, F feature
import copy
import time
from typing import Any, Callable, Dict, List, Tuple

import torch

BATCH, SECONDS, LABELS, VOCABULARY = 8, 10, 30, 1031
SAMPLING_RATE, FRAMES = 8000, 1000
LAYERS, WIDTH, HEADS, FEED_FORWARD = 12, 384, 6, 1536
PREDICTION = 512  # units of the prediction network and of its embedding
BLSTM_LAYERS, BLSTM_UNITS, BLSTM_POOLING = 6, 512, (3, 2)

STOCK_ENCODER: Dict[str, Any] = {
    "encoder": "conformer",
    "encoder_conf": {
        "input_layer": "conv2d6",
        "output_size": WIDTH,
        "num_blocks": LAYERS,
        "attention_heads": HEADS,
        "linear_units": FEED_FORWARD,
        "macaron_style": True,
        "use_cnn_module": True,
        "cnn_module_kernel": 31,
        "rel_pos_type": "latest",
        "pos_enc_layer_type": "rel_pos",
        "selfattention_layer_type": "rel_selfattn",
        "activation_type": "swish",
        "dropout_rate": 0.1,
        "positional_dropout_rate": 0.1,
        "attention_dropout_rate": 0.1,
    },
}
OUR_TRANSDUCER: Dict[str, Any] = {
    "decoder": "lstm_transducer",
    "decoder_conf": {
        "embedding_size": PREDICTION,
        "hidden_size": PREDICTION,
        "joint": {"readout_size": 1000},
    },
    "model": "full_sum_transducer",
    "model_conf": {},
}
TRANSDUCERS: Dict[str, Dict[str, Any]] = {
    "stock": {
        **STOCK_ENCODER,
        "decoder": "transducer",
        "decoder_conf": {
            "rnn_type": "lstm",
            "num_layers": 1,
            "hidden_size": PREDICTION,
            "dropout": 0.1,
            "dropout_embed": 0.2,
        },
        "joint_net_conf": {"joint_space_size": 512},
        "model": "espnet",
        "model_conf": {"ctc_weight": 0.0, "report_cer": False, "report_wer": False},
    },
    "stock_encoder_our_loss": {**STOCK_ENCODER, **OUR_TRANSDUCER},
    "stock_encoder_our_loss_lean": {
        **STOCK_ENCODER,
        **OUR_TRANSDUCER,
        "model_conf": {"recompute": True, "fast_products": True},
    },
    "stock_encoder_our_loss_recompute": {
        **STOCK_ENCODER,
        **OUR_TRANSDUCER,
        "model_conf": {"recompute": True},
    },
    "our_conformer": {
        "encoder": "staged_conformer",
        "encoder_conf": {
            "frontend": {"type": "conv_blstm", "hidden_size": 512},
            "num_layers": LAYERS,
            "model_size": WIDTH,
            "feed_forward_size": FEED_FORWARD,
            "num_heads": HEADS,
            "conv_kernel_size": 32,
            "attention_dropout": 0.1,
            "attention_residual_dropout": True,
        },
        **OUR_TRANSDUCER,
    },
}
FEATURES = {case: 80 for case in TRANSDUCERS} | {"our_conformer": 40}
ENCODER_ALONE = "stock_encoder_alone"  # what no loss can be below
RETURNED = ("stock:returned", "stock_encoder_our_loss_lean:returned")
CASES = (*TRANSDUCERS, *RETURNED, ENCODER_ALONE, "our_blstm", "torch_blstm")


class TorchBlstm(torch.nn.Module):
    """What one would write with torch.nn.LSTM for the same encoder, without packing."""

    def __init__(self, front: torch.nn.Module):
        super().__init__()
        self.front = front
        sizes = [front.output_size] + [2 * BLSTM_UNITS] * (BLSTM_LAYERS - 1)
        self.layers = torch.nn.ModuleList(
            torch.nn.LSTM(size, BLSTM_UNITS, batch_first=True, bidirectional=True)
            for size in sizes
        )
        self.dropout = torch.nn.Dropout(0.3)

    def forward(self, x_BTF: torch.Tensor, lengths_B: torch.Tensor):
        """Frames [B, T', 2H]; time is reduced by 6."""
        x, _ = self.front(x_BTF, lengths_B)
        for number, layer in enumerate(self.layers):
            x, _ = layer(self.dropout(x) if number else x)
            if number < len(BLSTM_POOLING):
                x = torch.nn.functional.max_pool1d(
                    x.transpose(1, 2), BLSTM_POOLING[number], ceil_mode=True
                ).transpose(1, 2)
        return x


def build_transducer(case: str) -> torch.nn.Module:
    """An ESPnet model of a case, from wave to loss.

    Raises:
        OptionError: A case with options that do not exist.
    """
    from espnet_ext.asr.loss import warprnnt_shim
    from espnet_ext.tasks.asr import TransducerTask

    warprnnt_shim.install()
    arguments = TransducerTask.get_parser().parse_args(["--output_dir", "unused"])
    labels = (f"label{i}" for i in range(1, VOCABULARY - 1))
    frontend = {"fs": SAMPLING_RATE, "n_fft": 256, "win_length": 200, "hop_length": 80}
    settings = {
        "token_list": ["<blank>", *labels, "<sos/eos>"],
        "frontend": "default",
        "frontend_conf": {**frontend, "n_mels": FEATURES[case]},
        "specaug": None,
        "normalize": "utterance_mvn",
        "normalize_conf": {},
        "init": None,
        **TRANSDUCERS[case],
    }
    for key, value in copy.deepcopy(settings).items():
        setattr(arguments, key, value)
    return TransducerTask.build_model(arguments)


def build(case: str) -> Tuple[torch.nn.Module, Callable[[], torch.Tensor]]:
    """Model and the forward pass that gives its loss."""
    from espnet_ext.asr.encoder.conv_blstm import ConvBlstmEncoder
    from espnet_ext.asr.encoder.conv_front import ConvFront

    torch.manual_seed(1)
    if case in TRANSDUCERS:
        model = build_transducer(case)
        batch = {
            "speech": torch.randn(BATCH, SECONDS * SAMPLING_RATE),
            "speech_lengths": torch.full((BATCH,), SECONDS * SAMPLING_RATE),
            "text": torch.randint(1, VOCABULARY - 1, (BATCH, LABELS)),
            "text_lengths": torch.full((BATCH,), LABELS),
        }
        return model, lambda: model(**batch)[0]
    if case == ENCODER_ALONE:
        model = build_transducer("stock_encoder_our_loss")
        model.decoder = torch.nn.Identity()
        speech = torch.randn(BATCH, SECONDS * SAMPLING_RATE)
        lengths = torch.full((BATCH,), SECONDS * SAMPLING_RATE)
        return model, lambda: (
            model.encode_features(*model.features(speech, lengths))[0].square().mean()
        )
    features = torch.randn(BATCH, FRAMES, 40), torch.full((BATCH,), FRAMES)
    if case == "our_blstm":
        encoder = ConvBlstmEncoder(
            40,
            num_layers=BLSTM_LAYERS,
            hidden_size=BLSTM_UNITS,
            time_pooling=BLSTM_POOLING,
        )
        return encoder, lambda: encoder(*features)[0].square().mean()
    stack = TorchBlstm(ConvFront(40, (32, 32), (2, 2), (1, 1)))
    return stack, lambda: stack(*features).square().mean()


class Step:
    """One training step: forward pass, backward pass, update by AdamW.

    Args:
        case: One of CASES.
        optimizer_options: Of torch.optim.AdamW.
    """

    def __init__(self, case: str, **optimizer_options: Any):
        self.model, self.loss = build(case)
        self.model.train()
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=1e-4, **optimizer_options
        )

    def parameters(self) -> int:
        """Number of parameters."""
        return sum(p.numel() for p in self.model.parameters())

    def __call__(self) -> List[float]:
        """Seconds of the three parts; all memory of the pass is free afterwards."""
        times = [time.perf_counter()]
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss()
        times.append(time.perf_counter())
        loss.backward()
        times.append(time.perf_counter())
        self.optimizer.step()
        times.append(time.perf_counter())
        if not torch.isfinite(loss):
            raise FloatingPointError(f"loss {float(loss)}")
        return [b - a for a, b in zip(times, times[1:])]
