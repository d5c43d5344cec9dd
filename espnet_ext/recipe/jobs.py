"""Child processes: some at a time, each with a log, one progress bar over all.

Each child leads its own process group, so that Ctrl-C reaches this process alone and
it can end all children with their workers. Children report how far they are through
``espnet_ext.progress``; a child that never reports counts when it ends.
"""

import contextlib
import dataclasses
import datetime
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Sequence

from espnet_ext.corpus.shards import cores
from espnet_ext.errors import DiskFullError, StageFailedError
from espnet_ext.progress import REPORT_VARIABLE, Progress, read_report

POLL_S = 0.1
GRACE_S = 5.0  # time to end by itself after SIGTERM
LOG_TAIL_LINES = 15
FULL_BYTES = 1 << 20
ENDED = "# Ended"
# the last two are what torch.save says of it
DISK_FULL_MARKS = (
    *("No space left on device", "[Errno 28]", "no space left on the device"),
    *("Disk quota exceeded", "File too large"),
    *("PytorchStreamWriter failed writing", "basic_ios::clear: iostream error"),
)
OUT_OF_MEMORY_SIGNAL = -signal.SIGKILL


@dataclasses.dataclass(frozen=True)
class Job:
    """One child process.

    Args:
        name: For messages, for example ``decoding 2``.
        command: Program and arguments; never a shell line.
        log: Takes all output, after a line with the command.
        environment: Added to the environment of this process.
        weight: Share of the progress bar, for example the number of utterances.
        grace_s: Time to end by itself after SIGTERM.
    """

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    weight: float = 1.0
    grace_s: float = GRACE_S


@dataclasses.dataclass
class _Child:
    job: Job
    process: subprocess.Popen
    report: Path
    started: float


def run_jobs(
    jobs: Sequence[Job], *, parallel: int, label: str, keep_logs: bool = False
) -> Dict[str, float]:
    """Run all jobs, ``parallel`` at a time, each with its share of the CPU cores.

    Args:
        jobs: What to run; started in this order.
        parallel: How many may run at the same time.
        label: Names the progress bar.
        keep_logs: Append to an older log instead of replacing it (training resumes).

    Returns:
        Seconds that each job took, by name.

    Raises:
        StageFailedError: A job failed; the others are ended first.
        DiskFullError: It failed because the device is full.
        KeyboardInterrupt: Passed on after all children have ended.
    """
    parallel = max(1, min(parallel, len(jobs)))
    threads = str(max(1, cores() // parallel))
    total = sum(job.weight for job in jobs)
    waiting = list(jobs)
    running: List[_Child] = []
    took: Dict[str, float] = {}
    finished = 0.0
    with tempfile.TemporaryDirectory(prefix="espnet-ext-") as reports:
        with Progress(total, label) as progress, _ended_with_us(running):
            while waiting or running:
                while waiting and len(running) < parallel:
                    report = Path(reports) / str(len(waiting))
                    running.append(_start(waiting.pop(0), report, threads, keep_logs))
                for child in list(running):
                    status = child.process.poll()
                    if status is None:
                        continue
                    running.remove(child)
                    _end_group(child)  # workers that outlive a crashed child
                    took[child.job.name] = time.monotonic() - child.started
                    _append(child.job.log, f"{ENDED} with status {status}")
                    if status != 0:
                        raise failure(child.job, status)
                    finished += child.job.weight
                progress.update(*_state(finished, running))
                if running:
                    time.sleep(POLL_S)
    return took


def _state(finished: float, running: Sequence[_Child]) -> tuple:
    """Work done so far and the note of the last child that wrote one."""
    done, note = finished, ""
    for child in running:
        report = read_report(child.report)
        if report is not None and report.total > 0:
            done += child.job.weight * min(report.done / report.total, 1.0)
            note = report.note or note
    return done, note


def _start(job: Job, report: Path, threads: str, keep_logs: bool) -> _Child:
    job.log.parent.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "PYTHONUNBUFFERED": "1",
        **job.environment,
        REPORT_VARIABLE: str(report),
    }
    now = datetime.datetime.now().isoformat(timespec="seconds")
    with open(job.log, "ab" if keep_logs else "wb") as log:
        log.write(f"# {shlex.join(job.command)}\n# Started at {now}\n".encode())
        log.flush()
        try:
            process = subprocess.Popen(
                job.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise StageFailedError(
                f"{job.name} could not be started: {error.strerror}",
                where=job.command[0],
                next_step="check --python and the installation: espnet-ext doctor",
            ) from None
    return _Child(job, process, report, time.monotonic())


@contextlib.contextmanager
def _ended_with_us(running: List[_Child]) -> Iterator[None]:
    """End all children however the block is left; SIGTERM and SIGHUP act as Ctrl-C."""

    def interrupt(*unused) -> None:
        raise KeyboardInterrupt

    previous = {}
    with contextlib.suppress(ValueError):  # not the main thread: handlers stay
        for number in (signal.SIGTERM, signal.SIGHUP):
            previous[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        # a second Ctrl-C must not leave children behind
        with contextlib.suppress(ValueError):
            previous[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            _end(running)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _end(running: List[_Child]) -> None:
    for child in running:
        _signal_group(child, signal.SIGTERM)
    began = time.monotonic()
    for child in running:
        deadline = began + child.job.grace_s
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(max(0.0, deadline - time.monotonic()))
        _end_group(child)
        child.process.wait()
        _append(child.job.log, f"{ENDED} from outside before it was finished")


def _end_group(child: _Child) -> None:
    _signal_group(child, signal.SIGKILL)


def _signal_group(child: _Child, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, number)


def _append(log: Path, line: str) -> None:
    with contextlib.suppress(OSError), open(log, "a", encoding="utf-8") as file:
        file.write(line + "\n")


def log_tail(log: Path, lines: int = LOG_TAIL_LINES) -> List[str]:
    """The last lines of a log that say something."""
    text = log.read_text(encoding="utf-8", errors="replace")
    said = [line for line in text.splitlines() if line.strip()]
    return [line for line in said if not line.startswith(ENDED)][-lines:]


def failure(job: Job, status: int) -> Exception:
    """The error that says why a job failed, by the end of its log."""
    tail = log_tail(job.log)
    named = [n for n, line in enumerate(tail) if line.startswith("error: ")]
    tail = tail[named[-1] :] if named else tail  # the child has said it well
    text = "\n".join(tail)
    # the log may lie on the full device too and end before the reason
    free_bytes = shutil.disk_usage(job.log.parent).free
    if free_bytes < FULL_BYTES or any(mark in text for mark in DISK_FULL_MARKS):
        return DiskFullError(
            f"{job.name} could not write: the device is full or a limit is reached",
            where=job.log,
            next_step="free some space and run the same command again; "
            "results finished so far are kept",
        )
    how = f"exit status {status}" if status > 0 else f"signal {-status}"
    if status == OUT_OF_MEMORY_SIGNAL:
        how += " (often: out of memory)"
    shown = "\n".join(f"    | {line}" for line in tail)
    return StageFailedError(
        f"{job.name} failed with {how}; the log ends with:\n{shown}",
        where=job.log,
        next_step="correct the cause and run the same command again: it continues",
    )
