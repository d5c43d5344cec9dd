"""Which models can be aligned with, and that their kind of training changes nothing."""

import torch

from espnet_ext.alignment.aligner import align_batch
from espnet_ext.alignment.outputs import get_output
from tests.inference.models import noise, saved_model


def aligned(model):
    """Symbols and score of one utterance of noise with two labels."""
    output = get_output(model)
    speech = torch.from_numpy(noise(8000)).unsqueeze(0)
    with torch.no_grad():
        frames, frame_lens = output.frames(speech, torch.tensor([8000]))
        lengths = torch.tensor([2])
        labels = torch.tensor([[1, 3]])
        arcs = output.arcs(frames, labels, lengths, frame_lens, output.topology, None)
        result = align_batch(arcs, labels, frame_lens, lengths, output.topology)
    return result.aligned[0]


def test_a_transducer_trained_framewise_aligns_as_one_trained_on_the_full_sum(tmp_path):
    full_sum = saved_model(tmp_path).model
    framewise = saved_model(tmp_path, model="framewise_transducer").model
    framewise.load_state_dict(full_sum.state_dict())
    ours, expected = aligned(framewise), aligned(full_sum)
    assert ours.symbols.tolist() == expected.symbols.tolist()
    assert [s for s in ours.symbols.tolist() if s] == [1, 3]
    assert ours.score == expected.score
