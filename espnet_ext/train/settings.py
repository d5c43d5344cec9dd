"""A training is continued with the settings it began with.

They are stored beside the checkpoint when a training begins. Continuing with other
values would train something that no configuration describes.
"""

import argparse
import json
from pathlib import Path
from typing import Any, Dict, FrozenSet, Mapping

from espnet_ext.errors import CheckpointError
from espnet_ext.files import PathLike, atomic_write

NAME = "train_settings.json"

# What may change: how long to train and what to keep and show, where files are, how
# data is read. None of it changes a weight that has been or will be computed.
MAY_CHANGE: FrozenSet[str] = frozenset(
    """max_epoch patience early_stopping_criterion best_model_criterion
    keep_nbest_models nbest_averaging_interval log_interval log_level num_workers
    devtrain num_att_plot use_tensorboard use_matplotlib use_wandb wandb_project
    wandb_id wandb_entity wandb_name wandb_model_log_interval wandb_allow_val_change
    create_graph_in_tensorboard save_interval_minutes save_interval_updates
    nonfinite_in_row nonfinite_share trace_file trace_steps dist_timeout_seconds
    dist_backend dist_init_method dist_world_size dist_rank local_rank dist_master_addr
    dist_master_port dist_launcher multiprocessing_distributed distributed
    config output_dir resume dry_run print_config required version collect_stats
    train_data_path_and_name_and_type valid_data_path_and_name_and_type
    train_shape_file valid_shape_file token_list bpemodel non_linguistic_symbols
    rir_scp noise_scp init_param ignore_init_mismatch pretrain_path
    max_cache_size valid_max_cache_size max_cache_fd detect_anomaly
    valid_batch_size valid_batch_bins valid_batch_type experiment_conf ngpu
    regime_conf.keep_last_checkpoints""".split()
)


def flat_settings(args: argparse.Namespace, num_processes: int) -> Dict[str, Any]:
    """Every setting that changes what is computed, by dotted name."""
    flat: Dict[str, Any] = {"processes": num_processes}

    def add(name: str, value: Any) -> None:
        if name in MAY_CHANGE or name.endswith(("_file", "_path", "_scp")):
            return
        if isinstance(value, dict):
            for key, inner in value.items():
                add(f"{name}.{key}", inner)
        else:
            flat[name] = json.loads(json.dumps(value, default=str))

    for name, value in vars(args).items():
        add(name, value)
    return flat


def check_settings(folder: PathLike, settings: Mapping[str, Any]) -> None:
    """Compare with those that the training in this folder began with.

    Raises:
        CheckpointError: Names each setting that differs, its old and its new value.
    """
    path = Path(folder) / NAME
    if not path.exists():
        return
    old = json.loads(path.read_text(encoding="utf-8"))
    names = sorted({*old, *settings})
    changed = [n for n in names if old.get(n) != settings.get(n)]
    if not changed:
        return
    said = "; ".join(f"{n}: {old.get(n)!r} -> {settings.get(n)!r}" for n in changed)
    raise CheckpointError(
        f"the training here began with other settings: {said}",
        where=path,
        expected="the same settings; those that may change are listed in "
        "espnet_ext/train/settings.py (max_epoch, patience, num_workers, ..)",
        next_step="set them back, or train anew in another --output_dir (or here with "
        "--resume false, which overwrites the checkpoint)",
    )


def store_settings(folder: PathLike, settings: Mapping[str, Any]) -> None:
    """Remember the settings of a training that begins."""
    with atomic_write(Path(folder) / NAME) as file:
        json.dump(dict(settings), file, indent=1, sort_keys=True)
        file.write("\n")
