"""The original's alignments, from its features and parameters through our aligner."""

import dataclasses

import numpy as np
import pytest

from espnet_ext.alignment.batches import Utterance
from espnet_ext.alignment.outputs import get_output
from espnet_ext.alignment.run import Aligner
from espnet_ext.alignment.store import AlignmentInfo
from espnet_ext.interop.parity import batch_of
from espnet_ext.interop.reference_models import build_reference_model
from espnet_ext.interop.returnn import read_npz
from tests.shared import shared_file

NAME = "orig_pre20bs5k_native_fixsepblanklast"


@pytest.mark.parametrize("name", ["orig_stage1", "orig_stage2", "orig_last"])
def test_sum_alpha_through_the_whole_model_gives_the_originals_alignment(name):
    arrays = read_npz(shared_file(f"reference/parity/{name}.npz"))
    reference = build_reference_model(NAME, arrays, None, None)
    speech, lengths, text, text_lengths = batch_of(arrays, reference)
    output = get_output(reference.model.eval())
    info = AlignmentInfo("rna", (), 0.06, method="sum_alpha", output=output.name)
    # features beyond the length count in the original, so they are given too
    utterances = [
        Utterance(str(b), speech[b].numpy(), text[b, :count].numpy())
        for b, count in enumerate(text_lengths.tolist())
    ]
    frames = output.frames
    output = dataclasses.replace(output, frames=lambda x, _: frames(x, lengths))
    found = Aligner(output, info).batch(utterances)
    ids = np.append(reference.label_ids_K, 0)  # the original's blank is last
    compared = 0
    for b, entry in enumerate(found):
        expected = ids[arrays["out:rna_alignment"][b, : entry.frames]]
        assert entry.symbols.tolist() == expected.tolist()
        compared += entry.frames
    assert compared > 30
