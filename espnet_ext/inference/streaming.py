"""Recognition of a stream: features, chunked encoder and greedy search, block by block.

The encoder works on windows of ``chunk_size`` frames, as it was trained; the result is
that of the whole utterance with ``chunk_in_evaluation``, whatever the blocks are.
"""

# Dimensions: N samples, T feature frames, M encoder frames, D model, W window size
from typing import Dict, List, NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from espnet2.layers.global_mvn import GlobalMVN

from espnet_ext.asr.encoder.staged_conformer import StagedConformerEncoder
from espnet_ext.asr.transducer_model import TransducerModel
from espnet_ext.errors import OptionError
from espnet_ext.inference.blockwise import Blockwise
from espnet_ext.layers.corpus_mvn import CorpusMVN


class Emitted(NamedTuple):
    """A label and the encoder frame that emitted it."""

    label: int
    frame: int


class Latency(NamedTuple):
    """How much audio after a frame has to be heard before the frame is decided.

    Attributes:
        feature_samples: After the feature frame's own samples.
        frontend_frames: Feature frames after those of the encoder frame.
        window_frames: Encoder frames until the window ends, at worst.
        attention_frames: Encoder frames that the joint's attention looks ahead.
        samples: All together, in samples.
    """

    feature_samples: int
    frontend_frames: int
    window_frames: int
    attention_frames: int
    samples: int


