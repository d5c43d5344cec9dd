"""Models, audio and searches of the decoding benchmark.

One transducer of ESPnet's own parts, with random weights, is searched by everybody, so
that all have the same weights and the same frames. Its weights are scaled so that the
posteriors are peaky, and the bias of blank so that greedy search emits about as many
labels a frame as speech does.
"""

# Dimensions: B batch, T frames, D encoder, V vocabulary with blank
import argparse
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Tuple

import soundfile
import torch
import yaml
from espnet2.asr.decoder.transducer_decoder import TransducerDecoder
from espnet2.asr.transducer.beam_search_transducer import BeamSearchTransducer
from espnet2.asr_transducer.joint_network import JointNetwork

from espnet_ext.asr.loss import warprnnt_shim
from espnet_ext.asr.search import products
from espnet_ext.asr.search.greedy import greedy_search
from espnet_ext.asr.search.stock_decoder import StockTransducer
from espnet_ext.asr.search.time_sync import TimeSyncSearch
from espnet_ext.errors import MissingInputError

SIZES = {"vocabulary": 1031, "encoder": 384, "lstm": 512, "joint": 500}
FRAMES, FRAME_S = 167, 0.06
BATCH = 16  # utterances of one search
LABELS_PER_FRAME = 0.22
PEAKY, EMBEDDING = 8.0, 3.0
RATE_HZ, AUDIO_S = 8000, (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0)
STOCK_SEARCHES = {
    "espnet_greedy": {"beam_size": 1},
    "espnet_tsd": {"search_type": "tsd"},
    "espnet_alsd": {"search_type": "alsd"},
    "espnet_nsc": {"search_type": "nsc"},
    "espnet_maes": {"search_type": "maes", "nstep": 2},
    "espnet_default": {"search_type": "default"},
}


class Model(NamedTuple):
    """Decoder and joint of ESPnet, and the frames [B, T, D] they are searched on."""

    decoder: TransducerDecoder
    joint: JointNetwork
    frames: torch.Tensor


def make_peaky(decoder, joint, frames_BTD: torch.Tensor) -> float:
    """Scale the weights and set the bias of blank; the rate of labels that results."""
    with torch.no_grad():
        joint.lin_out.weight.mul_(PEAKY)
        decoder.embed.weight.mul_(EMBEDDING)
    low, high, rate = -20.0, 100.0, 0.0
    lengths_B = torch.full((frames_BTD.size(0),), frames_BTD.size(1))
    for _ in range(14):
        bias = (low + high) / 2
        with torch.no_grad():
            joint.lin_out.bias[decoder.blank_id] = bias
        ours = StockTransducer(decoder, joint)
        found = greedy_search(ours, ours.project_frames(frames_BTD).detach(), lengths_B)
        rate = sum(len(result.labels) for result in found) / int(lengths_B.sum())
        low, high = (bias, high) if rate > LABELS_PER_FRAME else (low, bias)
    return rate


def search_model(batch: int = 16) -> Tuple[Model, float]:
    """The model of the search rows and its labels a frame."""
    torch.manual_seed(1)
    decoder = TransducerDecoder(SIZES["vocabulary"], hidden_size=SIZES["lstm"]).eval()
    joint = JointNetwork(
        SIZES["vocabulary"], SIZES["encoder"], SIZES["lstm"], SIZES["joint"]
    ).eval()
    frames = torch.randn(batch, FRAMES, SIZES["encoder"])
    rate = make_peaky(decoder, joint, frames[:4])
    return Model(decoder, joint, frames), rate


def ours(model: Model, batch: int, beam: int, **options) -> Callable[[], object]:
    """Our search of ``batch`` sequences; the frames' projection is part of it."""
    decoder = StockTransducer(model.decoder, model.joint)
    frames, lengths = model.frames[:batch], torch.full((batch,), model.frames.size(1))
    search = TimeSyncSearch(decoder, beam, **options)
    if beam == 1:
        return lambda: greedy_search(decoder, decoder.project_frames(frames), lengths)
    return lambda: search(decoder.project_frames(frames), lengths)


def stock(model: Model, name: str, beam: int) -> Callable[[], object]:
    """One of ESPnet's searches of one sequence, with its default options."""
    options = {"beam_size": beam, **STOCK_SEARCHES[name]}
    search = BeamSearchTransducer(model.decoder, model.joint, **options)
    return lambda: search(model.frames[0])


