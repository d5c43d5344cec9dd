"""Scores on a fixed part of the training set, beside those on the validation set.

The original evaluates 3000 training segments, ``devtrain``, after each sub-epoch as it
evaluates the held-out ones: without dropout and augmentation. Their difference shows
how much the model fits what it has seen. Only ``dev`` controlled the training.

Source: reference/data.md (table of sets), reference/training.md 1 and 7.
"""

import argparse
import hashlib
import logging
from pathlib import Path
from typing import Any, Collection, List, Mapping, Set

from espnet2.iterators.abs_iter_factory import AbsIterFactory

from espnet_ext.errors import OptionError
from espnet_ext.files import atomic_write, read_lines

PHASE = "devtrain"
CRITERIA = (
    *("best_model_criterion", "early_stopping_criterion"),
    "val_scheduler_criterion",
)


def chosen(ids: Collection[str], count: int) -> Set[str]:
    """``count`` of the utterances, by a hash of their names: equal in all trainings."""

    def place(name: str) -> bytes:
        return hashlib.sha256(f"{PHASE} {name}".encode()).digest()

    return set(sorted(ids, key=place)[:count])


def write_shapes(files: List[str], count: int, folder: Path) -> List[str]:
    """Lengths of the chosen utterances; one file for each of the training set.

    All processes write the same; a file that is renamed into place is never half there.
    """
    lines = [read_lines(file) for file in files]
    wanted = chosen([line.split()[0] for line in lines[0]], count)
    if len(wanted) < count:
        logging.info(f"devtrain {count}: the training set has only {len(wanted)}")
    written = []
    for number, rows in enumerate(lines):
        path = folder / f"shape{number}"
        with atomic_write(path) as file:
            file.writelines(f"{r}\n" for r in rows if r.split()[0] in wanted)
        written.append(str(path))
    return written


def build(task: Any, args: argparse.Namespace, distributed: Any) -> AbsIterFactory:
    """Batches of the part, made as those of the validation set.

    Args:
        task: With ``build_iter_factory`` and the option ``devtrain`` of ``args``.
        args: Of the command.
        distributed: ESPnet's options of several processes.
    """
    folder = Path(args.output_dir) / PHASE
    shapes = write_shapes(list(args.train_shape_file), args.devtrain, folder)
    changed = {
        "data_path_and_name_and_type": args.train_data_path_and_name_and_type,
        "shape_files": shapes,
    }
    return task.build_iter_factory(args, distributed, PHASE, changed)


def phases_of(options: Any) -> Set[str]:
    """Sets whose scores choose models, end the training or set its learning rate."""
    found = set()
    for name in CRITERIA:
        value = getattr(options, name)
        rows = [value] if value and isinstance(value[0], str) else value or []
        found.update(row[0] for row in rows)
    return found


def check_options(options: Any) -> None:
    """Refuse criteria of scores that are not computed.

    Raises:
        OptionError: One of ``devtrain``, which is off; or a negative number.
    """
    if options.devtrain < 0:
        raise OptionError(f"devtrain {options.devtrain}", expected="0 or more")
    if not options.devtrain and PHASE in phases_of(options):
        raise OptionError(
            "a criterion is a score of devtrain, which is not computed",
            where=" or ".join(CRITERIA),
            next_step="devtrain: 3000 scores so many utterances of the training set",
        )


def check_history(options: Any, history: Mapping[int, Mapping[str, Any]]) -> None:
    """Refuse to compare sub-epochs of which some have no such score.

    Raises:
        OptionError: A continued training was begun without ``devtrain``.
    """
    missing = [epoch for epoch in sorted(history) if PHASE not in history[epoch]]
    if missing and PHASE in phases_of(options):
        raise OptionError(
            f"a criterion is a score of devtrain, which sub-epoch {missing[0]} of "
            "this training has not",
            where=options.output_dir,
            next_step="go on with the criteria that it began with, or train anew",
        )
