"""A cluster of processes on this machine in the place of Slurm."""

import sys
import types

import pytest


@pytest.fixture
def slurm(monkeypatch):
    """A cluster of processes here, asked for in the way of dask-jobqueue."""
    from distributed import LocalCluster

    asked = []

    class SLURMCluster(LocalCluster):
        def __init__(self, **options):
            asked.append(options)
            super().__init__(n_workers=1, threads_per_worker=1, dashboard_address=None)

        def scale(self, jobs):
            asked.append(jobs)
            super().scale(min(jobs, 2))

    module = types.SimpleNamespace(SLURMCluster=SLURMCluster)
    monkeypatch.setitem(sys.modules, "dask_jobqueue", module)
    return asked