def products_alone(run: Callable[[], object]) -> Callable[[], None]:
    """All matrix products of a search once more, with nothing between them."""
    calls: List[Tuple[products.RowProduct, torch.Tensor]] = []
    original = products.RowProduct.__call__

    def recorded(self, x_NI):
        calls.append((self, x_NI.clone()))
        return original(self, x_NI)

    products.RowProduct.__call__ = recorded
    try:
        run()
    finally:
        products.RowProduct.__call__ = original
    return lambda: [original(product, x) for product, x in calls]


class _TorchaudioModel(torch.nn.Module):
    """The same model as torchaudio's search calls it; it wants blank last."""

    def __init__(self, model: Model):
        super().__init__()
        self.decoder, self.joint = model.decoder, model.joint

    def transcribe(self, frames, lengths):
        """There is no encoder."""
        return frames, lengths

    def predict(self, labels, lengths, state):
        """Prediction network [N, 1, H] after labels [N, 1]; blank is its last id."""
        labels = (labels + 1) % SIZES["vocabulary"]
        hx = None if state is None else tuple(x.transpose(0, 1) for x in state[0])
        hx = None if hx is None else tuple(x.contiguous() for x in hx)
        output, new = self.decoder.decoder[0](self.decoder.embed(labels), hx)
        return output, lengths, [[x.transpose(0, 1) for x in new]]

    def join(self, source, source_lengths, target, target_lengths):
        """Scores [N, 1, 1, V] with blank last."""
        scores = self.joint(source.unsqueeze(2), target.unsqueeze(1))
        return scores.roll(-1, dims=3), source_lengths, target_lengths


def torchaudio_search(model: Model, beam: int) -> Callable[[], object]:
    """torchaudio's RNNTBeamSearch of one sequence, at most 4 labels a frame."""
    from torchaudio.models import RNNTBeamSearch

    blank = SIZES["vocabulary"] - 1
    search = RNNTBeamSearch(_TorchaudioModel(model), blank, step_max_tokens=4)
    length = torch.tensor([model.frames.size(1)])
    return lambda: search(model.frames[0], length, beam)


def whole_model(config: str, vocabulary: int = 500):
    """ESPnet's model of a configuration, and audio of several lengths."""
    from espnet2.tasks.asr import ASRTask

    warprnnt_shim.install()
    torch.manual_seed(2)
    with open(config, encoding="utf-8") as file:
        options = yaml.safe_load(file)
    arguments = ASRTask.get_default_config()
    arguments.update(options)
    arguments.update(
        token_list=[str(number) for number in range(vocabulary)],
        frontend="default",
        frontend_conf={"fs": RATE_HZ, "n_fft": 256, "hop_length": 80},
        normalize=None,
        specaug=None,
    )
    model = ASRTask.build_model(argparse.Namespace(**arguments)).eval()
    audio = [torch.randn(1, int(seconds * RATE_HZ)) for seconds in AUDIO_S * 2]
    with torch.no_grad():
        frames = model.encode(audio[0], torch.tensor([audio[0].size(1)]))[0]
    make_peaky(model.decoder, model.joint_network, frames)
    return model, audio


def read_audio(folder: Path) -> List[torch.Tensor]:
    """All .wav and .flac files below a folder, each [1, samples], longest last.

    Raises:
        MissingInputError: There are none.
    """
    kinds = (".wav", ".flac")
    files = sorted(f for f in Path(folder).rglob("*") if f.suffix in kinds)
    if not files:
        raise MissingInputError("no .wav or .flac files", where=folder)
    audio = [soundfile.read(file, dtype="float32")[0] for file in files]
    return [torch.from_numpy(x)[None] for x in sorted(audio, key=len)]


def whole_decodes(model, audio, beam: int) -> Dict[str, Callable[[], object]]:
    """Audio to labels: ESPnet one by one, and ours with one search for 16."""

    def encoded():
        return [model.encode(x, torch.tensor([x.size(1)]))[0][0] for x in audio]

    def with_stock(name: str):
        options = {"beam_size": beam, **STOCK_SEARCHES[name]}
        search = BeamSearchTransducer(model.decoder, model.joint_network, **options)
        return lambda: [search(frames) for frames in encoded()]

    decoder = StockTransducer(model.decoder, model.joint_network)
    search = TimeSyncSearch(decoder, beam)

    def with_ours():
        every, found = encoded(), []
        for begin in range(0, len(every), BATCH):
            frames = every[begin : begin + BATCH]
            lengths = torch.tensor([len(x) for x in frames])
            padded = torch.nn.utils.rnn.pad_sequence(frames, batch_first=True)
            found += search(decoder.project_frames(padded), lengths)
        return found

    return {
        "encoder": encoded,
        "ours": with_ours,
        "espnet_tsd": with_stock("espnet_tsd"),
        "espnet_default": with_stock("espnet_default"),
    }
