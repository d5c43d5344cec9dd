"""Training and validation tell the normalisation whose utterances they have."""

import json

import numpy as np
import pytest

from espnet_ext.corpus_ids import Corpora
from espnet_ext.corpus_statistics import CorpusStatistics
from espnet_ext.files import read_lines
from tests.train.tiny_training import FEATURES, checkpoint, train, words

CORPORA = Corpora.parse("first=train-00 second=train-01 third=valid-")


def test_losses_are_those_of_features_that_were_normalised_before(tiny_data, tmp_path):
    """Batches of both training corpora, and a validation set of another one."""
    means = np.array([0.5, -1.0, 3.0])[:, None] * np.ones(FEATURES)
    deviations = np.array([2.0, 0.5, 1.5])[:, None]
    statistics = CorpusStatistics(CORPORA, np.ones(3), means, means**2 + deviations**2)
    statistics.write(tmp_path / "corpus_stats.npz")
    data = tmp_path / "normalised"
    data.mkdir()
    for path in tiny_data.iterdir():
        if path.suffix != ".npy":
            (data / path.name).write_bytes(path.read_bytes())
    for role in ("train", "valid"):
        lines = []
        for line in read_lines(tiny_data / f"{role}.feats"):
            key, path = line.split()
            row = CORPORA.names.index(CORPORA.of(key))
            values = (np.load(path) - means[row]) / deviations[row]
            np.save(data / f"{key}.npy", values.astype(np.float32))
            lines.append(f"{key} {data / key}.npy\n")
        (data / f"{role}.feats").write_text("".join(lines))
    conf = f"stats_file={tmp_path / 'corpus_stats.npz'}"
    options = ("--max_epoch", "1")
    by_corpus = ("--normalize", "corpus_mvn", "--normalize_conf", conf)
    train(words(tiny_data, tmp_path / "a", *options, *by_corpus), tmp_path / "log1")
    none = ("--normalize", "none")
    train(words(data, tmp_path / "b", *options, *none), tmp_path / "log2")
    losses = [
        [json.loads(line)["loss"] for line in read_lines(folder / "train_steps.jsonl")]
        for folder in (tmp_path / "a", tmp_path / "b")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    valid = [
        checkpoint(folder)["reporter"]["stats"][1]["valid"]["loss"]
        for folder in (tmp_path / "a", tmp_path / "b")
    ]
    assert valid[0] == pytest.approx(valid[1], rel=1e-4)
