"""Jobs under Dask: what comes out does not depend on how many there are or where."""

import sys

import pytest

from espnet_ext.corpus.shards import Cluster
from espnet_ext.errors import StageFailedError, ToolMissingError
from espnet_ext.recipe import cluster_jobs
from espnet_ext.recipe.cluster_jobs import parts, run_here, run_jobs_on
from espnet_ext.recipe.jobs import Job
from tests.recipe.folders import context, make_recipe, run_stage


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "logs" not in path.parts
    }


def dumped(tmp_path, monkeypatch, *words):
    monkeypatch.chdir(tmp_path)
    make_recipe(tmp_path)
    run_stage(3, *words)
    return contents(tmp_path / "dump")


@pytest.mark.parametrize("jobs", [2, 8])
def test_any_number_of_jobs_writes_the_same_bytes(tmp_path, monkeypatch, jobs):
    monkeypatch.setattr(cluster_jobs, "cores", lambda: 8)
    (tmp_path / "1").mkdir()
    (tmp_path / "n").mkdir()
    one = dumped(tmp_path / "1", monkeypatch, "--nj", "1")
    assert dumped(tmp_path / "n", monkeypatch, "--nj", str(jobs)) == one
    assert len(one) > 20


@pytest.mark.slow
def test_jobs_of_a_cluster_write_the_same_bytes(tmp_path, monkeypatch, slurm):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    here = dumped(tmp_path / "here", monkeypatch, "--nj", "1")
    words = ["--nj", "3", "--cluster", "slurm", "--slurm_opts", "queue=short"]
    assert dumped(tmp_path / "there", monkeypatch, *words) == here
    assert slurm[0]["queue"] == "short" and slurm[0]["walltime"]
    # train, dev, rt03s; the last has two utterances; 0 ends the workers
    assert [n for n in slurm if isinstance(n, int) and n] == [3, 3, 2]


@pytest.mark.slow
def test_a_failed_job_of_a_cluster_is_named_with_its_log(tmp_path, monkeypatch, slurm):
    monkeypatch.chdir(tmp_path)
    code = "raise SystemExit('error: the disk is on fire')"
    jobs = [
        Job(
            f"job {n}", [sys.executable, "-c", code if n else ""], tmp_path / f"{n}.log"
        )
        for n in range(2)
    ]
    with pytest.raises(StageFailedError, match="job 1(?s:.*)the disk is on fire"):
        run_jobs_on(Cluster("slurm"), jobs, "jobs")


def test_a_worker_runs_commands_in_the_folder_of_the_recipe(tmp_path):
    code = "open('made', 'w').close(); print('done')"
    job = Job("job", [sys.executable, "-c", code], "logs/job.log")
    assert run_here([job], str(tmp_path)) == [0]
    assert (tmp_path / "made").exists()
    assert (tmp_path / "logs" / "job.log").read_text() == "done\n"


def test_no_more_jobs_than_cores_here_and_as_many_as_wanted_elsewhere(monkeypatch):
    monkeypatch.setattr(cluster_jobs, "cores", lambda: 4)
    assert parts(context("--nj", "32")) == 4
    assert parts(context("--nj", "32", "--cluster", "slurm")) == 32


def test_without_dask_jobqueue_the_stage_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with pytest.raises(ToolMissingError, match="pip install dask-jobqueue"):
        dumped(tmp_path, monkeypatch, "--cluster", "slurm", "--nj", "2")
