"""The benchmark of alignment reads the trainer's own log."""

import numpy as np
import pytest

from benchmarks.align_trained import agreement, read_log

SAMPLER = (
    "(abs_task:1) INFO: [train] Batch sampler: NumElementsBatchSampler(N-batch=2347, "
    "batch_bins=80000, sort_in_batch=descending, sort_batch=descending)\n"
    "(abs_task:1) INFO: [valid] Batch sampler: NumElementsBatchSampler(N-batch=7, "
    "batch_bins=480000)\n"
)
RESULT = (
    "(display:124) INFO: 1epoch results: [train] loss=5.156, total_count=340, "
    "time={}, [valid] loss=3.558, total_count=7, time=0.65 seconds, x\n"
)


@pytest.mark.parametrize(
    "text, seconds",
    [("14.79 seconds", 14.79), ("1 minute and 34.5 seconds", 94.5),
     ("1 hour, 2 minutes and 3 seconds", 3723.0)],
)  # fmt: skip
def test_the_time_of_a_part_of_the_batches_is_scaled_to_all(text, seconds):
    found = read_log(SAMPLER + RESULT.format(text), 340)
    assert found["measured_seconds"] == pytest.approx(seconds)
    assert found["seconds"] == pytest.approx(seconds * 2347 / 340)
    assert found["measured_batches"] == 340 and found["batches"] == 2347
    assert read_log(SAMPLER + RESULT.format(text), None)["seconds"] == seconds


def test_the_paths_of_another_type_are_counted_by_frame_and_by_utterance():
    exact = {"a": np.array([0, 3, 0, 4]), "b": np.array([0, 2])}
    rounded = {"a": np.array([3, 0, 0, 4]), "b": np.array([0, 2])}
    assert agreement(exact, exact) == {"same_frames": 1.0, "same_paths": 1.0}
    shares = agreement(rounded, exact)
    assert shares == {"same_frames": pytest.approx(4 / 6), "same_paths": 0.5}
