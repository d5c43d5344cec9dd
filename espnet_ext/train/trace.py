"""Digests of every tensor of the first steps, to find where two runs part.

One line a tensor in the order of computation: the batch, the output of each module,
the loss, gradients, weights after the update.
"""

import hashlib
import json
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

import torch

from espnet_ext.errors import FormatError
from espnet_ext.files import PathLike, read_lines


class Entry(NamedTuple):
    """Digest of one tensor.

    Attributes:
        step: 1-based batch.
        kind: ``batch``, ``output``, ``loss``, ``gradient``, ``weight`` or ``buffer``.
        name: Of the tensor; of an output that of its module, with a number.
        digest: Of type, shape and bytes.
    """

    step: int
    kind: str
    name: str
    digest: str


def digest(value: torch.Tensor) -> str:
    """Of type, shape and bytes: NaN equals itself, -0.0 differs from 0.0."""
    tensor = value.detach().cpu().contiguous()
    data = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
    head = f"{tensor.dtype} {tuple(tensor.shape)} ".encode()
    return hashlib.sha256(head + data).hexdigest()[:24]


def tensors(value: Any, name: str) -> Iterator[Tuple[str, torch.Tensor]]:
    """Tensors inside of nested tuples, lists and mappings."""
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from tensors(inner, f"{name}.{key}")
    elif isinstance(value, (tuple, list)):
        for number, inner in enumerate(value):
            yield from tensors(inner, f"{name}[{number}]")


class Tracer:
    """Writes the trace of a model's first steps.

    Args:
        path: Of the trace.
        model: Watched from now on.
    """

    def __init__(self, path: PathLike, model: torch.nn.Module):
        self.model = model
        self.step = 1
        self._file = open(path, "w", encoding="utf-8")
        self._handles = [
            module.register_forward_hook(self._hook(name or "model"))
            for name, module in model.named_modules()
        ]

    def _hook(self, name: str):
        def record(module, inputs, output) -> None:
            if module.training:
                for place, tensor in tensors(output, name):
                    self._write("output", place, tensor)

        return record

    def _write(self, kind: str, name: str, tensor: torch.Tensor) -> None:
        entry = Entry(self.step, kind, name, digest(tensor))
        self._file.write(json.dumps(entry) + "\n")

    def batch(self, ids: List[str], batch: Mapping[str, Any]) -> None:
        """A batch is about to be used."""
        number = torch.frombuffer(bytearray(" ".join(ids).encode()), dtype=torch.uint8)
        self._write("batch", "utterance ids", number)
        for name, tensor in tensors(dict(batch), "batch"):
            self._write("batch", name, tensor)

    def gradients(self) -> None:
        """Gradients are complete, and not yet clipped."""
        for name, parameter in self.model.named_parameters():
            if parameter.grad is not None:
                self._write("gradient", name, parameter.grad)

    def end_step(self, loss: float) -> None:
        """The batch is done, with its update if one was due."""
        self._write("loss", "loss", torch.tensor(loss, dtype=torch.float64))
        for name, parameter in self.model.named_parameters():
            self._write("weight", name, parameter)
        for name, buffer in self.model.named_buffers():
            self._write("buffer", name, buffer)
        self.step += 1

    def close(self) -> None:
        """Watch no longer, and write what is left."""
        for handle in self._handles:
            handle.remove()
        self._file.close()


def read_trace(path: PathLike) -> List[Entry]:
    """The entries of a trace.

    Raises:
        FormatError: A line is none.
    """
    entries = []
    for number, line in enumerate(read_lines(path), start=1):
        try:
            entries.append(Entry(*json.loads(line)))
        except (ValueError, TypeError):
            raise FormatError("not a line of a trace", where=f"{path}:{number}")
    return entries


def first_difference(
    first: List[Entry], second: List[Entry]
) -> Optional[Dict[str, Any]]:
    """Where two traces part, None if they are the same.

    Returns:
        ``step``, ``kind``, ``name``, and the ``module`` that it belongs to.
    """
    for one, other in zip(first, second):
        if one == other:
            continue
        module = one.name.partition("[")[0]
        if one.kind in ("gradient", "weight", "buffer"):
            module = one.name.rpartition(".")[0]
        found = {"step": one.step, "kind": one.kind, "name": one.name}
        if one[:3] != other[:3]:
            found["other"] = f"{other.kind} {other.name} of step {other.step}"
        return {**found, "module": "" if one.kind in ("batch", "loss") else module}
    if len(first) != len(second):
        longer = first if len(first) > len(second) else second
        entry = longer[min(len(first), len(second))]
        return {
            "step": entry.step,
            "kind": entry.kind,
            "name": entry.name,
            "module": "",
            "other": "end of the trace",
        }
    return None
