"""Parameters of original RETURNN models for our models.

Each rule names an original parameter, ours, and how the array is rearranged: RETURNN
stores Linear weights as [in, out], convolutions as [height, width, in, out], and LSTM
gates in the order cell-in, input, forget, output.

Source: reference/parity/README.md "common conventions"; reference/models.md section 0.
"""

# Dimensions: K labels without blank, V = K + 1
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Union

import numpy as np
import torch

from espnet_ext.errors import FormatError, MissingInputError

Arrays = Dict[str, np.ndarray]
PARAMETER_PREFIX = "param:"
NAME_SUFFIX = "/param"
# gate g of ours is block GATE_ORDER[g] of the original
GATE_ORDER = (1, 2, 0, 3)


class Rule(NamedTuple):
    """One original parameter, its name in our model, and its rearrangement."""

    original: str
    ours: str
    rearrange: Callable[[np.ndarray], np.ndarray]


def read_npz(path: Union[str, Path]) -> Arrays:
    """All arrays of an .npz file; pickled objects are refused.

    Raises:
        MissingInputError: No such file.
        FormatError: Not an .npz file of plain arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise MissingInputError("array file not found", where=path) from None
    except (ValueError, OSError, EOFError) as error:
        raise FormatError(
            f"cannot be read as arrays ({error})", where=path, expected="an .npz file"
        ) from None


def parameters_of(arrays: Arrays, kind: str = PARAMETER_PREFIX) -> Arrays:
    """Entries ``param:NAME/param`` (or ``grad:``) by their plain NAME.

    A file without any such prefix is taken as NAME -> array already.
    """
    if not any(name.startswith(PARAMETER_PREFIX) for name in arrays):
        return {n.removesuffix(NAME_SUFFIX): array for n, array in arrays.items()}
    return {
        name[len(kind) :].removesuffix(NAME_SUFFIX): arrays[name]
        for name in arrays
        if name.startswith(kind)
    }


def label_ids(num_labels: int, bos: Optional[int] = None) -> np.ndarray:
    """Our token id of each original label: blank is 0, BOS becomes the last one.

    Args:
        num_labels: K; original labels are 0 .. K - 1 and its blank is K.
        bos: Original label that serves as BOS; the last one by default.
    """
    bos = num_labels - 1 if bos is None else bos
    others = [label for label in range(num_labels) if label != bos]
    ids = np.zeros(num_labels, dtype=np.int64)
    ids[others] = np.arange(1, num_labels)
    ids[bos] = num_labels
    return ids


def transpose(array: np.ndarray) -> np.ndarray:
    """Linear weight [in, out] to [out, in]."""
    return array.T


def convolution(array: np.ndarray) -> np.ndarray:
    """Filter [height, width, in, out] to [out, in, height, width]."""
    return array.transpose(3, 2, 0, 1)


def depthwise(array: np.ndarray) -> np.ndarray:
    """Filter [width, 1, features] to [features, 1, width]."""
    return array.transpose(2, 1, 0)


def gates(array: np.ndarray) -> np.ndarray:
    """Gate blocks of the last axis in our order, that axis first."""
    blocks = np.split(array, 4, axis=-1)
    return np.concatenate([blocks[g] for g in GATE_ORDER], axis=-1).T


def same(array: np.ndarray) -> np.ndarray:
    return array


def label_rows(ids_K: np.ndarray, extra_rows: int, axis: int):
    """Put the entries of original label k at our row ids[k] - 1 + extra_rows."""

    def rearrange(array: np.ndarray) -> np.ndarray:
        rows = np.moveaxis(array, axis, 0)
        result = np.zeros((len(rows) + extra_rows, *rows.shape[1:]), array.dtype)
        result[ids_K - 1 + extra_rows] = rows
        return result

    return rearrange


def lstm_rules(original: str, ours: str) -> List[Rule]:
    """Rules of one LSTM direction."""
    return [
        Rule(f"{original}/param_W", f"{ours}.weight_ih", gates),
        Rule(f"{original}/param_W_re", f"{ours}.weight_hh", gates),
        Rule(f"{original}/param_b", f"{ours}.bias", gates),
    ]


def zoneout_rules(original: str, ours: str, input_size: int) -> List[Rule]:
    """Rules of TensorFlow's LSTMCell: one kernel, gates input, cell-in, forget, output.

    Its forget bias of 1 is added in the cell, in ours as well.
    """

    def reordered(array: np.ndarray) -> np.ndarray:
        i, j, f, o = np.split(array, 4, axis=-1)
        return np.concatenate([i, f, j, o], axis=-1).T

    kernel = f"{original}/param_kernel"
    return [
        Rule(kernel, f"{ours}.weight_ih", lambda a: reordered(a[:input_size])),
        Rule(kernel, f"{ours}.weight_hh", lambda a: reordered(a[input_size:])),
        Rule(f"{original}/param_bias", f"{ours}.bias", reordered),
    ]


def class_rows(ids_K: np.ndarray, axis: int):
    """Entries of [labels, blank] in our order: blank first, then by our ids."""

    def rearrange(array: np.ndarray) -> np.ndarray:
        rows = np.moveaxis(array, axis, 0)
        result = np.empty_like(rows)
        result[0] = rows[-1]
        result[ids_K] = rows[:-1]
        return result

    return rearrange


def linear_rules(original: str, ours: str, bias: bool = True) -> List[Rule]:
    """Rules of one Linear layer."""
    rules = [Rule(f"{original}/weight", f"{ours}.weight", transpose)]
    if bias:
        rules.append(Rule(f"{original}/bias", f"{ours}.bias", same))
    return rules


def apply_rules(arrays: Arrays, rules: List[Rule], partial: bool = False) -> Arrays:
    """Our name -> rearranged array.

    Args:
        arrays: Original NAME -> array.
        rules: One for each original parameter.
        partial: Rules without an array are passed over (gradients of parameters that
            are not connected).

    Raises:
        FormatError: Arrays that no rule uses, or rules without their array.
    """
    wanted = {rule.original for rule in rules}
    unused = sorted(set(arrays) - wanted)
    missing = [] if partial else sorted(wanted - set(arrays))
    if unused or missing:
        raise FormatError(
            "parameters do not fit the experiment: "
            f"unused {unused or 'none'}, missing {missing or 'none'}",
            next_step="check that --experiment names the experiment the file is of",
        )
    return {
        rule.ours: _rearranged(rule, arrays[rule.original])
        for rule in rules
        if rule.original in arrays
    }


def _rearranged(rule: Rule, array: np.ndarray) -> np.ndarray:
    try:
        return np.ascontiguousarray(rule.rearrange(array))
    except (ValueError, IndexError) as error:
        raise FormatError(
            f"parameter {rule.original} has shape {list(array.shape)} ({error})",
            next_step="check that --experiment names the experiment the file is of",
        ) from None


def load_parameters(
    model: torch.nn.Module, arrays: Arrays, rules: List[Rule]
) -> List[str]:
    """Copy original parameters into ``model``, strictly.

    Returns:
        The names of our parameters that were set (all of them).

    Raises:
        FormatError: Names or shapes do not fit, naming all of them.
    """
    ours = apply_rules(arrays, rules)
    parameters = dict(model.named_parameters())
    # statistics of BatchNorm are buffers; the others are our own bookkeeping
    parameters.update(
        (name, buffer)
        for name, buffer in model.named_buffers()
        if name.endswith(("running_mean", "running_var"))
    )
    problems = [f"{name} is not set" for name in sorted(set(parameters) - set(ours))]
    for name, array in ours.items():
        if name not in parameters:
            problems.append(f"{name} does not exist in the model")
        elif tuple(parameters[name].shape) != array.shape:
            problems.append(
                f"{name}: file {array.shape}, model {tuple(parameters[name].shape)}"
            )
    if problems:
        raise FormatError("parameters do not fit the model: " + "; ".join(problems))
    with torch.no_grad():
        for name, array in ours.items():
            parameters[name].copy_(torch.from_numpy(array))
    return sorted(ours)
