"""``espnet-ext exp check``: everything about an experiment that needs no data."""

from typing import Any, List, Mapping, Sequence, Tuple

from espnet_ext.experiments import build, parts
from espnet_ext.experiments.estimate import FLOP_PER_SECOND, estimate
from espnet_ext.experiments.files import Conf
from espnet_ext.experiments.picture import curve
from espnet_ext.experiments.resolve import Resolved, resolve
from espnet_ext.schedulers.rates import expand


def growth_lines(exp: Resolved) -> List[str]:
    """The stages of growth: first sub-epoch, layers, width."""
    stages = exp.growth
    if len(stages.layers) == 1:
        return [f"growth: none, {stages.layers[0]} layers from the beginning"]
    growth = exp.get("encoder_conf.growth") or {}
    start = growth.get("start_fraction") if growth.get("width") else None
    start = start or exp.get("encoder_conf.growth_start_fraction")
    lines = ["growth: from sub-epoch  layers  width"]
    low, high = stages.layers[0], stages.layers[-1]
    for first, layers in zip(stages.first_epochs(), stages.layers):
        share = 1.0
        if start:
            share = start + (1 - start) * (layers - low) / (high - low)
        lines.append(f"{first:22}  {layers:6}  {share:5.0%}")
    return lines


def size_lines(config: Mapping[str, Any]) -> List[str]:
    """Parameters, memory and time of a model that can be built."""
    size = build.model_size(config)
    shares = ", ".join(f"{name} {count:,}" for name, count in size.by_part.items())
    lines = [f"parameters: {size.total:,} ({shares}), {build.LABELS} labels and blank"]
    if size.left_out:
        lines.append(
            f"  built without {len(size.left_out)} options that are not implemented yet"
        )
    if "regime_conf" in config:  # an epoch is then a known part of the data
        cost = estimate(
            size.total, size.by_part.get("encoder", 0), config, build.LABELS + 1
        )
        lines += [
            f"memory, roughly: weights and optimizer {cost.weights_gb:.1f} GB, of a "
            f"batch: encoder {cost.activations_gb:.1f} GB, "
            f"output {cost.lattice_gb:.1f} GB",
            f"time on Switchboard-300h, roughly: {cost.hours:.0f} h at the speed of "
            f"the original's GTX 1080 Ti ({FLOP_PER_SECOND / 1e12:.2f} TFLOP/s)",
        ]
    return lines


def missing_lines(missing: Sequence[str]) -> List[str]:
    """What is not there yet."""
    if not missing:
        return ["parts: all implemented"]
    lines = [f"not implemented yet ({len(missing)}):"]
    return lines + [f"  {part}" for part in missing]


def check_screen(
    name: str,
    overrides: Sequence[Tuple[str, Any]],
    conf: Conf,
    build_model: bool = True,
) -> Tuple[str, bool]:
    """The report and whether everything the experiment needs is implemented.

    Raises:
        UserError: The first error in a name, file or value.
    """
    exp = resolve(name, overrides, conf)
    config = dict(exp.config)
    lines = [f"{exp.name}: names, values and rules are right", *growth_lines(exp)]
    if exp.get("scheduler") == "newbob":
        rates = expand([tuple(s) for s in exp.get("scheduler_conf.lr_segments") or []])
        lines += ["learning rate:", *curve(rates, exp.get("max_epoch", 0))]
    else:
        lines.append(f"learning rate: {exp.get('scheduler') or 'constant'} of ESPnet")
    missing = parts.missing_parts(config)
    absent = build.missing_classes(config)
    if absent:
        lines.append(f"no model to build yet: {', '.join(absent)} not implemented")
    elif build_model:
        lines += size_lines(config)
    lines += missing_lines(missing)
    return "\n".join(lines), not missing
