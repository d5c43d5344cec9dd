"""What has to be settled before a model is built and ESPnet writes into the folder."""

import argparse
import contextlib
from typing import Iterator

from espnet2.train.distributed_utils import get_rank, get_world_size

from espnet_ext.train.checkpoint import CheckpointStore
from espnet_ext.train.determinism import make_deterministic
from espnet_ext.train.lock import folder_lock
from espnet_ext.train.settings import check_settings, flat_settings, store_settings


@contextlib.contextmanager
def training_folder(args: argparse.Namespace) -> Iterator[None]:
    """The folder of a training: locked, and of the same settings if it is continued.

    Nothing is done for a dry run or for the collection of statistics. Nothing is logged
    either: the first message would keep ESPnet from choosing the format of the log.

    Raises:
        FolderInUseError: Another training writes into it.
        CheckpointError: It began with other settings.
    """
    if args.collect_stats or args.dry_run:
        yield
        return
    if args.deterministic:
        make_deterministic()
    distributed = getattr(args, "distributed", False)
    if distributed and args.ngpu == 0:
        args.dist_backend = "gloo"  # ESPnet's default, nccl, needs GPUs
    rank = get_rank(args.dist_rank, args.dist_launcher) if distributed else 0
    if rank:
        yield
        return
    count = get_world_size(args.dist_world_size, args.dist_launcher)
    settings = flat_settings(args, count if distributed else 1)
    with folder_lock(args.output_dir):
        continued = args.resume and CheckpointStore(args.output_dir).exists()
        if continued:
            check_settings(args.output_dir, settings)
        else:
            CheckpointStore(args.output_dir).remove()
            store_settings(args.output_dir, settings)
        yield
