"""Compares beams of our searches with those of the original program.

Source: reference/parity/README.md "Beam search"; reference/corrections.md 1, 3, 5.
"""

# Dimensions: B batch, T encoder frames, K beam
import re
from typing import Iterator, List, NamedTuple

import numpy as np
import torch

from espnet_ext.asr.attention_model import AttentionModel
from espnet_ext.asr.ctc_model import CtcModel
from espnet_ext.asr.search.attention import AttentionSearch
from espnet_ext.asr.search.beam import BeamEntry
from espnet_ext.asr.search.ctc import FramewiseDecoder
from espnet_ext.asr.search.time_sync import TimeSyncSearch
from espnet_ext.errors import FormatError
from espnet_ext.interop.comparison import VALUE_LIMIT, Comparison, relative_error
from espnet_ext.interop.gates import fit_gate
from espnet_ext.interop.parity_file import ParityFile
from espnet_ext.interop.parity_input import features_at, require
from espnet_ext.interop.reference_models import ReferenceModel
from espnet_ext.interop.returnn import Arrays

VOCABULARY = "labels_vocab"
FLOOR = -1e30  # the original's score of a dead entry, before it is divided


class Beams(NamedTuple):
    """One set of beams of a file: where they are and how they were searched."""

    prefix: str  # before ":labels" and ":scores"
    size: int
    row: int  # of the only sequence that was searched, -1 for the batch
    recombined: bool


def beams_of(arrays: Arrays) -> List[Beams]:
    """All sets of beams, from names like ``single0:norecomb:beam12:labels``."""
    found = []
    for name in sorted(arrays):
        match = re.fullmatch(r"((?:single(\d+):)?(norecomb:)?beam(\d+)):labels", name)
        if match:
            prefix, row, norecomb, size = match.groups()
            number = -1 if row is None else int(row)
            found.append(Beams(prefix, int(size), number, norecomb is None))
    return found


def _search(reference: ReferenceModel, arrays: Arrays, beams: Beams):
    """The search of the experiment, in original mode."""
    model, decoder = reference.model, reference.model.decoder
    if isinstance(model, CtcModel):
        # as transducers; the last step of shorter sequences is on a padded frame
        decoder = FramewiseDecoder(model.vocab_size)
    if isinstance(model, AttentionModel):
        return AttentionSearch(decoder, beams.size, length_limit="batch")
    if reference.experiment.family != "orig":
        return TimeSyncSearch(
            decoder, beams.size, recombination="none", bos="skip", padded_step=True
        )
    tokens = [""] * (len(reference.label_ids_K) + 1)
    for number, text in zip(reference.label_ids_K, arrays[VOCABULARY]):
        tokens[number] = str(text)
    return TimeSyncSearch(
        decoder,
        beams.size,
        recombination="sum" if beams.recombined else "none",
        bos=int(reference.label_ids_K[0]),
        recombine_by="text",
        recombine_at_end="shorter",
        token_list=tokens,
        length_normalization=True,
    )


def _original_symbols(
    entries: List[BeamEntry], reference: ReferenceModel, steps: int
) -> np.ndarray:
    """[K, steps] in the original's ids, 0 after the end."""
    original_V = reference.original_ids_V()
    rows = np.zeros((len(entries), steps), dtype=np.int64)
    for row, entry in zip(rows, entries):
        symbols = original_V[entry.symbols[:steps]]
        row[: len(symbols)] = symbols
    return rows


def _compare(
    name: str, entries, labels_KT: np.ndarray, scores_K: np.ndarray, reference
) -> Iterator[Comparison]:
    alive_K = scores_K > FLOOR / 1e6
    labels_KT, scores_K = labels_KT[alive_K], scores_K[alive_K]
    ours = _original_symbols(entries, reference, labels_KT.shape[1])
    different = float("inf")
    if ours.shape == labels_KT.shape:
        different = float((ours != labels_KT).sum())
    yield Comparison(f"{name} different symbols", different, 0.0)
    scores = np.array([entry.score for entry in entries])
    yield Comparison(f"{name} scores", relative_error(scores, scores_K), VALUE_LIMIT)


