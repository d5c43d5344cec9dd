"""A training of a second: a tiny model on random features, run in forked children.

The children inherit the imported modules, so that twenty trainings cost twenty seconds.
"""

import logging
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Callable, Dict, List, Optional

import numpy as np
import torch
import yaml

from espnet_ext.errors import run_main
from espnet_ext.tasks.asr import TransducerTask

TOKENS = ["<blank>", "<unk>", "a", "b", "c", "<sos/eos>"]
FEATURES = 8
LIMIT_S = 120.0

CONFIG = {
    "input_size": FEATURES,
    "token_type": "word",
    "encoder": "conv_blstm",
    "encoder_conf": {
        "conv_channels": [2],
        "conv_feature_pooling": [2],
        "num_layers": 2,
        "hidden_size": 3,
        "time_pooling": [2],
        "dropout": 0.1,
    },
    "decoder": "lstm_transducer",
    "decoder_conf": {
        "embedding_size": 3,
        "hidden_size": 4,
        "embedding_dropout": 0.1,
        "joint": {"readout_size": 8, "attention": {"key_size": 3}},
    },
    "model": "full_sum_transducer",
    "model_conf": {"ctc_weight": 0.5, "loss_reduction": "sum"},
    "optim": "adam",
    "optim_conf": {"lr": 0.01},
    "batch_type": "unsorted",
    "batch_size": 3,
    "specaug": "masks_by_step",
    "specaug_conf": {
        "masks": {
            "time_length": [1, 3],
            "frames_per_time_mask": 10,
            "min_time_masks": 1,
            "feature_length": [1, 2],
            "feature_masks": 1,
            "schedule": "increasing",
            "count": "batch_maximum",
        }
    },
    "num_att_plot": 0,
    "use_tensorboard": False,
    "use_matplotlib": False,
    "max_epoch": 3,
    "keep_nbest_models": [2],
    "best_model_criterion": [["valid", "loss", "min"]],
    "num_workers": 0,
    "seed": 5,
}


def make_data(folder: Path, count: int = 14, valid: int = 3, longest=30) -> Path:
    """Features, texts, lengths, tokens and the configuration; returns the folder.

    Utterances have 12 to ``longest - 1`` frames.
    """
    generator = np.random.default_rng(3)
    (folder / "tokens.txt").write_text("\n".join(TOKENS) + "\n")
    for name, size in (("train", count), ("valid", valid)):
        lines: Dict[str, List[str]] = {"feats": [], "text": [], "shape": [], "tok": []}
        for number in range(size):
            frames = int(generator.integers(12, longest))
            labels = generator.choice(TOKENS[2:5], int(generator.integers(2, 4)))
            path = folder / f"{name}{number}.npy"
            values = generator.standard_normal((frames, FEATURES), dtype=np.float32)
            np.save(path, values)
            key = f"{name}-{number:03d}"
            lines["feats"].append(f"{key} {path}")
            lines["text"].append(f"{key} {' '.join(labels)}")
            lines["shape"].append(f"{key} {frames},{FEATURES}")
            lines["tok"].append(f"{key} {len(labels)},{len(TOKENS)}")
        for kind, rows in lines.items():
            (folder / f"{name}.{kind}").write_text("\n".join(rows) + "\n")
    write_config(folder / "config.yaml")
    return folder


def write_config(path: Path, **changes) -> Path:
    """CONFIG with other values."""
    path.write_text(yaml.safe_dump({**CONFIG, **changes}))
    return path


def words(data: Path, output: Path, *more: str) -> List[str]:
    """Command line of a training."""
    command = ["--config", str(data / "config.yaml"), "--output_dir", str(output)]
    command += ["--token_list", str(data / "tokens.txt"), "--resume", "true"]
    for role in ("train", "valid"):
        for kind, name, reader in (
            ("feats", "speech", "npy"),
            ("text", "text", "text"),
        ):
            value = f"{data}/{role}.{kind},{name},{reader}"
            command += [f"--{role}_data_path_and_name_and_type", value]
        for kind in ("shape", "tok"):
            command += [f"--{role}_shape_file", f"{data}/{role}.{kind}"]
    return [*command, "--log_level", "WARNING", *more]


class Child:
    """A forked process that calls a function and exits with what it returns.

    Args:
        function: Called in the child.
        log: Takes its output.
    """

    def __init__(self, function: Callable[[], Optional[int]], log: Path):
        self.log = log
        self.pid = os.fork()
        if self.pid == 0:
            self._work(function)

    def _work(self, function: Callable[[], Optional[int]]) -> None:
        status = 70
        try:
            os.setpgid(0, 0)
            descriptor = os.open(
                self.log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644
            )
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            logging.root.handlers.clear()  # pytest's, which would keep the messages
            torch.set_num_threads(1)
            status = function() or 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def wait(self, limit_s: float = LIMIT_S) -> int:
        """Exit status, negative for a signal."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        self.kill()
        raise AssertionError(f"a child did not end in {limit_s} s: {self.text()}")

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the process alone; its workers see that it is gone."""
        os.kill(self.pid, number)

    def text(self) -> str:
        """What it has written."""
        return self.log.read_text() if self.log.exists() else ""


def start(command: List[str], log: Path) -> Child:
    """Begin a training in a child."""
    return Child(lambda: run_main(lambda: TransducerTask.main(cmd=command)), log)


def train(command: List[str], log: Path, status: int = 0) -> str:
    """Train in a child to its end; returns its output."""
    child = start(command, log)
    found = child.wait()
    assert found == status, f"status {found}:\n{child.text()[-4000:]}"
    return child.text()


def checkpoint(output: Path) -> Dict:
    """Content of the newest checkpoint."""
    return torch.load(output / "checkpoint.pth", weights_only=True)


def differences(first, second, name: str = "") -> List[str]:
    """Names of the entries in which two nested containers differ by a bit."""
    if isinstance(first, torch.Tensor):
        same = isinstance(second, torch.Tensor) and first.dtype == second.dtype
        return [] if same and torch.equal(first, second) else [name]
    if isinstance(first, dict) and isinstance(second, dict):
        keys = {**first, **second}
        return [
            difference
            for key in keys
            for difference in differences(
                first.get(key), second.get(key), f"{name}.{key}"
            )
        ]
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        if len(first) != len(second):
            return [f"{name}: length"]
        return [
            difference
            for number, (one, other) in enumerate(zip(first, second))
            for difference in differences(one, other, f"{name}[{number}]")
        ]
    return [] if repr(first) == repr(second) else [name]


def assert_same_result(one: Path, other: Path) -> None:
    """Weights, optimizer, streams, scores and step log are equal to the last bit."""
    found = differences(checkpoint(one), checkpoint(other))
    assert not found, f"{other} differs in {found[:20]}"
    log = "train_steps.jsonl"
    assert (one / log).read_bytes() == (other / log).read_bytes()
    names = sorted(path.name for path in one.glob("*.pth"))
    # a training that ended early once has left its mean of the best as well
    assert set(names) <= {path.name for path in other.glob("*.pth")}
    for name in names:
        if name.startswith("checkpoint"):
            continue  # the one before depends on when saves were made
        states = [torch.load(p / name, weights_only=True) for p in (one, other)]
        assert not differences(*states), f"{name} differs"
