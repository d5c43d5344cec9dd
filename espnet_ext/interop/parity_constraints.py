"""Compares the weight decay term of a file, and the sum of its losses.

Source: reference/models.md (a), (b), (d.9); reference/parity/README.md "orig_*".
"""

from typing import Any, Iterator, Mapping, Tuple

import torch

from espnet_ext.interop.comparison import VALUE_LIMIT, Comparison, relative_error
from espnet_ext.interop.parity_file import ParityFile
from espnet_ext.layers.weight_noise import matrices

# beginning of our parameter's name -> which of the factors it has
PARTS: Tuple[Tuple[str, str], ...] = (
    ("encoder.conv_front.", "frontend"),
    ("encoder.frontend.", "frontend"),
    ("encoder.", "encoder"),
    ("decoder.joint_network.attention.key.", "attention_key"),
    ("decoder.joint_network.attention.query.", "attention_query"),
    ("decoder.joint_network.readout_", "readout"),
    ("decoder.embedding", "prediction_network"),
    ("decoder.lstm.", "prediction_network"),
)


# where ``encoder_parameters: weights`` leaves biases, norms and convolutions out
WEIGHTS_ALONE = ("encoder", "attention_key")


def weight_decay(model: torch.nn.Module, factors: Mapping[str, Any]) -> float:
    """Sum over all parameters of their factor times the sum of their squares.

    The original counts running statistics of batch normalisation as parameters
    (corrections.md 7).
    """
    chosen = {name for name, _ in matrices(model)}
    only_weights = factors.get("encoder_parameters") == "weights"
    statistics = [
        (name, buffer)
        for name, buffer in model.named_buffers()
        if name.endswith(("running_mean", "running_var"))
    ]
    total = 0.0
    for name, parameter in [*model.named_parameters(), *statistics]:
        part = next((part for start, part in PARTS if name.startswith(start)), None)
        if only_weights and part in WEIGHTS_ALONE and name not in chosen:
            continue
        factor = factors.get(part) or 0.0
        total += factor * float(parameter.detach().double().square().sum())
    return total


def compare_constraints(file: ParityFile) -> Iterator[Comparison]:
    """The weight decay term; ``total_loss`` is the sum of the losses without it."""
    reference = file.reference()
    factors = reference.experiment.resolved.get("model_conf.l2")
    ours = weight_decay(reference.model, factors)
    error = relative_error(ours, file.arrays["constraints"])
    yield Comparison("weight decay", error, VALUE_LIMIT)
    if "total_loss" in file.arrays:
        losses = [file.arrays[n] for n in file.arrays if n.startswith("loss:")]
        error = relative_error(sum(losses), file.arrays["total_loss"])
        yield Comparison("total_loss, the sum of the losses", error, VALUE_LIMIT)
