"""``Nepoch.pth`` and the links and means that ESPnet's tools look for."""

import logging
import os
from pathlib import Path
from typing import Any, Collection, Dict, List

import torch
from espnet2.main_funcs.average_nbest_models import average_nbest_models
from espnet2.train.reporter import Reporter

from espnet_ext.errors import OptionError
from espnet_ext.files import atomic_path
from espnet_ext.train.checkpoint import (
    MARGIN_BYTES,
    canonical,
    check_free_space,
    content_bytes,
    sync_folder,
)
from espnet_ext.train.mixed_stages import averageable
from espnet_ext.train.options import DriverOptions


def model_state(model: torch.nn.Module, options: DriverOptions) -> Dict[str, Any]:
    """What of the model is stored; with adapters perhaps a part of it.

    Raises:
        OptionError: ``save_strategy adapter_only`` with an unknown adapter.
    """
    state = model.state_dict()
    if not options.use_adapter or options.save_strategy == "all":
        return state
    if options.save_strategy == "required_grad_only":
        frozen = [n for n, p in model.named_parameters() if not p.requires_grad]
        return {name: value for name, value in state.items() if name not in frozen}
    marks = {"lora": "lora_", "houlsby": "adapter"}
    if options.adapter not in marks:
        raise OptionError(f"adapter {options.adapter!r}", expected=", ".join(marks))
    mark = marks[options.adapter]
    return {name: value for name, value in state.items() if mark in name}


def save_epoch(model: torch.nn.Module, epoch: int, options: DriverOptions) -> None:
    """Store the weights of a sub-epoch.

    Raises:
        DiskFullError: There is no space.
    """
    folder = Path(options.output_dir)
    content = canonical(dict(model_state(model, options)))
    check_free_space(folder, content_bytes(content) + MARGIN_BYTES)
    with atomic_path(folder / f"{epoch}epoch.pth") as temporary:
        with open(temporary, "wb") as file:
            torch.save(content, file)
    sync_folder(folder)


def link(folder: Path, name: str, target: str) -> None:
    """Make ``name`` a symbolic link; at no moment is there none."""
    temporary = folder / f".{name}.link"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    os.replace(temporary, folder / name)


def update_links(epoch: int, reporter: Reporter, options: DriverOptions) -> None:
    """``latest.pth`` and the best of each criterion. May be done twice."""
    folder = Path(options.output_dir)
    link(folder, "latest.pth", f"{epoch}epoch.pth")
    improved = []
    for phase, key, mode in options.best_model_criterion:
        if not reporter.has(phase, key):
            continue
        best = reporter.get_best_epoch(phase, key, mode)
        if (folder / f"{best}epoch.pth").exists():
            link(folder, f"{phase}.{key}.best.pth", f"{best}epoch.pth")
        if best == epoch:
            improved.append(f"{phase}.{key}")
    if improved:
        logging.info(f"The best model has been updated: {', '.join(improved)}")
    else:
        logging.info("There are no improvements in this epoch")


def nbest(options: DriverOptions) -> List[int]:
    """``keep_nbest_models`` as a list that is not empty."""
    kept = options.keep_nbest_models
    return [kept] if isinstance(kept, int) else list(kept) or [1]


def average(reporter: Reporter, options: DriverOptions, suffix=None) -> None:
    """Means of the n best models, as ESPnet makes them, of one growing stage only."""
    folder = Path(options.output_dir)
    for criterion in options.best_model_criterion:
        if not reporter.has(*criterion[:2]):
            continue
        order = reporter.sort_epochs(*criterion)
        wanted = [n for n in nbest(options) if n <= len(order)] or [1]
        counts = averageable(folder, order, wanted)
        for count in sorted(set(wanted) - set(counts)):
            logging.warning(
                f"no mean of the {count} best models by {'.'.join(criterion[:2])}: "
                "they are of different growing stages"
            )
        if counts:
            average_nbest_models(
                reporter=reporter,
                output_dir=folder,
                best_model_criterion=[criterion],
                nbest=counts,
                suffix=suffix,
            )


def clean_up(
    epoch: int, reporter: Reporter, options: DriverOptions, keep: Collection[int]
) -> None:
    """Remove weights that are neither among the n best, nor wanted, nor the last."""
    wanted = {epoch, *keep}
    for phase, key, mode in options.best_model_criterion:
        if reporter.has(phase, key):
            order = reporter.sort_epochs(phase, key, mode)
            wanted.update(order[: max(nbest(options))])
    removed = []
    for number in range(1, epoch):
        path = Path(options.output_dir) / f"{number}epoch.pth"
        if number not in wanted and path.exists():
            path.unlink()
            removed.append(path.name)
    if removed:
        logging.info(f"The model files were removed: {', '.join(removed)}")