def _feature_context(frontend: torch.nn.Module) -> Tuple[int, int, int]:
    """Samples of a frame's shift; frames before and after that share its samples.

    Raises:
        OptionError: Not a frontend that is known to work in pieces.
    """
    if hasattr(frontend, "span"):  # gammatone: no padding, nothing before
        return frontend.shift, 0, -(-frontend.span // frontend.shift) - 1
    enhancement = getattr(frontend, "frontend", None)
    enhances = enhancement is not None and (
        enhancement.use_wpe or enhancement.use_beamformer
    )
    if getattr(frontend, "frontend_type", None) == "default" and not enhances:
        side = -(-frontend.stft.n_fft // (2 * frontend.hop_length))
        if frontend.stft.center:
            return frontend.hop_length, side, side
    raise OptionError(
        f"features of {type(frontend).__name__} cannot be computed from a stream",
        where="frontend",
        expected="gammatone, or default without enhancement",
    )


def check_streamable(model: TransducerModel) -> None:
    """Refuse models that need the whole utterance.

    Raises:
        OptionError: Says which part does.
    """
    encoder = model.encoder
    if not isinstance(encoder, StagedConformerEncoder) or encoder.chunking is None:
        part = f"encoder {type(encoder).__name__}"
        expected = "staged_conformer trained with chunk_size"
    elif not hasattr(encoder.frontend, "context"):
        part = "a BLSTM in front of the encoder"
        expected = "encoder frontend conv, strided_conv or swish_conv"
    elif not isinstance(model.normalize, (GlobalMVN, CorpusMVN, type(None))):
        part = f"normalisation {type(model.normalize).__name__}"
        expected = "global_mvn, corpus_mvn or none"
    elif model.preencoder is not None or model.postencoder is not None:
        part, expected = "preencoder or postencoder", "none"
    else:
        _feature_context(model.frontend)
        return
    raise OptionError(
        f"{part} needs the whole utterance: it cannot be streamed", expected=expected
    )


def _through(part: Blockwise, inputs: torch.Tensor, last: bool) -> torch.Tensor:
    """What comes out of a part for these inputs, and at the end of the stream."""
    outputs = [part.push(inputs)] if inputs.size(1) else []
    outputs += [part.finish()] if last else []
    outputs = [output for output in outputs if output.size(1)]
    return torch.cat(outputs, 1) if outputs else inputs.new_zeros(1, 0, 1)


class _Windows:
    """The Conformer layers on windows of a stream of frontend frames."""

    def __init__(self, encoder: StagedConformerEncoder):
        self.encoder = encoder
        self.cut = encoder.chunking
        self.frames: Optional[torch.Tensor] = None  # from self.first on
        self.first = self.seen = self.number = self.given = 0
        self.sums: Dict[int, torch.Tensor] = {}
        self.counts: Dict[int, int] = {}

    def push(self, frames_1MF: torch.Tensor, last: bool) -> torch.Tensor:
        """Encoder frames [1, m, D] that no later window will change."""
        if frames_1MF.size(1):
            parts = [] if self.frames is None else [self.frames]
            self.frames = torch.cat([*parts, frames_1MF], 1)
            self.seen += frames_1MF.size(1)
        while self._start() + self.cut.size <= self.seen:
            self._window()
        if last and self.seen:
            total = int(self.cut.counts(torch.tensor(self.seen)))
            while self.number < total:
                self._window()
        return self._finished(self.seen if last else min(self._start(), self.seen))

    def _start(self) -> int:
        """First frame of the next window; below 0 for the first window."""
        return self.number * self.cut.stride - self.cut.left

    def _window(self) -> None:
        start = self._start()
        begin, end = max(start, 0), min(start + self.cut.size, self.seen)
        x = self.frames[:, begin - self.first : max(end, begin) - self.first]
        x = F.pad(x, (0, 0, begin - start, start + self.cut.size - max(end, begin)))
        y_WD = self.encoder.encode_window(x)[0]
        for frame in range(begin, end):
            row = y_WD[frame - start]
            self.sums[frame] = self.sums[frame] + row if frame in self.sums else row
            self.counts[frame] = self.counts.get(frame, 0) + 1
        self.number += 1
        keep = min(max(self._start(), 0), self.seen)
        if keep > self.first:
            self.frames, self.first = self.frames[:, keep - self.first :], keep

    def _finished(self, end: int) -> torch.Tensor:
        size = self.encoder.output_size()
        zero = next(self.encoder.parameters()).new_zeros(size)
        rows = []
        for frame in range(self.given, end):
            total = self.sums.pop(frame, zero)  # in no window: zero
            rows.append(total / self.counts.pop(frame, 1))
        self.given = max(self.given, end)
        return torch.stack(rows).unsqueeze(0) if rows else zero.new_zeros(1, 0, size)


class StreamingRecognizer:
    """Greedy recognition of one stream at a time.

    Args:
        model: A transducer whose encoder was trained with ``chunk_size``.

    Raises:
        OptionError: A part of the model needs the whole utterance.
    """

    def __init__(self, model: TransducerModel):
        check_streamable(model)
        self.model = model.eval()
        self.device = next(model.parameters()).device
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next samples begin a new stream."""
        encoder, joint = self.model.encoder, self.model.joint_network
        shift, left, right = _feature_context(self.model.frontend)
        self.features = Blockwise(self._features, shift, left, right)
        frontend = encoder.frontend
        before, after = (-(-n // frontend.reduction) for n in frontend.context())
        self.frontend = Blockwise(self._frontend, frontend.reduction, before, after)
        self.windows = _Windows(encoder)
        left, right = self._attention_context()
        self.projection = Blockwise(joint.project_frames, 1, left, right)
        self.state = self.model.decoder.search_start(1, "run")
        self.frame = 0

    def _attention_context(self) -> Tuple[int, int]:
        attention = getattr(self.model.joint_network, "attention", None)
        if attention is None:
            return 0, 0
        left = (attention.window_size - 1) // 2
        return left, attention.window_size - 1 - left

    @property
    def latency(self) -> Latency:
        """What the model has to hear before it decides; computing comes on top."""
        shift, _, ahead = _feature_context(self.model.frontend)
        encoder = self.model.encoder
        reduction = encoder.frontend.reduction
        # pieces are whole encoder frames
        _, after = encoder.frontend.context()
        after = -(-after // reduction) * reduction
        window, attention = encoder.chunking.size, self._attention_context()[1]
        frames = after + reduction * (window + attention)
        return Latency(
            ahead * shift, after, window, attention, ahead * shift + frames * shift
        )

    def _features(self, samples_1N: torch.Tensor) -> torch.Tensor:
        lengths = torch.tensor([samples_1N.size(1)], device=self.device)
        return self.model.frontend(samples_1N, lengths)[0]

    def _frontend(self, features_1TF: torch.Tensor) -> torch.Tensor:
        frontend = self.model.encoder.frontend
        frames = features_1TF.size(1)
        padded = F.pad(features_1TF, (0, 0, 0, -frames % frontend.reduction))
        return frontend(padded, torch.tensor([frames], device=self.device))[0]

    @torch.no_grad()
    def push(self, samples_N: torch.Tensor) -> List[Emitted]:
        """Labels that are decided after these samples."""
        samples_1N = samples_N.to(self.device).float().unsqueeze(0)
        return self._decode(self.features.push(samples_1N), last=False)

    @torch.no_grad()
    def finish(self) -> List[Emitted]:
        """The remaining labels at the end of the stream; then a new one may begin."""
        labels = self._decode(self.features.finish(), last=True)
        self.reset()
        return labels

    def _decode(self, features_1TF: torch.Tensor, last: bool) -> List[Emitted]:
        frames_1MF = _through(self.frontend, self._normal(features_1TF), last)
        encoded_1MD = self.windows.push(frames_1MF, last)
        return self._search(_through(self.projection, encoded_1MD, last))

    def _normal(self, features_1TF: torch.Tensor) -> torch.Tensor:
        if self.model.normalize is None or features_1TF.size(1) == 0:
            return features_1TF
        lengths = torch.tensor([features_1TF.size(1)], device=self.device)
        return self.model.normalize(features_1TF, lengths)[0]

    def _search(self, am_1MR: torch.Tensor) -> List[Emitted]:
        decoder = self.model.decoder
        row = torch.zeros(1, dtype=torch.long, device=self.device)
        emitted = []
        for am_R in am_1MR[0]:
            scores, state = decoder.search_scores(am_R.unsqueeze(0), self.state)
            symbol_1 = scores.argmax(dim=1)
            self.state = decoder.search_advance(state, row, symbol_1)
            symbol = int(symbol_1)
            if symbol != decoder.blank_id:
                emitted.append(Emitted(symbol, self.frame))
            self.frame += 1
        return emitted
