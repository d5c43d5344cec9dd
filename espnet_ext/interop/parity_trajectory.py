"""Repeats a recorded training of the original with our model, optimizer and driver.

The file holds parameters before and after, the batches in their order, and for every
step the objective, the losses and the weight decay term before its update.

Source: reference/parity/README.md "Training trajectories"; training.md 4, 5.
"""

# Dimensions: N steps
import dataclasses
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple

import numpy as np
import torch
from espnet2.tasks import abs_task

from espnet_ext.asr.loss.node_gradient import growth_fraction
from espnet_ext.asr.weight_decay import WeightDecay
from espnet_ext.errors import FormatError
from espnet_ext.interop.comparison import VALUE_LIMIT, Comparison, relative_error
from espnet_ext.interop.parity_file import ParityFile
from espnet_ext.interop.parity_input import features_at, labels_at, require
from espnet_ext.interop.reference_models import ReferenceModel
from espnet_ext.interop.returnn import apply_rules, parameters_of
from espnet_ext.interop.without_dropout import disable_dropout
from espnet_ext.streams import Streams
from espnet_ext.train import hook_table  # noqa: F401  (fills the table)
from espnet_ext.train.accumulation import Accumulation
from espnet_ext.train.hooks import SubEpochHook, TrainingParts, build_hooks
from espnet_ext.train.nonfinite import NonFiniteGuard
from espnet_ext.train.options import DriverOptions
from espnet_ext.train.options import build as driver_options
from espnet_ext.train.position import Position
from espnet_ext.train.precision import Precision
from espnet_ext.train.processes import Processes
from espnet_ext.train.step import Stepper

# of the recordings, whatever the experiment says (parity/README.md)
BATCHES_AN_UPDATE = 2
COLUMNS = ("objective", "loss", "weight decay")
FINAL_PREFIX = "final:"
# gradients below this share of the largest one of all are rounding, in float64
ROUNDING = 1e-11


class Repetition(NamedTuple):
    """What our training gave.

    Attributes:
        reference: The model and its rules.
        history_N3: As the file's.
        state: Parameters and running statistics at the end, float64.
        gradients: Largest absolute gradient of each entry, without weight decay.
        reach: No entry can be further from where another computation brings it,
            whatever its gradients are.
    """

    reference: ReferenceModel
    history_N3: np.ndarray
    state: Dict[str, torch.Tensor]
    gradients: Dict[str, torch.Tensor]
    reach: float


class LargestGradients(SubEpochHook):
    """Remembers the largest gradient of each entry, before weight decay is added."""

    def __init__(self):
        self.largest: Dict[str, torch.Tensor] = {}

    def before_update(self, num_batches: int, parts: TrainingParts) -> None:
        """See SubEpochHook."""
        for name, parameter in parts.model.named_parameters():
            size = torch.zeros_like(parameter.detach())
            if parameter.grad is not None:
                size = parameter.grad.detach().abs()
            before = self.largest.get(name, torch.zeros_like(size))
            self.largest[name] = torch.maximum(before, size)


def batches_of(
    file: ParityFile, reference: ReferenceModel, dtype: torch.dtype
) -> List[Dict[str, Any]]:
    """The stored batches, as our model takes them.

    Raises:
        FormatError: There is none.
    """
    batches = []
    while f"batch{len(batches)}:data" in file.arrays:
        prefix = f"batch{len(batches)}:"
        data, lengths = features_at(file.arrays, prefix)
        ids_K = reference.label_ids_K
        labels_BL, lens = labels_at(file.arrays, prefix, len(data), len(ids_K))
        batch = {
            "speech": data.to(dtype),
            "speech_lengths": lengths,
            "text": torch.from_numpy(ids_K[labels_BL]),
            "text_lengths": lens,
        }
        batches.append(batch)
    if not batches:
        raise FormatError("the file holds no batch", expected="batch0:data, ..")
    return batches


def set_weight_decay(reference: ReferenceModel, sub_epoch) -> None:
    """The decay of the recording's sub-epoch, as the experiment has it there."""
    model, experiment = reference.model, reference.experiment
    layers = model.encoder.stage.layers
    model.epoch = sub_epoch or experiment.sub_epoch(layers)
    options = model.weight_decay.options
    if options.scaled_by_growth:  # the model here has one stage
        stages = experiment.resolved.growth.layers
        growth = growth_fraction(layers, stages[0], stages[-1])
        scaled = {
            name: getattr(options, name) * growth
            for name in ("encoder", "frontend", "attention_qkv")
            if getattr(options, name) is not None
        }
        options = dataclasses.replace(options, scaled_by_growth=False, **scaled)
        model.weight_decay = WeightDecay(model, options)


