"""Repeats a recorded training of the original with our model, optimizer and driver.

The file holds parameters before and after, the batches in their order, and for every
step the objective, the losses and the weight decay term before its update.

Source: reference/parity/README.md "Training trajectories"; training.md 4, 5.
"""

# Dimensions: N steps
import dataclasses
from pathlib import Path
from typing import Any, Dict, Iterator, List

import numpy as np
import torch
from espnet2.tasks import abs_task

from espnet_ext.asr.loss.node_gradient import growth_fraction
from espnet_ext.asr.weight_decay import WeightDecay
from espnet_ext.errors import FormatError
from espnet_ext.interop.comparison import VALUE_LIMIT, Comparison, relative_error
from espnet_ext.interop.parity_file import ParityFile
from espnet_ext.interop.reference_models import ReferenceModel
from espnet_ext.interop.returnn import apply_rules, parameters_of
from espnet_ext.interop.without_dropout import disable_dropout
from espnet_ext.streams import Streams
from espnet_ext.train import hook_table  # noqa: F401  (fills the table)
from espnet_ext.train.accumulation import Accumulation
from espnet_ext.train.hooks import TrainingParts, build_hooks
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


def batches_of(file: ParityFile, reference: ReferenceModel) -> List[Dict[str, Any]]:
    """The stored batches, as our model takes them."""
    batches = []
    while f"batch{len(batches)}:data" in file.arrays:
        prefix = f"batch{len(batches)}:"
        labels_BL = reference.label_ids_K[file.arrays[f"{prefix}targets"]]
        batch = {
            "speech": torch.from_numpy(file.arrays[f"{prefix}data"]),
            "speech_lengths": torch.from_numpy(file.arrays[f"{prefix}data_len"]),
            "text": torch.from_numpy(labels_BL),
            "text_lengths": torch.from_numpy(file.arrays[f"{prefix}targets_len"]),
        }
        batches.append(batch)
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


def build_stepper(reference: ReferenceModel, learning_rate: float) -> Stepper:
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
        list(hooks.values()),
        options,
        Processes(False, device, options.dist_timeout_seconds),
        Position(),
        Precision(options, device),
        NonFiniteGuard(10, 1.0, Path("unused")),
    )


def compare_trajectory(file: ParityFile) -> Iterator[Comparison]:
    """The three values of every step, then all parameters after the last."""
    reference = file.reference()
    model = reference.model
    set_weight_decay(reference, file.sub_epoch)
    disable_dropout(model.train())
    batches = batches_of(file, reference)
    history_N3 = file.arrays["history"]
    if not batches or history_N3.ndim != 2 or history_N3.shape[1] != len(COLUMNS):
        raise FormatError(
            f"{len(batches)} batches and a history of shape {history_N3.shape}",
            expected="batch0:data, .. and a history [steps, 3]",
        )
    stepper = build_stepper(reference, float(file.arrays["learning_rate"]))
    accumulation = Accumulation(BATCHES_AN_UPDATE, sums=True)
    stepper.begin_sub_epoch(accumulation, len(history_N3))
    for step, original in enumerate(history_N3):
        decay = float(model.weight_decay.value())
        batch = batches[step % len(batches)]
        result = stepper.batch([], batch)
        loss = result.stats["loss"] * result.sequences
        for name, ours, value in zip(COLUMNS, (loss + decay, loss, decay), original):
            error = relative_error(np.float64(ours), np.float64(value))
            yield Comparison(f"step {step} {name}", error, VALUE_LIMIT)
    yield from _compare_final(file, reference)


def _compare_final(file: ParityFile, reference: ReferenceModel) -> Iterator[Comparison]:
    originals = parameters_of(file.arrays, FINAL_PREFIX)
    state = reference.model.state_dict()
    for name, original in sorted(apply_rules(originals, reference.rules).items()):
        error = relative_error(state[name].numpy(), original)
        yield Comparison(f"final {name}", error, VALUE_LIMIT)