def _label_counts(entries: List[BeamEntry], model: AttentionModel) -> np.ndarray:
    """Labels of each entry without the end."""
    ends = {0, model.decoder.sos}
    return np.array([sum(k not in ends for k in e.symbols) for e in entries])


def _stored(arrays: Arrays, beams: Beams, batch: int):
    """Labels and scores of a set: [K, T] and [K], of a batch [B, K, T] and [B, K]."""
    labels, scores = (f"{beams.prefix}:{kind}" for kind in ("labels", "scores"))
    leading = (beams.size,) if beams.row >= 0 else (batch, beams.size)
    right = arrays[labels].shape[:-1] == leading
    require(right, arrays, labels, f"{list(leading)} and steps")
    require(arrays[scores].shape == leading, arrays, scores, f"{list(leading)}")
    return arrays[labels], arrays[scores]


def _frame_error(arrays: Arrays, model, name: str) -> float:
    single = re.match(r"single(\d+):", name)
    row = int(single.group(1)) if single else -1
    frames = model.encode_frames(*_inputs(arrays, row))[0].numpy()
    return relative_error(frames[0] if single else frames, arrays[name])


def _compare_frames(file: ParityFile, model) -> Iterator[Comparison]:
    """Encoder outputs, those of padded frames as well."""
    arrays = file.arrays
    names = sorted(n for n in arrays if n.endswith("out:encoder"))
    if not names:
        return
    gate = fit_gate(model, lambda: _frame_error(arrays, model, names[0]))
    for name in names:
        error = _frame_error(arrays, model, name)
        yield Comparison(f"{name}{gate}", error, VALUE_LIMIT)


def _inputs(arrays: Arrays, row: int):
    """Features and lengths of a sequence alone, or (-1) of the batch."""
    data, lengths = features_at(arrays, "in:")
    if row < 0:
        return data, lengths
    if row >= len(data):
        raise FormatError(f"there is no sequence {row} in a batch of {len(data)}")
    return data[row : row + 1, : int(lengths[row])], lengths[row : row + 1]


@torch.no_grad()
def compare_beams(file: ParityFile) -> Iterator[Comparison]:
    """All beams of the file, with the search behaviour of the experiments.

    ``singleB`` arrays are utterances alone; the others one padded batch. Dead entries
    are compared in number only. The symbol of the extra step on a padded frame is not
    in the file. The gate of a Conformer's convolutions is that of the file, see
    ``gates``.
    """
    arrays, reference = file.arrays, file.reference()
    model = reference.model
    attention = isinstance(model, AttentionModel)
    yield from _compare_frames(file, model)
    for beams in beams_of(arrays):
        frames, lengths = model.encode(*_inputs(arrays, beams.row))
        if isinstance(model, CtcModel):
            frames = model.ctc.log_softmax(frames)
        found = _search(reference, arrays, beams)(frames, lengths)
        labels, scores = _stored(arrays, beams, len(found))
        if beams.row >= 0:
            yield from _compare(beams.prefix, found[0], labels, scores, reference)
            continue
        lens_name = f"{beams.prefix}:len"
        for row, entries in enumerate(found):
            name = f"{beams.prefix} row {row}"
            steps = labels.shape[2] if attention else int(lengths[row])
            if lens_name in arrays:
                original = arrays[lens_name]
                require(original.shape == scores.shape, arrays, lens_name, "as scores")
                ours = np.full_like(original[row], steps)
                if attention:
                    ours = _label_counts(entries, model)
                error = relative_error(ours, original[row])
                yield Comparison(f"{name} lengths", error, 0.0)
            yield from _compare(
                name, entries, labels[row, :, :steps], scores[row], reference
            )