def _options() -> DriverOptions:
    from espnet_ext.tasks.asr import TransducerTask

    words = ["--output_dir", "unused", "--grad_clip", "-1"]
    return driver_options(TransducerTask.get_parser().parse_args(words))


def build_stepper(
    reference: ReferenceModel, learning_rate: float, first_hook: SubEpochHook
) -> Stepper:
    """The driver's loop over batches around the model and its optimizer."""
    model, resolved = reference.model, reference.experiment.resolved
    kind = abs_task.optim_classes[resolved.get("optim")]
    conf = {**resolved.get("optim_conf"), "lr": learning_rate}
    optimizer = kind(model.parameters(), **conf)
    options = _options()
    parts = TrainingParts(model, [optimizer], [None], Streams(0))
    device = torch.device("cpu")
    hooks = build_hooks(parts, options)
    for hook in hooks.values():
        hook.begin_sub_epoch(1, parts)
    return Stepper(
        model,
        parts,
        [first_hook, *hooks.values()],
        options,
        Processes(False, device, options.dist_timeout_seconds),
        Position(),
        Precision(options, device),
        NonFiniteGuard(10, 1.0, Path("unused")),
    )


def repeat(file: ParityFile, dtype: torch.dtype) -> Repetition:
    """The recorded training, done again in a precision of ours."""
    reference = file.reference()
    model = reference.model
    set_weight_decay(reference, file.sub_epoch)
    disable_dropout(model.train()).to(dtype)
    batches = batches_of(file, reference, dtype)
    steps = len(file.arrays["history"])
    require(
        file.arrays["learning_rate"].size == 1, file.arrays, "learning_rate", "1 number"
    )
    rate = float(file.arrays["learning_rate"].item())
    gradients = LargestGradients()
    stepper = build_stepper(reference, rate, gradients)
    stepper.begin_sub_epoch(Accumulation(BATCHES_AN_UPDATE, sums=True), steps)
    history = []
    for step in range(steps):
        decay = float(model.weight_decay.value())
        result = stepper.batch([], batches[step % len(batches)])
        loss = result.stats["loss"] * result.sequences
        history.append((loss + decay, loss, decay))
    state = {name: value.double() for name, value in model.state_dict().items()}
    # no gradient can make Nadam move a weight by two learning rates an update; two
    # repetitions may go in opposite directions
    reach = 4.0 * rate * stepper.position.updates
    return Repetition(reference, np.array(history), state, gradients.largest, reach)


def undetermined(ours: Repetition, exact: Repetition, name: str) -> np.ndarray:
    """Entries which no gradient but the rounding of other ones decides.

    The bias before a batch normalisation and the keys' bias before a softmax over keys
    do not change the loss: their gradient is zero but for rounding, and Adam's update
    does not depend on how large it is. They differ between any two computations, and so
    does the running mean of that normalisation.

    Args:
        ours: Repetition in float32.
        exact: The same in float64.
        name: Parameter or running statistic.
    """
    if name in exact.gradients:
        largest = max(float(g.max()) for g in exact.gradients.values())
        gradient = exact.gradients[name]
        found = (gradient > 0.0) & (gradient < ROUNDING * largest)
    else:
        difference = (ours.state[name] - exact.state[name]).abs()
        found = difference > 0.1 * VALUE_LIMIT * exact.state[name].abs().max()
    return found.numpy()


def compare_trajectory(file: ParityFile) -> Iterator[Comparison]:
    """The three values of every step, then all parameters after the last.

    Raises:
        FormatError: The file holds no batches, or a history of another shape.
    """
    history_N3 = file.arrays["history"]
    if history_N3.ndim != 2 or history_N3.shape[1] != len(COLUMNS):
        raise FormatError(
            f"the history has shape {history_N3.shape}", expected="[steps, 3]"
        )
    ours, exact = repeat(file, torch.float32), repeat(file, torch.float64)
    for step, (values, originals) in enumerate(zip(ours.history_N3, history_N3)):
        for name, value, original in zip(COLUMNS, values, originals):
            error = relative_error(value, original)
            yield Comparison(f"step {step} {name}", error, VALUE_LIMIT)
    rules = ours.reference.rules
    finals = apply_rules(parameters_of(file.arrays, FINAL_PREFIX), rules)
    for name, original in sorted(finals.items()):
        value, free = ours.state[name].numpy(), undetermined(ours, exact, name)
        if value.shape != original.shape:
            yield Comparison(f"final {name}", np.inf, VALUE_LIMIT)
            continue
        error = relative_error(value[~free], original[~free])
        if not free.all():
            yield Comparison(f"final {name}", error, VALUE_LIMIT)
        if free.any():
            text = f"final {name}, {free.sum()} entries decided by rounding (absolute)"
            difference = float(np.abs(value - original)[free].max())
            yield Comparison(text, difference, ours.reach)
