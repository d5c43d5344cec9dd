"""Training computes without denormal floats: on a CPU they cost several times more."""

import argparse

import pytest
import torch
from espnet2.tasks.asr import ASRTask

from espnet_ext.tasks.asr import TransducerTask

DENORMAL = 1e-40


@pytest.fixture
def normal_rounding():
    supported = torch.set_flush_denormal(False)
    yield supported
    torch.set_flush_denormal(False)


def test_posteriors_below_the_smallest_normal_float_are_zero_while_training(
    monkeypatch, normal_rounding
):
    if not normal_rounding:
        pytest.skip("this processor cannot flush denormal floats")
    seen = []

    def train(cls, args):
        seen.append(float(torch.full((1000,), 2 * DENORMAL).mul(0.5).max()))

    monkeypatch.setattr(ASRTask, "main_worker", classmethod(train))
    ASRTask.main_worker(argparse.Namespace())
    TransducerTask.main_worker(argparse.Namespace(collect_stats=True, dry_run=False))
    assert seen[0] == pytest.approx(DENORMAL, rel=1e-4)
    assert seen[1] == 0.0
