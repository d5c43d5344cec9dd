"""Compares beams with those of the original's search.

Source: reference/parity/README.md "Beam search"; reference/corrections.md 1.
"""

# Dimensions: K beam, T encoder frames, R readout
import re
from typing import Iterator

import numpy as np
import torch

from espnet_ext.asr.search.time_sync import TimeSyncSearch
from espnet_ext.interop.comparison import VALUE_LIMIT, Comparison, relative_error
from espnet_ext.interop.parity_file import ParityFile


def _compare_beam(
    name: str, search: TimeSyncSearch, am_TR, labels_KT, scores_K, reference, length
) -> Iterator[Comparison]:
    entries = search(am_TR)
    ours = reference.original_ids_V()[
        np.array([entry.symbols[:length] for entry in entries])
    ]
    same = ours.shape == labels_KT[:, :length].shape
    different = np.inf
    if same:
        different = float((ours != labels_KT[:, :length]).sum())
    yield Comparison(f"{name} different symbols", different, 0.0)
    yield Comparison(
        f"{name} scores",
        relative_error(np.array([entry.score for entry in entries]), scores_K),
        VALUE_LIMIT,
    )


@torch.no_grad()
def _compare_frames(file: ParityFile, model) -> Iterator[Comparison]:
    """Encoder outputs, those of padded frames as well."""
    arrays = file.arrays
    data = torch.from_numpy(arrays["in:data"])
    data_lens = torch.from_numpy(arrays["in:data_len"]).long()
    for name in sorted(n for n in arrays if n.endswith("out:encoder")):
        single = re.match(r"single(\d+):", name)
        if single:
            row = int(single.group(1))
            length = data_lens[row : row + 1]
            frames, _ = model.encode_frames(data[row : row + 1, : int(length)], length)
            frames = frames[0]
        else:
            frames, _ = model.encode_frames(data, data_lens)
        error = relative_error(frames.numpy(), arrays[name])
        yield Comparison(name, error, VALUE_LIMIT)


def compare_beams(file: ParityFile) -> Iterator[Comparison]:
    """All beams of the file, with the search behaviour of the 2022 experiments.

    ``singleB`` arrays are utterances alone; the others one padded batch, where the
    original makes one more step, on the first padded frame, for all but the longest
    (corrections.md 1). The symbol of that extra step is not compared.
    """
    arrays, reference = file.arrays, file.reference()
    yield from _compare_frames(file, reference.model)
    data = torch.from_numpy(arrays["in:data"])
    data_lens = torch.from_numpy(arrays["in:data_len"]).long()
    batch_am, batch_lens = reference.model.encode(data, data_lens)
    with torch.no_grad():
        for name in sorted(n for n in arrays if n.endswith(":labels")):
            prefix = name.removesuffix(":labels")
            beam_size = int(re.search(r"beam(\d+)", prefix).group(1))
            search = TimeSyncSearch(
                reference.model.decoder, beam_size, recombination="none", bos="skip"
            )
            labels, scores = arrays[name], arrays[f"{prefix}:scores"]
            if f"{prefix}:len" in arrays:
                lengths = arrays[f"{prefix}:len"]
                ours = np.broadcast_to(batch_lens.numpy()[:, None], lengths.shape)
                error = relative_error(ours, lengths)
                yield Comparison(f"{prefix} lengths", error, 0.0)
            single = re.match(r"single(\d+):", prefix)
            if single:
                row = int(single.group(1))
                length = data_lens[row : row + 1]
                am, lens = reference.model.encode(
                    data[row : row + 1, : int(length)], length
                )
                yield from _compare_beam(
                    prefix, search, am[0], labels, scores, reference, int(lens)
                )
                continue
            for row, length in enumerate(batch_lens.tolist()):
                yield from _compare_beam(
                    f"{prefix} row {row}",
                    search,
                    batch_am[row, : length + 1],
                    labels[row],
                    scores[row],
                    reference,
                    length,
                )
