"""Several processes: the same update as one, and no process waits for a dead one."""

import os
import signal
import socket
import time

import pytest
import torch

from espnet_ext.errors import run_main
from espnet_ext.tasks.asr import TransducerTask
from tests.train.tiny_training import (
    CONFIG,
    Child,
    assert_same_result,
    checkpoint,
    differences,
    make_data,
    train,
    words,
    write_config,
)

NO_DROPOUT = {
    "encoder_conf": {**CONFIG["encoder_conf"], "dropout": 0.0},
    "decoder_conf": {
        **CONFIG["decoder_conf"],
        "embedding_dropout": 0.0,
        "joint": {
            "readout_size": 8,
            "attention": {"key_size": 3, "key_dropout": 0.0, "weight_dropout": 0.0},
            "input_dropout": 0.0,
            "label_dropout": 0.0,
        },
    },
    "specaug": None,
    "optim": "sgd",
    "optim_conf": {"lr": 0.1},
    "grad_clip": 1.0e9,
    "train_dtype": "float64",
    "batch_size": 4,
}


@pytest.fixture(scope="module")
def even_data(tmp_path_factory):
    """Utterances of one length, whose loss does not depend on the others."""
    return make_data(tmp_path_factory.mktemp("even"), count=16, valid=4, longest=13)


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def start_all(command, folder, count: int = 2):
    """One child for each rank, with the environment that torchrun sets."""
    port = free_port()

    def work(rank: int):
        os.environ.update(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE=str(count),
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(port),
        )
        return run_main(lambda: TransducerTask.main(cmd=command))

    return [
        Child(lambda rank=rank: work(rank), folder / f"rank{rank}.log")
        for rank in range(count)
    ]


def train_all(command, folder, count: int = 2) -> None:
    children = start_all(command, folder, count)
    for child in children:
        status = child.wait()
        assert status == 0, child.text()[-3000:]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("accum_grad", [1, 2])
def test_two_processes_with_half_the_batch_each_make_the_same_update(
    even_data, tmp_path, reduction, accum_grad
):
    config = write_config(
        tmp_path / "config.yaml",
        **{**NO_DROPOUT, "accum_grad": accum_grad, "num_iters_per_epoch": 2},
        model_conf={"ctc_weight": 0.5, "loss_reduction": reduction},
        max_epoch=1,
    )
    options = ("--config", str(config))
    train(words(even_data, tmp_path / "one", *options), tmp_path / "log")
    train_all(words(even_data, tmp_path / "two", *options), tmp_path)
    one, two = checkpoint(tmp_path / "one"), checkpoint(tmp_path / "two")
    initial = train_nothing(even_data, tmp_path, *options)
    for name, weight in one["model"].items():
        torch.testing.assert_close(two["model"][name], weight, rtol=1e-6, atol=1e-9)
    assert any(not torch.equal(w, initial[n]) for n, w in one["model"].items())
    for phase in ("train", "valid"):
        scores = [c["reporter"]["stats"][1][phase]["loss"] for c in (one, two)]

        assert scores[0] == pytest.approx(scores[1], rel=1e-6)


def train_nothing(data, tmp_path, *options):
    """Weights before the first update."""
    folder = tmp_path / "nothing"
    options = (*options, "--optim_conf", "lr=0.0")
    train(words(data, folder, *options), tmp_path / "log-nothing")
    return checkpoint(folder)["model"]


@pytest.mark.slow
def test_a_distributed_training_resumes_bit_identically(tiny_data, tmp_path):
    """Dropout and masks differ between the processes; both states are kept."""
    options = ("--save_interval_updates", "1", "--max_epoch", "3")
    train_all(words(tiny_data, tmp_path / "whole", *options), tmp_path)
    command = words(tiny_data, tmp_path / "killed", *options)
    for moment in (0.35, 0.5):
        children = start_all(command, tmp_path)
        time.sleep(moment)
        for child in children:
            child.kill(signal.SIGKILL)
        for child in children:
            child.wait()
    train_all(command, tmp_path)
    assert_same_result(tmp_path / "whole", tmp_path / "killed")
    streams = [p["streams"] for p in checkpoint(tmp_path / "whole")["processes"]]
    assert "dropout" in "".join(differences(*streams))


