"""Which gate the convolution modules of a file's Conformer had.

In some of the original's graphs (chunked training, the search of attention models) both
halves of the gated linear unit were the second one: b sigmoid(b) in the place of
a sigmoid(b). The same experiment's plain training graph had the proper one, so the
encoder output in the file has to say which it was.

Source: the arrays themselves; reference/models.md d.2 has the proper gate only.
"""

from typing import Callable

import torch
import torch.nn.functional as F

from espnet_ext.asr.encoder.conformer_parts import ConvolutionModule, second_half_gate

PROPER = "gated linear unit"
GATES = {PROPER: F.glu, "second half gates itself": second_half_gate}


def use_gate(model: torch.nn.Module, name: str) -> None:
    """Let all convolution modules of the model have this gate."""
    for module in model.modules():
        if isinstance(module, ConvolutionModule):
            module.gate = GATES[name]


def fit_gate(model: torch.nn.Module, error: Callable[[], float]) -> str:
    """Choose the gate with the smaller error; the proper one where both are equal.

    Args:
        model: Left with that gate.
        error: Of the encoder output, with the gate that the model has.

    Returns:
        What the report adds to the names of comparisons: nothing for the proper gate,
        and the other one in brackets.
    """
    errors = {}
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    for name in GATES:
        use_gate(model, name)
        errors[name] = error()
        for buffer, value in buffers.items():  # statistics that change in evaluation
            model.get_buffer(buffer).copy_(value)
    best = min(GATES, key=lambda name: errors[name])
    use_gate(model, best)
    return "" if best == PROPER else f" ({best})"
