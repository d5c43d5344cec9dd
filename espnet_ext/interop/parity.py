"""Compares our models with arrays that the original program produced."""

# Dimensions: B batch, T encoder frames, S label positions, K labels, V vocabulary
import logging
import re
from typing import Dict, Iterator, Optional, Sequence

import numpy as np
import torch

from espnet_ext.asr.attention_model import AttentionModel
from espnet_ext.asr.ctc_model import CtcModel
from espnet_ext.asr.decoder.mlp_attention import MlpAttentionDecoder
from espnet_ext.asr.transducer_model import TransducerModel
from espnet_ext.errors import FormatError
from espnet_ext.interop.comparison import (
    GRADIENT_LIMIT,
    VALUE_LIMIT,
    Comparison,
    error_inside,
    relative_error,
)
from espnet_ext.interop.gates import fit_gate
from espnet_ext.interop.parity_file import ParityFile
from espnet_ext.interop.parity_input import features_at, labels_at
from espnet_ext.interop.reference_models import ReferenceModel
from espnet_ext.interop.returnn import Arrays, apply_rules, parameters_of
from espnet_ext.interop.without_dropout import disable_dropout

# returnn_common and raw network experiments
LOG_PROBS = r"out:(model_ProbsFromReadout.*|output/output_log_prob)"
LOSSES = {
    "full_sum": "full_sum",
    "output/output_prob": "full_sum",
    "ce": "ce",
    "ctc": "ctc",
}
BY_LABEL = ("ce", "output/lm_masked")  # first axis after the batch: label positions
CONTRADICTION = " (the file's own encoder output and parameters give another value)"


def _single(arrays: Arrays, pattern: str) -> str:
    names = [name for name in arrays if re.fullmatch(pattern, name)]
    if len(names) != 1:
        raise FormatError(
            f"{len(names)} arrays match {pattern}: {names}", expected="exactly one"
        )
    return names[0]


def _to_original_order(log_probs: np.ndarray, ids_K: np.ndarray) -> np.ndarray:
    """[..., V] with blank first to the original's labels first, blank last."""
    return np.concatenate([log_probs[..., ids_K], log_probs[..., :1]], axis=-1)


def batch_of(arrays: Arrays, reference: ReferenceModel, prefix: str = ""):
    """Features, their lengths, our labels and their lengths."""
    data, data_lens = features_at(arrays, f"{prefix}in:")
    ids_K = reference.label_ids_K
    targets, lens = labels_at(arrays, f"{prefix}in:", len(data), len(ids_K))
    return data, data_lens, torch.from_numpy(ids_K[targets]), lens


def _encoder_array(arrays: Arrays, prefix: str, size: int) -> Optional[str]:
    """Name of the encoder's output: three axes, the last of the encoder's size."""
    start = f"{prefix}out:"
    names = [
        name
        for name, array in arrays.items()
        if name.startswith(start)
        and ("enc" in name or "cond" in name)
        and array.ndim == 3
        and array.shape[-1] == size
    ]
    if len(names) > 1:  # its lengths are stored as well
        sized = [n for n in names if f"{prefix}size:{n[len(start):]}:1" in arrays]
        names = sized or names
    if len(names) > 1:
        raise FormatError(
            f"{len(names)} arrays look like the encoder's output: {names}",
            expected=f"one {prefix}out:...enc... of dimension {size}",
        )
    return names[0] if names else None


