"""Jobs of a stage as tasks of Dask, on machines that Slurm gives."""

import dataclasses
import functools
import os
import subprocess
from pathlib import Path
from typing import List, Sequence

from espnet_ext.corpus.shards import Cluster, map_shards
from espnet_ext.recipe.context import Context
from espnet_ext.recipe.jobs import Job, cores, failure, run_jobs


def cluster_of(context: Context) -> Cluster:
    """Where ``--cluster`` wants the work to be done."""
    options = context.options
    return Cluster(options.cluster, options.nj, 0, options.slurm_opts)


def parts(context: Context) -> int:
    """Into how many jobs to cut the work: ``--nj``, here at most one a core."""
    options = context.options
    return options.nj if options.cluster != "local" else min(options.nj, cores())


def run_jobs_on(cluster: Cluster, jobs: Sequence[Job], label: str) -> None:
    """Run all jobs at the same time, here or on the cluster.

    Raises:
        StageFailedError: A job failed; its log says why.
        ToolMissingError: dask-jobqueue is not installed.
    """
    if cluster.kind == "local":
        run_jobs(jobs, parallel=len(jobs), label=label)
        return
    work = functools.partial(run_here, folder=str(Path.cwd()))
    everywhere = dataclasses.replace(cluster, workers=len(jobs), shards=len(jobs))
    statuses = [s for part in map_shards(work, jobs, everywhere, label) for s in part]
    for job, status in zip(jobs, statuses):
        if status != 0:
            raise failure(job, status)


def run_here(jobs: List[Job], folder: str) -> List[int]:
    """What a worker does: run commands one after the other; their exit statuses."""
    statuses = []
    for job in jobs:
        log = Path(folder) / job.log
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "wb") as file:
            done = subprocess.run(
                job.command,
                cwd=folder,
                env={**os.environ, "OMP_NUM_THREADS": "1", **job.environment},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        statuses.append(done.returncode)
    return statuses
