"""Child processes: logs, failures, interruption, progress."""

import io
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from espnet_ext.errors import DiskFullError, StageFailedError
from espnet_ext.recipe import jobs
from espnet_ext.recipe.jobs import Job, run_jobs
from tests.shared import REPOSITORY


def python(code: str) -> list:
    return [sys.executable, "-c", textwrap.dedent(code)]


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition, limit_s: float = 10.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def test_each_job_has_its_log_and_its_share_of_the_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "cores", lambda: 4)
    code = "import os; print('threads', os.environ['OMP_NUM_THREADS'])"
    work = [Job(f"j{n}", python(code), tmp_path / f"{n}.log") for n in range(2)]
    took = run_jobs(work, parallel=2, label="test")
    assert set(took) == {"j0", "j1"}
    for job in work:
        text = job.log.read_text(encoding="utf-8")
        assert "threads 2" in text and "# Ended with status 0" in text


def test_no_more_jobs_than_allowed_run_at_once(tmp_path):
    code = f"""
        import os, time
        folder = {str(tmp_path)!r}
        name = os.path.join(folder, f"run{{os.getpid()}}")
        open(name, "w").close()
        print("together", sum(f.startswith("run") for f in os.listdir(folder)))
        time.sleep(0.15)
        os.remove(name)
    """
    work = [Job(f"j{n}", python(code), tmp_path / f"{n}.log") for n in range(5)]
    run_jobs(work, parallel=2, label="test")
    counts = [
        int(line.split()[1])
        for job in work
        for line in job.log.read_text(encoding="utf-8").splitlines()
        if line.startswith("together")
    ]
    assert len(counts) == 5 and max(counts) <= 2


def test_a_failure_ends_the_others_and_shows_the_end_of_the_log(tmp_path):
    pid_file = tmp_path / "pid"
    slow = python(f"""
        import os, time
        with open({str(pid_file)!r} + ".part", "w") as file:
            file.write(str(os.getpid()))
        os.rename({str(pid_file)!r} + ".part", {str(pid_file)!r})
        time.sleep(60)
        """)
    bad = python(f"""
        import os, sys, time
        while not os.path.exists({str(pid_file)!r}):
            time.sleep(0.01)
        sys.exit("the reason")
        """)
    work = [Job("slow", slow, tmp_path / "a.log"), Job("bad", bad, tmp_path / "b.log")]
    with pytest.raises(StageFailedError) as caught:
        run_jobs(work, parallel=2, label="test")
    assert "bad failed with exit status 1" in str(caught.value)
    assert "the reason" in str(caught.value)
    assert str(tmp_path / "b.log") in str(caught.value)
    assert not alive(int(pid_file.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "last_words", ["OSError: [Errno 28] No space left on device", "File too large"]
)
def test_a_full_device_in_a_child_is_recognised(tmp_path, last_words):
    job = Job("writer", python(f"raise SystemExit({last_words!r})"), tmp_path / "log")
    with pytest.raises(DiskFullError, match="free some space"):
        run_jobs([job], parallel=1, label="test")


def test_a_full_device_is_recognised_when_the_log_is_cut_short(tmp_path, monkeypatch):
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    job = Job("writer", python("raise SystemExit('Traceb')"), tmp_path / "log")
    with pytest.raises(DiskFullError):
        run_jobs([job], parallel=1, label="test")


def test_a_killed_child_is_explained(tmp_path):
    code = "import os; os.kill(os.getpid(), 9)"
    with pytest.raises(StageFailedError, match="signal 9.*out of memory"):
        run_jobs([Job("big", python(code), tmp_path / "log")], parallel=1, label="test")


def test_a_program_that_does_not_exist_is_named(tmp_path):
    job = Job("nothing", ["/does/not/exist"], tmp_path / "log")
    with pytest.raises(StageFailedError, match="/does/not/exist"):
        run_jobs([job], parallel=1, label="test")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_the_children_and_their_children(tmp_path, number):
    """The parent exits with 130, and neither child nor grandchild stays behind."""
    pids = tmp_path / "pids"
    child = f"""
        import os, subprocess, sys, time
        inner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        with open({str(pids)!r} + ".part", "w") as file:
            file.write(f"{{os.getpid()}} {{inner.pid}}")
        os.rename({str(pids)!r} + ".part", {str(pids)!r})
        time.sleep(60)
    """
    parent = f"""
        import sys
        from pathlib import Path
        from espnet_ext.errors import run_main
        from espnet_ext.recipe.jobs import Job, run_jobs
        command = [sys.executable, "-c", {textwrap.dedent(child)!r}]
        job = Job("child", command, Path({str(tmp_path / "log")!r}))
        sys.exit(run_main(lambda: run_jobs([job], parallel=1, label="test") and 0))
    """
    process = subprocess.Popen(
        python(parent), env={**os.environ, "PYTHONPATH": str(REPOSITORY)}
    )
    try:
        wait_for(pids.exists)
        process.send_signal(number)
        assert process.wait(10) == 130
    finally:
        process.kill()
    for pid in map(int, pids.read_text(encoding="utf-8").split()):
        wait_for(lambda: not alive(pid))


def test_the_reports_of_the_children_move_the_bar(tmp_path, monkeypatch):
    shown = []

    class Recorder(jobs.Progress):
        def __init__(self, total, label):
            super().__init__(total, label, stream=io.StringIO())

        def update(self, done, note=""):
            shown.append((done, note))

    monkeypatch.setattr(jobs, "Progress", Recorder)
    code = """
        import time
        from espnet_ext.progress import report
        report(3, 4, "epoch 3/4")
        time.sleep(0.4)
    """
    environment = {"PYTHONPATH": str(REPOSITORY)}
    job = Job("child", python(code), tmp_path / "log", environment, weight=20)
    run_jobs([job], parallel=1, label="test")
    assert (15.0, "epoch 3/4") in shown
    assert shown[-1][0] == 20