def compare_losses(
    reference: ReferenceModel, arrays: Arrays, prefix: str = "", warn: bool = False
) -> Iterator[Comparison]:
    """Encoder output, log-probabilities and losses per sequence; then all gradients.

    Args:
        reference: Its mode (training or evaluation) is left as it is.
        arrays: Content of the file.
        prefix: Of the names of this batch, ``set_a:`` for example.
        warn: Name our losses that the file does not have.
    """
    model = reference.model
    has_labels = f"{prefix}in:targets" in arrays
    data, data_lens = features_at(arrays, f"{prefix}in:")
    if has_labels:
        _, _, labels, label_lens = batch_of(arrays, reference, prefix)
    model.zero_grad()
    if (
        isinstance(model, AttentionModel)
        and "grad:s_transformed/weight/param" not in arrays
    ):
        _cut_the_decoder_loop(model.decoder)
    frames, frame_lens, outputs = model.encode_with_heads(data, data_lens)
    name = _encoder_array(arrays, prefix, frames.size(2))
    axes = {"frames": frame_lens}
    if has_labels:
        axes["labels"] = label_lens + 1
    yield from _compare_sizes(arrays, prefix, axes)
    if name is not None:
        valid = np.arange(frames.size(1))[None] < frame_lens.numpy()[:, None]
        error = error_inside(frames.detach().numpy(), arrays[name], valid)
        yield Comparison(f"{prefix}encoder output", error, VALUE_LIMIT)
    if not has_labels:
        return
    losses = {}
    batch = (frame_lens, labels, label_lens)
    if isinstance(model, TransducerModel):
        am = model.joint_network.project_frames(frames, frame_lens)
        yield from _compare_log_probs(reference, arrays, prefix, am, batch)
        losses["full_sum"] = model.transducer_nll(am, *batch)
    elif isinstance(model, AttentionModel):
        losses["ce"] = model.cross_entropy(frames, *batch)
    elif isinstance(model, CtcModel):
        losses["ctc"] = model.top_nll(frames, *batch)
    for number, nll in model.aux_ctc_nll(outputs, *batch).items():
        losses[f"ctc_{number}"] = nll
    start = f"{prefix}out:"
    originals = _loss_arrays(arrays, prefix, losses)
    for loss in sorted(set(losses) - set(originals)) if warn else ():
        logging.warning(f"{prefix}{loss} is not in the file, and so not compared")
    for loss in sorted(set(originals) - set(losses)):
        yield Comparison(f"{prefix}{loss} (only in the file)", np.inf, 0.0)
    for loss in sorted(set(originals) & set(losses)):
        array = originals[loss]
        if array in arrays:
            ours = losses[loss].detach().numpy()
            error = relative_error(ours, _valid_positions(arrays[array], label_lens))
            comparison = Comparison(
                f"{prefix}{loss} of each sequence", error, VALUE_LIMIT
            )
            if not comparison.passed and _contradicts(
                model, arrays, name, array, loss, batch
            ):
                comparison = comparison._replace(name=comparison.name + CONTRADICTION)
            yield comparison
        total = f"{prefix}loss:{array.removeprefix(start)}"
        if total in arrays:
            ours = losses[loss].detach().double().sum().numpy()
            error = relative_error(ours, arrays[total])
            yield Comparison(f"{prefix}{loss} of the batch", error, VALUE_LIMIT)
    if any(name.startswith("grad:") for name in arrays):
        sum(nll.sum() for nll in losses.values()).backward()
        yield from _compare_gradients(reference, arrays)


def _loss_arrays(arrays: Arrays, prefix: str, ours) -> Dict[str, str]:
    """Array of each loss by our name for it; a name of its own is the main loss's.

    A file may have the sum over the sequences (``loss:``), each sequence's (``out:``),
    or both.
    """
    found, others = {}, []
    for kind in ("loss", "out"):
        start = f"{prefix}{kind}:"
        for name in arrays:
            if not name.startswith(start):
                continue
            loss = name.removeprefix(start)
            if loss in LOSSES or re.fullmatch(r"ctc_\d+", loss):
                found[LOSSES.get(loss, loss)] = f"{prefix}out:{loss}"
            elif kind == "loss":
                others.append(loss)
    missing = sorted(set(ours) - set(found))
    for loss in others:
        name = missing.pop() if len(others) == len(missing) == 1 else loss
        found[name] = f"{prefix}out:{loss}"
    return found


def _compare_sizes(
    arrays: Arrays, prefix: str, axes: Dict[str, torch.Tensor]
) -> Iterator[Comparison]:
    """Lengths of all axes: encoder frames, or labels and one more."""
    for name in sorted(n for n in arrays if n.startswith(f"{prefix}size:")):
        output, axis = name.removeprefix(f"{prefix}size:").rsplit(":", 1)
        kind = "labels" if axis == "2" or output in BY_LABEL else "frames"
        if kind not in axes:
            continue
        ours, original = axes[kind].numpy(), arrays[name]
        error = np.inf
        if ours.shape == original.shape:
            error = float(np.abs(ours - original).max(initial=0))
        yield Comparison(f"{name} (lengths)", error, 0.0)


def _cut_the_decoder_loop(decoder: MlpAttentionDecoder) -> None:
    """No gradient through LSTM state and attention, as in a file without theirs.

    The original's gradients of attention models were dumped behind the decoder's loop:
    what the readout gets out of the loop is a constant there.
    """

    def cut(_, arguments):
        hidden_size = decoder.lstm.hidden_size
        embedding_size = decoder.embedding.size(1)
        sizes = (hidden_size, embedding_size, decoder.encoder_size)
        hidden, embedded, context = arguments[0].split(sizes, dim=1)
        return torch.cat([hidden.detach(), embedded, context.detach()], dim=1)

    decoder.readout.register_forward_pre_hook(cut)


