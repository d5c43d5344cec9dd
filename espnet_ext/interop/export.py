"""Exports a transducer as programs of ``torch.export`` for greedy decoding.

    features.pt2   samples [1, N] -> features [1, T, F]
    encoder.pt2    features, valid frames [1] -> projected frames [1, M, R], number [1]
    predict.pt2    label [1, 1], h, c -> projected prediction [1, R], h, c
    joint.pt2      frame [1, R], prediction [1, R] -> log-probabilities [1, V]
    export.json    tokens and what the loader has to know

The programs run without ESPnet (``interop.exported`` needs torch alone). Encoders of
convolutions and attention take any multiple of their time reduction: features are
padded with zeros to the next one, as those of a stream are (SAME padding places its
windows by the length, and one program can have but one rule). An LSTM is unrolled into
a fixed number of frames by torch.export, so that encoders with one are exported for
``max_frames`` feature frames, and shorter utterances are padded to that.
"""

# Dimensions: N samples, T feature frames, F features, M encoder frames, R readout
import json
from pathlib import Path
from typing import Dict, Optional, Tuple

import torch
from torch.export import Dim, ExportedProgram, export, save

from espnet_ext.asr.transducer_model import TransducerModel
from espnet_ext.errors import OptionError
from espnet_ext.files import atomic_path, atomic_write
from espnet_ext.layers.lstm import Lstm

SAMPLES, EXAMPLE_FRAMES = 16000, 200  # the examples that the programs are made with
LONGEST_SAMPLES = 1 << 26
FACTS = "export.json"


class _Features(torch.nn.Module):
    """Features and normalisation of one utterance without padding."""

    def __init__(self, model: TransducerModel):
        super().__init__()
        self.frontend = model.frontend
        self.normalize = model.normalize
        if not hasattr(self.frontend, "span"):
            stft = getattr(self.frontend, "stft", None)
            if getattr(self.frontend, "frontend_type", None) != "default" or not stft:
                raise OptionError(
                    f"frontend {type(self.frontend).__name__} cannot be exported",
                    expected="gammatone or default",
                )
            window = torch.ones(stft.win_length)
            if stft.window is not None:
                window = getattr(torch, f"{stft.window}_window")(stft.win_length)
            self.register_buffer("window", window)
        if self.normalize is not None and not hasattr(self.normalize, "norm_means"):
            raise OptionError(
                f"normalisation {type(self.normalize).__name__} cannot be exported"
            )

    def forward(self, samples_1N: torch.Tensor) -> torch.Tensor:
        """Samples [1, N] to features [1, T, F]."""
        if hasattr(self.frontend, "span"):
            features = self.frontend.features(samples_1N)
        else:
            features = self._log_mel(samples_1N)
        norm = self.normalize
        if norm is None:
            return features
        if hasattr(norm, "mean"):  # global_mvn
            features = features - norm.mean if norm.norm_means else features
            return features / norm.std if norm.norm_vars else features
        mean = features.mean(dim=1, keepdim=True)
        features = features - mean if norm.norm_means else features
        if norm.norm_vars:
            spread = features.pow(2).mean(1, keepdim=True).clamp(min=norm.eps**2)
            features = features / spread.sqrt()
        return features

    def _log_mel(self, samples_1N: torch.Tensor) -> torch.Tensor:
        stft = self.frontend.stft
        spectrum = torch.stft(
            samples_1N,
            stft.n_fft,
            stft.hop_length,
            stft.win_length,
            window=self.window,
            center=stft.center,
            normalized=stft.normalized,
            onesided=stft.onesided,
            return_complex=True,
        )
        power = (spectrum.real**2 + spectrum.imag**2).transpose(1, 2)
        return self.frontend.logmel(power)[0]


