"""Compares our models with arrays that the original program produced."""

# Dimensions: B batch, T encoder frames, S label positions, K beam, V vocabulary
import re
from typing import Iterator, List, NamedTuple

import numpy as np
import torch

from espnet_ext.asr.search.time_sync import TimeSyncSearch
from espnet_ext.errors import FormatError
from espnet_ext.interop.reference_models import ReferenceModel
from espnet_ext.interop.returnn import Arrays, apply_rules, parameters_of

VALUE_LIMIT = 1e-4
GRADIENT_LIMIT = 1e-3


class Comparison(NamedTuple):
    """One compared quantity: largest difference relative to the largest value."""

    name: str
    error: float
    limit: float

    @property
    def passed(self) -> bool:
        """False as well when the error is not a number."""
        return self.error <= self.limit


def relative_error(ours: np.ndarray, original: np.ndarray) -> float:
    """max |ours - original| / max |original|; inf where shapes differ.

    A gradient that is zero everywhere is compared absolutely.
    """
    if ours.shape != original.shape:
        return float("inf")
    if original.size == 0:
        return 0.0
    scale = float(np.abs(original).max())
    difference = float(np.abs(ours.astype(np.float64) - original).max())
    return difference / scale if scale > 0.0 else difference


def _single(arrays: Arrays, pattern: str) -> str:
    names = [name for name in arrays if re.fullmatch(pattern, name)]
    if len(names) != 1:
        raise FormatError(
            f"{len(names)} arrays match {pattern}: {names}", expected="exactly one"
        )
    return names[0]


def _to_our_labels(labels: np.ndarray, reference: ReferenceModel) -> torch.Tensor:
    return torch.from_numpy(reference.label_ids_K[labels])


def _to_original_order(log_probs: np.ndarray, ids_K: np.ndarray) -> np.ndarray:
    """[..., V] with blank first to the original's labels first, blank last."""
    return np.concatenate([log_probs[..., ids_K], log_probs[..., :1]], axis=-1)


def compare_forward_backward(
    reference: ReferenceModel, arrays: Arrays
) -> Iterator[Comparison]:
    """Encoder output, log-probabilities, losses per sequence, and all gradients."""
    model = reference.model
    data = torch.from_numpy(arrays["in:data"])
    data_lens = torch.from_numpy(arrays["in:data_len"]).long()
    labels = _to_our_labels(arrays["in:targets"], reference)
    label_lens = torch.from_numpy(arrays["in:targets_len"]).long()

    frames, frame_lens = model.encode_frames(data, data_lens)
    name = _single(arrays, r"out:model_encoder.*")
    original_lens = arrays[f"size:{name[4:]}:1"]
    yield Comparison(
        "encoder lengths",
        float(np.abs(frame_lens.numpy() - original_lens).max()),
        0.0,
    )
    valid = np.arange(frames.size(1))[None] < original_lens[:, None]
    yield Comparison(
        "encoder output",
        relative_error(frames.detach().numpy()[valid], arrays[name][valid]),
        VALUE_LIMIT,
    )

    am = model.joint_network.project_frames(frames, frame_lens)
    lm = model.decoder(torch.nn.functional.pad(labels, (1, 0)))
    log_probs = model.joint_network(am.unsqueeze(2), lm.unsqueeze(1)).detach().numpy()
    log_probs = _to_original_order(log_probs, reference.label_ids_K)
    original = arrays[_single(arrays, r"out:model_ProbsFromReadout.*")]
    positions = np.arange(log_probs.shape[2]) <= label_lens.numpy()[:, None]
    nodes = valid[:, :, None] & positions[:, None, :]
    yield Comparison(
        "log-probabilities",
        relative_error(log_probs[nodes], original[nodes]),
        VALUE_LIMIT,
    )

    nll = model.transducer_nll(am, frame_lens, labels, label_lens)
    yield Comparison(
        "full-sum loss of each sequence",
        relative_error(nll.detach().numpy(), arrays["out:full_sum"]),
        VALUE_LIMIT,
    )
    model.zero_grad()
    nll.sum().backward()
    yield from _compare_gradients(reference, arrays)


def _compare_gradients(reference: ReferenceModel, arrays: Arrays):
    expected = apply_rules(
        parameters_of(arrays, "grad:"), reference.rules, partial=True
    )
    ours = {
        name: parameter.grad.numpy()
        for name, parameter in reference.model.named_parameters()
        if parameter.grad is not None
    }
    for name in sorted(set(ours) ^ set(expected)):
        yield Comparison(f"gradient {name} (only on one side)", np.inf, 0.0)
    for name in sorted(set(ours) & set(expected)):
        yield Comparison(
            f"gradient {name}",
            relative_error(ours[name], expected[name]),
            GRADIENT_LIMIT,
        )


def _compare_beam(
    name: str, search: TimeSyncSearch, am_TR, labels_KT, scores_K, reference, length
) -> Iterator[Comparison]:
    entries = search(am_TR)
    original_ids = np.empty(len(reference.label_ids_K) + 1, dtype=np.int64)
    original_ids[reference.label_ids_K] = np.arange(len(reference.label_ids_K))
    original_ids[0] = len(reference.label_ids_K)
    ours = original_ids[np.array([entry.symbols[:length] for entry in entries])]
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


def compare_beams(reference: ReferenceModel, arrays: Arrays) -> Iterator[Comparison]:
    """All beams of the file, with the search behaviour of the 2022 experiments.

    ``singleB`` arrays are utterances alone; the others one padded batch, where the
    original makes one more step, on the first padded frame, for all but the longest
    (corrections.md 1). The symbol of that extra step is not compared.
    """
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


def compare(reference: ReferenceModel, arrays: Arrays) -> List[Comparison]:
    """Everything the file holds, recognised by its content.

    Raises:
        FormatError: The file holds neither gradients nor beams.
    """
    if any(name.endswith(":labels") for name in arrays):
        return list(compare_beams(reference, arrays))
    if any(name.startswith("grad:") for name in arrays):
        return list(compare_forward_backward(reference, arrays))
    raise FormatError(
        "neither gradients (grad:...) nor beams (beamK:labels) are in the file",
        expected="an array file as reference/parity/README.md describes",
    )
