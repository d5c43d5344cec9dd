"""Compares what ``orig`` files hold beside losses: inner outputs and the alignment.

Source: reference/parity/README.md "orig_*"; reference/corrections.md 9.
"""

# Dimensions: B batch, T encoder frames, S label positions
from typing import Iterator

import numpy as np
import torch

from espnet_ext.asr.joint.maxout_readout import maxout
from espnet_ext.asr.loss.viterbi import viterbi
from espnet_ext.interop.comparison import VALUE_LIMIT, Comparison, error_inside
from espnet_ext.interop.parity import batch_of
from espnet_ext.interop.parity_file import ParityFile

ALIGNMENT = "out:rna_alignment"


@torch.no_grad()
def compare_inner(file: ParityFile) -> Iterator[Comparison]:
    """Window attention, prediction network, readout, and the sum-alpha back-trace.

    Symbols of the alignment are counted where they differ.
    """
    arrays, reference = file.arrays, file.reference()
    model = reference.model
    data, data_lens, labels, label_lens = batch_of(arrays, reference)
    frames, frame_lens = model.encode_frames(data, data_lens)
    inputs = torch.nn.functional.pad(labels, (1, 0))
    prediction, _ = model.decoder.lstm(model.decoder.embed(inputs))
    am = model.joint_network.project_frames(frames, frame_lens)
    lm = model.joint_network.project_prediction(prediction)
    valid_BT = np.arange(frames.size(1)) < frame_lens.numpy()[:, None]
    valid_BS = np.arange(inputs.size(1)) <= label_lens.numpy()[:, None]
    ours = {
        "att": (model.joint_network.attention(frames, frame_lens), valid_BT),
        "lm_masked": (prediction, valid_BS),
        "readout": (
            maxout(am.unsqueeze(2) + lm.unsqueeze(1)),
            valid_BT[:, :, None] & valid_BS[:, None],
        ),
    }
    for name, (output, valid) in ours.items():
        array = f"out:output/{name}"
        if array in arrays:
            error = error_inside(output.numpy(), arrays[array], valid)
            yield Comparison(array, error, VALUE_LIMIT)
    if ALIGNMENT in arrays:
        log_probs = model.joint_network(am.unsqueeze(2), lm.unsqueeze(1))
        found = viterbi(log_probs, labels, frame_lens, label_lens, method="sum_alpha")
        symbols = reference.original_ids_V()[found.symbols_BN.clamp(min=0).numpy()]
        original = arrays[ALIGNMENT]
        different = np.inf
        if original.shape == symbols.shape:
            different = float((symbols != original)[valid_BT].sum())
        yield Comparison("alignment: different symbols", different, 0.0)