@pytest.mark.parametrize("victim", [0, 1])
def test_when_a_process_dies_all_others_end_with_an_error(tiny_data, tmp_path, victim):
    options = ("--max_epoch", "10000", "--dist_timeout_seconds", "20")
    command = words(tiny_data, tmp_path / "exp", *options)
    children = start_all(command, tmp_path)
    log = tmp_path / "exp" / "train_steps.jsonl"
    end = time.monotonic() + 60
    while not (log.exists() and log.stat().st_size) and time.monotonic() < end:
        time.sleep(0.02)
    children[victim].kill(signal.SIGKILL)
    began = time.monotonic()
    other = children[1 - victim]
    assert other.wait(60) == 1, other.text()[-3000:]
    assert time.monotonic() - began < 60
    assert "another process of this training died" in other.text()
    assert children[victim].wait() == -signal.SIGKILL


def test_a_process_that_falls_silent_is_not_waited_for(tiny_data, tmp_path):
    """A stopped process holds its connections: only the time limit helps."""
    options = ("--max_epoch", "10000", "--dist_timeout_seconds", "2")
    children = start_all(words(tiny_data, tmp_path / "exp", *options), tmp_path)
    log = tmp_path / "exp" / "train_steps.jsonl"
    end = time.monotonic() + 60
    while not (log.exists() and log.stat().st_size) and time.monotonic() < end:
        time.sleep(0.02)
    children[1].kill(signal.SIGSTOP)
    assert children[0].wait(60) == 1, children[0].text()[-3000:]
    children[1].kill(signal.SIGKILL)
    children[1].wait()


def test_sigterm_to_one_process_saves_and_ends_all(tiny_data, tmp_path):
    options = ("--max_epoch", "10000")
    children = start_all(words(tiny_data, tmp_path / "exp", *options), tmp_path)
    log = tmp_path / "exp" / "train_steps.jsonl"
    end = time.monotonic() + 60
    while not (log.exists() and log.stat().st_size) and time.monotonic() < end:
        time.sleep(0.02)
    children[1].kill(signal.SIGTERM)
    assert [child.wait(30) for child in children] == [75, 75]
    assert checkpoint(tmp_path / "exp")["position"]["batches"] > 0


def averaging(updates: int):
    return {
        "multi_gpu": {
            "processes": 2,
            "parameter_average_interval_updates": updates,
            "data": "shuffled_per_process",
        },
        "segment_order": "shuffled_sorted_in_chunks",
        "batch_schedule": [{"from_epoch": 1, "max_frames": 60, "accum_grad": 1}],
    }


def test_after_the_mean_at_a_sub_epochs_end_both_processes_have_one_model(
    even_data, tmp_path
):
    config = write_config(
        tmp_path / "config.yaml",
        **{**NO_DROPOUT, "optim_conf": {"lr": 0.1}},
        regime_conf=averaging(1),
        max_epoch=1,
    )
    options = ("--config", str(config))
    train_all(words(even_data, tmp_path / "two", *options), tmp_path)
    merged = checkpoint(tmp_path / "two")
    own = merged["processes"][1]
    assert not differences(merged["model"], own["model"])
    lines = (tmp_path / "two" / "train_steps.jsonl").read_text().splitlines()
    assert len(lines) == merged["position"]["batches"] > 2


def test_averaging_needs_the_number_of_processes_that_it_names(tiny_data, tmp_path):
    config = write_config(tmp_path / "config.yaml", regime_conf=averaging(1))
    command = words(tiny_data, tmp_path / "exp", "--config", str(config))
    text = train(command, tmp_path / "log", status=1)
    assert "multi_gpu.processes is 2, 1 run" in text
    assert "torchrun --nproc_per_node 2" in text