class _Encoder(torch.nn.Module):
    """Encoder and everything of the joint that depends on frames alone."""

    def __init__(self, model: TransducerModel):
        super().__init__()
        self.encoder = model.encoder
        self.joint = model.joint_network

    def forward(
        self, features_1TF: torch.Tensor, lengths_1: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Features [1, T, F], ``lengths`` of them valid, to [1, M, R] and lengths."""
        frames_1MD, lengths_1, _ = self.encoder(features_1TF, lengths_1)
        return self.joint.project_frames(frames_1MD, lengths_1), lengths_1


class _Predict(torch.nn.Module):
    """One step of the prediction network."""

    def __init__(self, model: TransducerModel):
        super().__init__()
        self.decoder = model.decoder

    def forward(self, label_11, h_11H, c_11H):
        """Projected prediction [1, R] after the label, and the state (h, c)."""
        lm_11R, (h, c) = self.decoder.run(label_11, (h_11H, c_11H))
        return lm_11R[:, 0], h, c


class _Joint(torch.nn.Module):
    """The joint of one frame and one prediction."""

    def __init__(self, model: TransducerModel):
        super().__init__()
        self.joint = model.joint_network

    def forward(self, frame_1R, prediction_1R):
        """Log-probabilities [1, V]."""
        return self.joint(frame_1R, prediction_1R)


def has_lstm(module: torch.nn.Module) -> bool:
    """Whether a part of the module is an LSTM."""
    return any(isinstance(m, (Lstm, torch.nn.LSTM)) for m in module.modules())


def padded_length(frames: int, multiple: int, fixed: bool) -> int:
    """To how many feature frames the encoder's input is padded."""
    return multiple if fixed else -(-frames // multiple) * multiple


@torch.no_grad()
def exported_programs(
    model: TransducerModel, multiple: int
) -> Dict[str, ExportedProgram]:
    """The four programs by name.

    Args:
        model: In evaluation mode.
        multiple: Feature frames of an encoder frame, or those of the longest utterance
            where the encoder has an LSTM.

    Raises:
        OptionError: A part cannot be exported.
    """
    parts = {"preencoder": model.preencoder, "postencoder": model.postencoder}
    there = [name for name, part in parts.items() if part is not None]
    if there:
        raise OptionError(f"a model with a {there[0]} cannot be exported")
    features = _Features(model).eval()
    samples_1N = torch.zeros(1, SAMPLES)
    shortest = getattr(model.frontend, "span", None) or model.frontend.stft.n_fft
    longest = Dim("samples", min=shortest, max=LONGEST_SAMPLES)
    fixed = has_lstm(model.encoder)
    shapes = None
    if not fixed:
        count = Dim("frames", min=3, max=LONGEST_SAMPLES // 512)
        shapes = ({1: multiple * count}, None)
    frames = padded_length(EXAMPLE_FRAMES, multiple, fixed)
    features_1TF = samples_1N.new_zeros(1, frames, features(samples_1N).size(2))
    encoder_inputs = (features_1TF, torch.tensor([frames]))
    frames_1MR = _Encoder(model).eval()(*encoder_inputs)[0]
    label_11 = torch.zeros(1, 1, dtype=torch.long)
    # h and c may be one tensor of zeros, which an export would take for one input
    state = tuple(part.clone() for part in model.decoder.init_state(1))
    prediction_1R = _Predict(model)(label_11, *state)[0]
    joint_inputs = frames_1MR[:, 0], prediction_1R
    return {
        "features": _export(features, (samples_1N,), ({1: longest},)),
        "encoder": _export(_Encoder(model).eval(), encoder_inputs, shapes),
        "predict": _export(_Predict(model).eval(), (label_11, *state)),
        "joint": _export(_Joint(model).eval(), joint_inputs),
    }


def _export(module, inputs, shapes=None) -> ExportedProgram:
    return export(
        module,
        inputs,
        dynamic_shapes=shapes,
        strict=False,
        # conditions on lengths that cannot be proved are checked while running
        prefer_deferred_runtime_asserts_over_guards=True,
    )


def export_model(
    model: TransducerModel,
    facts: Dict[str, object],
    folder: Path,
    reduction: int,
    max_frames: Optional[int] = None,
) -> None:
    """Write the programs and ``export.json``.

    Args:
        model: A transducer with an LSTM prediction network.
        facts: Tokens and sampling rate for the loader.
        folder: Where to write.
        reduction: Feature frames of an encoder frame.
        max_frames: Feature frames of the longest utterance, for encoders with an LSTM.

    Raises:
        OptionError: A part cannot be exported, or ``max_frames`` is needed and missing.
    """
    fixed = has_lstm(model.encoder)
    if fixed and not max_frames:
        raise OptionError(
            "torch.export unrolls the LSTM of this encoder to a fixed length",
            expected="--max_frames, the feature frames of the longest utterance",
        )
    multiple = max_frames if fixed and max_frames else reduction
    for name, program in exported_programs(model.eval(), multiple).items():
        with atomic_path(folder / f"{name}.pt2") as temporary:
            save(program, temporary)
    state = [list(part.shape) for part in model.decoder.init_state(1)]
    known = {"blank": model.decoder.blank_id, "state": state}
    known.update({"multiple": multiple, "fixed": fixed, "torch": torch.__version__})
    with atomic_write(folder / FACTS) as file:
        json.dump({**facts, **known}, file, indent=1)
        file.write("\n")
