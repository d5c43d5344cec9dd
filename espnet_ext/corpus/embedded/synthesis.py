"""Runs one worker process a voice, at most a few at a time, and survives crashes."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from espnet_ext.corpus.embedded.speakers import Speaker
from espnet_ext.errors import StageFailedError, ToolMissingError
from espnet_ext.progress import Progress

WORKER = (sys.executable, str(Path(__file__).with_name("espeak_worker.py")))
ATTEMPTS = 3
TIMEOUT_S = 120.0
POLL_S = 0.02


class Spoken(NamedTuple):
    """One synthesised text.

    Attributes:
        samples: int16 [N].
        rate: Samples per second.
        words: Rows [words, 2]: position in the text, first sample.
    """

    samples: np.ndarray
    rate: int
    words: np.ndarray


class SpokenTexts:
    """What one speaker said, read from its file when asked for; several threads may."""

    def __init__(self, path: Path):
        self._lock = threading.Lock()
        self._arrays = np.load(path)
        self.rate = int(self._arrays["rate"])

    def __getitem__(self, key: str) -> Spoken:
        with self._lock:
            return Spoken(self._arrays[key], self.rate, self._arrays[f"{key}.words"])

    def close(self) -> None:
        """Close the file."""
        self._arrays.close()


def synthesise(
    texts: Mapping[Speaker, Mapping[str, str]],
    folder: Path,
    *,
    workers: int = 2,
    worker_command: Sequence[str] = WORKER,
) -> Dict[Speaker, SpokenTexts]:
    """Speak all texts.

    Args:
        texts: Speaker -> key -> text.
        folder: Where jobs, sounds and logs go; must exist.
        workers: Processes at a time.
        worker_command: The program, called with a job and an output path.

    Raises:
        ToolMissingError: ``espeakng-loader`` is not installed.
        StageFailedError: A voice failed three times.
    """
    _check_installed()
    waiting = [_Job(speaker, texts[speaker], folder) for speaker in texts]
    total, done = len(waiting), 0
    running: List[_Job] = []
    try:
        with Progress(total, "speaking") as progress:
            while waiting or running:
                while waiting and len(running) < workers:
                    running.append(waiting.pop(0))
                    running[-1].start(worker_command)
                for job in [job for job in running if job.ended()]:
                    running.remove(job)
                    if job.succeeded():
                        done += 1
                        progress.update(done)
                    else:
                        job.check_attempts()
                        waiting.append(job)
                time.sleep(POLL_S)
    finally:
        for job in running:
            job.stop()
    return {
        speaker: SpokenTexts(_Job(speaker, {}, folder).out_path) for speaker in texts
    }


class _Job:
    """All texts of one speaker, tried again when the process dies."""

    def __init__(self, speaker: Speaker, texts: Mapping[str, str], folder: Path):
        self.speaker, self.texts = speaker, texts
        self.job_path = folder / f"{speaker.pin}.json"
        self.out_path = folder / f"{speaker.pin}.npz"
        self.log_path = folder / f"{speaker.pin}.log"
        self.attempts = 0
        self.process: Optional[subprocess.Popen] = None

    def start(self, command: Sequence[str]) -> None:
        job = {
            "voice": self.speaker.voice,
            "rate_wpm": self.speaker.rate_wpm,
            "pitch": self.speaker.pitch,
            "texts": dict(self.texts),
        }
        self.job_path.write_text(json.dumps(job), encoding="utf-8")
        self.attempts += 1
        self.deadline = time.monotonic() + TIMEOUT_S
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [*command, str(self.job_path), str(self.out_path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # many short processes: threads of the linear algebra only cost time
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )

    def ended(self) -> bool:
        if self.process.poll() is None and time.monotonic() > self.deadline:
            self.stop()
        return self.process.poll() is not None

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def succeeded(self) -> bool:
        return self.process.returncode == 0 and self.out_path.exists()

    def check_attempts(self) -> None:
        if self.attempts < ATTEMPTS:
            return
        status = self.process.returncode
        how = (
            f"was killed by signal {-status}" if status < 0 else f"ended with {status}"
        )
        said = self.log_path.read_text(encoding="utf-8", errors="replace").strip()
        last = said.splitlines()[-1] if said else "it printed nothing"
        raise StageFailedError(
            f"the synthesiser {how} {self.attempts} times in a row: {last}",
            where=f"voice {self.speaker.voice}",
            next_step="run the command again; if it stays, another --seed gives the "
            "voice another text and accent",
        )


def _check_installed() -> None:
    import importlib.util

    if importlib.util.find_spec("espeakng_loader") is None:
        raise ToolMissingError(
            "the synthesiser is not installed",
            expected="the package espeakng-loader",
            next_step="pip install espeakng-loader",
        )


def word_spans(
    spans: Sequence[Tuple[int, int]], spoken: Spoken
) -> List[Tuple[int, int]]:
    """Sample ranges of some pieces of a text.

    Args:
        spans: Character ranges (start, end) of the pieces, in order.
        spoken: The sound of the whole text, with word events.

    Returns:
        (first, last + 1) sample of each piece. A piece ends where the next begins.
        Where the library gives no event (it joins some words), time is shared out
        by the number of characters.
    """
    end = len(spoken.samples)
    known = {0: 0}
    for position, sample in spoken.words.tolist():
        for index, (start, stop) in enumerate(spans):
            if start <= position < stop:
                known.setdefault(index, min(sample, end))
                break
    known[len(spans)] = end
    starts = [0] * (len(spans) + 1)
    marks = sorted(known)
    for left, right in zip(marks, marks[1:]):
        sizes = [spans[i][1] - spans[i][0] for i in range(left, right)]
        position = known[left]
        for i, size in zip(range(left, right), sizes):
            starts[i] = position
            position += round((known[right] - known[left]) * size / sum(sizes))
    starts[-1] = end
    return [(min(a, b), b) for a, b in zip(starts, starts[1:])]