def _valid_positions(loss: np.ndarray, label_lens: torch.Tensor) -> np.ndarray:
    """Losses per label position with zeros after the end; others as they are."""
    if loss.ndim != 2 or len(loss) != len(label_lens):
        return loss
    return loss * (np.arange(loss.shape[1]) <= label_lens.numpy()[:, None])


def _contradicts(model, arrays, encoder_array, loss_array, loss, batch) -> bool:
    """Whether a CTC loss of the file is not that of its own encoder output.

    The original's CTC operation is not deterministic where a network has several such
    losses; the value can then not be had from the arrays beside it.
    """
    number = loss.removeprefix("ctc_")
    top = str(model.encoder.stage.layers) if hasattr(model.encoder, "stage") else ""
    if number != top or encoder_array is None:
        return False
    frames = torch.from_numpy(arrays[encoder_array]).float()
    # each head gets these frames; the top one's loss is looked at
    outputs = [(layer, frames) for layer in model.ctc_heads.layers]
    own = model.aux_ctc_nll(outputs, *batch)[int(top)]
    error = relative_error(own.detach().numpy(), arrays[loss_array])
    return error > VALUE_LIMIT


def _compare_log_probs(reference, arrays, prefix, am, batch) -> Iterator[Comparison]:
    """Log-probabilities of all nodes of the lattice, where the file has them."""
    pattern = re.escape(prefix) + LOG_PROBS
    if not any(re.fullmatch(pattern, name) for name in arrays):
        return
    frame_lens, labels, label_lens = batch
    model = reference.model
    with torch.no_grad():
        lm = model.decoder(torch.nn.functional.pad(labels, (1, 0)))
        log_probs = model.joint_network(am.unsqueeze(2), lm.unsqueeze(1)).numpy()
    log_probs = _to_original_order(log_probs, reference.label_ids_K)
    original = arrays[_single(arrays, pattern)]
    frames = np.arange(log_probs.shape[1]) < frame_lens.numpy()[:, None]
    positions = np.arange(log_probs.shape[2]) <= label_lens.numpy()[:, None]
    nodes = frames[:, :, None] & positions[:, None, :]
    error = error_inside(log_probs, original, nodes)
    yield Comparison(f"{prefix}log-probabilities", error, VALUE_LIMIT)


def _compare_gradients(reference: ReferenceModel, arrays: Arrays):
    expected = apply_rules(
        parameters_of(arrays, "grad:"), reference.rules, partial=True
    )
    ours = {
        name: parameter.grad.numpy()
        for name, parameter in reference.model.named_parameters()
        if parameter.grad is not None
        # what is not connected has no entry in the file
        and (name in expected or bool(parameter.grad.any()))
    }
    for name in sorted(set(ours) ^ set(expected)):
        yield Comparison(f"gradient {name} (only on one side)", np.inf, 0.0)
    for name in sorted(set(ours) & set(expected)):
        yield Comparison(
            f"gradient {name}",
            relative_error(ours[name], expected[name]),
            GRADIENT_LIMIT,
        )


def _with_fitting_gate(
    reference: ReferenceModel, arrays: Arrays, prefixes: Sequence[str]
) -> Iterator[Comparison]:
    """Comparisons of batches with the gate that the file's first one had, see gates."""

    def error() -> float:
        found = list(compare_losses(reference, arrays, prefixes[0]))
        encoder = [c for c in found if c.name.endswith("encoder output")]
        return max((c.error for c in encoder or found), default=0.0)

    gate = fit_gate(reference.model, error)
    for prefix in prefixes:
        for comparison in compare_losses(reference, arrays, prefix, warn=True):
            yield comparison._replace(name=f"{comparison.name}{gate}")


def compare_batch(file: ParityFile) -> Iterator[Comparison]:
    """The batch of the file in evaluation mode."""
    yield from _with_fitting_gate(file.reference(), file.arrays, [""])


def compare_training(file: ParityFile) -> Iterator[Comparison]:
    """Batches of the file in training mode (chunking), all dropouts zero."""
    reference = file.reference()
    disable_dropout(reference.model.train())
    inputs = sorted(name for name in file.arrays if name.endswith(":in:data"))
    prefixes = [name.removesuffix("in:data") for name in inputs]
    yield from _with_fitting_gate(reference, file.arrays, prefixes)
