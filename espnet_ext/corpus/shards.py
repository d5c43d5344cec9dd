"""Preparation in shards under Dask: processes of this machine, or jobs of Slurm.

A shard is a run of consecutive items, and results come back in the order of the
shards, so that their number and the place where they were made change no byte.
"""

import contextlib
import os
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Sequence, TypeVar

from espnet_ext.corpus.log import progress
from espnet_ext.errors import OptionError, ToolMissingError, UserError
from espnet_ext.names import nearest

Result = TypeVar("Result")

KINDS = ("local", "slurm")
# below this, a worker takes longer to start than to work
ITEMS_PER_WORKER = 500
SHARDS_PER_WORKER = 4
SLURM_DEFAULTS = {"cores": 1, "memory": "4GB", "walltime": "04:00:00"}
SLURM_OPTIONS = ("queue", "account", "memory", "walltime", "interface", "extra")


@dataclass(frozen=True)
class Cluster:
    """Where shards are worked on.

    Attributes:
        kind: ``local``, or ``slurm`` (needs dask-jobqueue, folders that all machines
            see under the same names, and this Python on them).
        workers: Processes or jobs at a time; 0 for as many as there are cores here, but
            no more than the work is worth.
        shards: Parts of the work; 0 for a few a worker.
        options: Of Slurm: ``queue``, ``account``, ``memory``, ``walltime``,
            ``interface`` and ``extra`` (one more line for sbatch, ``--qos=low``).
    """

    kind: str = "local"
    workers: int = 0
    shards: int = 0
    options: str = ""

    def slurm(self) -> Dict[str, Any]:
        """Arguments of ``dask_jobqueue.SLURMCluster``.

        Raises:
            OptionError: An option without ``=`` or with an unknown name.
        """
        given: Dict[str, Any] = dict(SLURM_DEFAULTS)
        for word in self.options.split():
            name, equals, value = word.partition("=")
            if not equals or name not in SLURM_OPTIONS:
                raise OptionError(
                    f"{word!r} is not an option of Slurm jobs",
                    where="--slurm_opts",
                    expected=f"NAME=VALUE with {', '.join(SLURM_OPTIONS)}",
                    next_step=f"did you mean {nearest(name, SLURM_OPTIONS)}=...?",
                )
            if name == "extra":
                given.setdefault("job_extra_directives", []).append(value)
            else:
                given[name] = value
        return given


def split(items: Sequence[Any], parts: int) -> List[List[Any]]:
    """Cut a sequence into at most ``parts`` runs of nearly equal length, none empty.

    Of an empty sequence there is one empty run.
    """
    parts = max(1, min(parts, len(items)))
    cuts = [len(items) * part // parts for part in range(parts + 1)]
    return [list(items[a:b]) for a, b in zip(cuts, cuts[1:])]


def map_shards(
    function: Callable[[List[Any]], Result],
    items: Sequence[Any],
    cluster: Cluster,
    label: str,
) -> List[Result]:
    """Apply a function to each shard; results in order.

    Args:
        function: Takes one shard; must be importable by a worker, and pure.
        label: Names the progress bar.

    Raises:
        UserError: What the function raised, or Slurm that cannot be used.
    """
    if cluster.kind not in KINDS:
        raise OptionError(
            f"unknown cluster {cluster.kind!r}",
            expected=" or ".join(KINDS),
            next_step=f"--cluster {nearest(cluster.kind, KINDS) or 'local'}",
        )
    workers = cluster.workers
    if workers == 0:
        workers = min(cores(), max(1, len(items) // ITEMS_PER_WORKER))
    shards = split(items, cluster.shards or workers * SHARDS_PER_WORKER)
    workers = min(workers, len(shards))
    if cluster.kind == "local" and workers == 1:
        return [function(shard) for shard in progress(shards, label)]
    with _client(cluster, workers) as client:
        # not pure: Dask would otherwise hash all arguments
        futures = [client.submit(function, shard, pure=False) for shard in shards]
        return [future.result() for future in progress(futures, label)]


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


@contextlib.contextmanager
def _client(cluster: Cluster, workers: int) -> Iterator[Any]:
    """A Dask client with its workers, ended with the block."""
    import distributed

    if cluster.kind == "slurm":
        machines = _slurm_cluster(cluster)
        machines.scale(jobs=workers)
    else:
        machines = distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
        )
    with machines, distributed.Client(machines) as client:
        yield client


def _slurm_cluster(cluster: Cluster) -> Any:
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise ToolMissingError(
            "dask-jobqueue is not installed",
            where="--cluster slurm",
            next_step="pip install dask-jobqueue, or leave --cluster out",
        ) from None
    try:
        return SLURMCluster(**cluster.slurm())
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"Slurm workers cannot be described: {error}",
            where="--slurm_opts",
            next_step="correct --slurm_opts, or leave --cluster out",
        ) from None
