"""Compares what ``orig`` files hold beside losses: inner outputs and the alignment.

Source: reference/parity/README.md "orig_*"; reference/corrections.md 9.
"""

# Dimensions: B batch, T encoder frames, S label positions
from typing import Iterator

import numpy as np
import torch

from espnet_ext.asr.loss.viterbi import viterbi
from espnet_ext.interop.parity import (
    VALUE_LIMIT,
    Comparison,
    batch_of,
    relative_error,
)
from espnet_ext.interop.reference_models import ReferenceModel
from espnet_ext.interop.returnn import Arrays

ATTENTION = "out:output/att"
PREDICTION = "out:output/lm_masked"
ALIGNMENT = "out:rna_alignment"


@torch.no_grad()
def compare_inner(reference: ReferenceModel, arrays: Arrays) -> Iterator[Comparison]:
    """Window attention, prediction network, and the sum-alpha back-trace.

    Symbols of the alignment are counted where they differ.
    """
    if ATTENTION not in arrays:
        return
    model = reference.model
    data, data_lens, labels, label_lens = batch_of(arrays, reference)
    frames, frame_lens = model.encode_frames(data, data_lens)
    attended = model.joint_network.attention(frames, frame_lens).numpy()
    valid_BT = np.arange(frames.size(1)) < frame_lens.numpy()[:, None]
    yield Comparison(
        "window attention",
        relative_error(attended[valid_BT], arrays[ATTENTION][valid_BT]),
        VALUE_LIMIT,
    )
    inputs = torch.nn.functional.pad(labels, (1, 0))
    prediction, _ = model.decoder.lstm(model.decoder.embed(inputs))
    valid_BS = np.arange(inputs.size(1)) <= label_lens.numpy()[:, None]
    yield Comparison(
        "prediction network",
        relative_error(prediction.numpy()[valid_BS], arrays[PREDICTION][valid_BS]),
        VALUE_LIMIT,
    )
    if ALIGNMENT not in arrays:
        return
    am = model.joint_network.project_frames(frames, frame_lens)
    lm = model.decoder(inputs)
    log_probs = model.joint_network(am.unsqueeze(2), lm.unsqueeze(1))
    found = viterbi(log_probs, labels, frame_lens, label_lens, method="sum_alpha")
    original_ids = np.empty(len(reference.label_ids_K) + 1, dtype=np.int64)
    original_ids[reference.label_ids_K] = np.arange(len(reference.label_ids_K))
    original_ids[0] = len(reference.label_ids_K)
    ours = original_ids[found.symbols_BN.clamp(min=0).numpy()]
    different = (ours != arrays[ALIGNMENT])[valid_BT].sum()
    yield Comparison("alignment: different symbols", float(different), 0.0)
