"""A stream gives what the whole utterance gives, whatever its blocks are."""

import copy

import pytest
import torch

from espnet_ext.asr.search.greedy import greedy_search
from espnet_ext.errors import OptionError
from espnet_ext.inference.blockwise import Blockwise
from espnet_ext.inference.streaming import StreamingRecognizer
from tests.inference.models import LOG_MEL, noise, saved_model

SAMPLES = 13_337  # 166 feature frames: not a multiple of the time reduction
BLOCKS = [SAMPLES, 4000, 777, 80]


class Recording(StreamingRecognizer):
    """Keeps the frames that the search sees, and when it saw them."""

    def reset(self):
        super().reset()
        self.heard, self.seen = 0, []

    def push(self, samples):
        self.heard += len(samples)
        return super().push(samples)

    def _search(self, am_1MR):
        self.seen += [(self.heard, am_R) for am_R in am_1MR[0]]
        self.kept = self.seen
        return super()._search(am_1MR)


def stream(model, samples, block):
    recognizer = Recording(model)
    emitted = []
    for first in range(0, len(samples), block):
        emitted += recognizer.push(samples[first : first + block])
    emitted += recognizer.finish()
    return emitted, recognizer.kept


def whole(model, samples):
    """Projected frames and greedy labels of the utterance in one pass."""
    model = copy.deepcopy(model)
    model.encoder.chunk_in_evaluation()
    with torch.no_grad():
        am, lengths = model.encode(samples.unsqueeze(0), torch.tensor([len(samples)]))
    return am[0], greedy_search(model.decoder, am, lengths)[0].labels


CONFIGURATIONS = [
    {"chunk_size": 5},
    {"chunk_size": 5, "chunk_tail": "covered"},
    {"chunk_size": 6, "chunk_stride": 3},
    {"chunk_size": 7, "chunk_stride": 2, "chunk_tail": "covered"},
    {"chunk_size": 50, "chunk_tail": "covered"},
    {"chunk_size": 5, "padding": "visible"},
    {"chunk_size": 4, "frontend": {"type": "strided_conv", "conv_channels": [2, 2, 3]}},
    {
        "chunk_size": 4,
        "frontend": {"type": "swish_conv", "conv_channels": [2, 2, 2, 3]},
    },
]


@pytest.mark.parametrize("options", CONFIGURATIONS, ids=str)
def test_the_stream_equals_the_whole_utterance(options, tmp_path):
    model = saved_model(tmp_path, options).model
    samples = torch.from_numpy(noise(SAMPLES))
    am_TR, labels = whole(model, samples)
    # the two other frontends make frames on which these weights emit nothing
    assert labels or "frontend" in options
    for block in BLOCKS[:2]:
        emitted, seen = stream(model, samples, block)
        frames = torch.stack([am_R for _, am_R in seen])
        torch.testing.assert_close(frames, am_TR, atol=1e-5, rtol=1e-5)
        assert [label for label, _ in emitted] == labels


@pytest.mark.parametrize("frontend", ["gammatone", "default"])
@pytest.mark.parametrize("block", BLOCKS)
def test_features_are_those_of_the_whole_utterance(frontend, block, tmp_path):
    more = {} if frontend == "gammatone" else {"frontend_conf": LOG_MEL}
    model = saved_model(tmp_path, {"chunk_size": 5}, frontend=frontend, **more).model
    samples = torch.from_numpy(noise(SAMPLES))
    am_TR, labels = whole(model, samples)
    emitted, seen = stream(model, samples, block)
    frames = torch.stack([am_R for _, am_R in seen])
    torch.testing.assert_close(frames, am_TR, atol=1e-5, rtol=1e-5)
    assert [label for label, _ in emitted] == labels


def test_no_frame_waits_longer_than_the_stated_latency_and_one_nearly_does(tmp_path):
    model = saved_model(tmp_path, {"chunk_size": 5}).model
    samples = torch.from_numpy(noise(SAMPLES))
    recognizer = Recording(model)
    latency = recognizer.latency
    block = 40
    for first in range(0, len(samples), block):
        recognizer.push(samples[first : first + block])
    waits = [heard - 6 * 80 * t for t, (heard, _) in enumerate(recognizer.kept)]
    assert len(waits) > 10
    # it counts from the end of the frame's own samples
    assert max(waits) <= latency.samples + block
    assert max(waits) > latency.samples - 6 * 80
    assert latency.window_frames == 5 and latency.attention_frames == 2


def test_labels_come_while_the_stream_goes_on(tmp_path):
    model = saved_model(tmp_path, {"chunk_size": 5}).model
    recognizer = StreamingRecognizer(model)
    samples = torch.from_numpy(noise(SAMPLES))
    early = recognizer.push(samples[: SAMPLES // 2])
    assert early and len(early) < len(whole(model, samples)[1])


def test_a_recognizer_can_be_used_again_after_the_end(tmp_path):
    model = saved_model(tmp_path, {"chunk_size": 5}).model
    samples = torch.from_numpy(noise(SAMPLES))
    recognizer = StreamingRecognizer(model)
    first = recognizer.push(samples) + recognizer.finish()
    again = recognizer.push(samples) + recognizer.finish()
    assert first == again
    assert recognizer.finish() == []  # a stream without samples


def test_parts_that_need_the_whole_utterance_are_named(tmp_path, transducer):
    with pytest.raises(OptionError, match="StagedConformerEncoder needs the whole"):
        StreamingRecognizer(transducer.model)
    blstm = {"frontend": {"type": "blstm", "hidden_size": 3}, "chunk_size": 5}
    model = saved_model(tmp_path, blstm).model
    with pytest.raises(OptionError, match="BLSTM in front"):
        StreamingRecognizer(model)
    utterance = {"normalize": "utterance_mvn"}
    model = saved_model(tmp_path, {"chunk_size": 5}, **utterance).model
    with pytest.raises(OptionError, match="UtteranceMVN"):
        StreamingRecognizer(model)


@pytest.mark.parametrize("block", [1, 2, 7, 100])
def test_a_local_operation_runs_in_pieces(block):
    """Sums over inputs 2j - 2 .. 2j + 3, zeros outside, against a loop."""

    def operation(x):
        padded = torch.nn.functional.pad(x, (2, 4))
        return padded.unfold(1, 6, 2).sum(2)[:, : -(-x.size(1) // 2)]

    inputs = torch.arange(25.0).unsqueeze(0)
    part = Blockwise(operation, 2, 1, 1)
    outputs = [part.push(inputs[:, n : n + block]) for n in range(0, 25, block)]
    found = torch.cat([x for x in [*outputs, part.finish()] if x.numel()], 1)[0]
    values = [*range(25)]
    expected = [
        sum(values[i] for i in range(2 * j - 2, 2 * j + 4) if 0 <= i < 25)
        for j in range(13)
    ]
    assert found.tolist() == expected
