"""Stage 10 by corpus: parts that no two corpora share, and the file of sums."""

import numpy as np
import pytest

from espnet_ext.corpus_ids import Corpora
from espnet_ext.corpus_statistics import CorpusStatistics
from espnet_ext.errors import OptionError
from espnet_ext.recipe.stages import statistics, train
from tests.recipe.folders import context


def test_parts_have_one_group_each_and_large_groups_have_more():
    groups = [[f"a{n}" for n in range(9)], ["b0", "b1", "b2"]]
    parts = statistics.split_groups(groups, 6)
    assert [{key[0] for key in part} for part in parts] == [{"a"}] * 4 + [{"b"}] * 2
    assert sum(parts, []) == sum(groups, [])
    assert statistics.split_groups(groups, 2) == groups
    assert statistics.split_groups([groups[0]], 3) == [
        groups[0][n : n + 3] for n in (0, 3, 6)
    ]


def test_sums_of_a_corpus_are_those_of_its_parts(tmp_path):
    keys = ["st-1", "sw1", "st-2"]
    for number, key in enumerate(keys):
        folder = tmp_path / str(number) / "train"
        folder.mkdir(parents=True)
        (folder / "speech_shape").write_text(f"{key} 80\n")
        sums = np.full(2, 10.0 * (number + 1))
        np.savez(folder / "feats_stats.npz", count=2, sum=sums, sum_square=sums)
    corpora = Corpora.parse("calls= studio=st-")
    folders = [tmp_path / str(number) for number in range(3)]
    added = statistics.corpus_statistics(corpora, folders)
    assert added.count_N.tolist() == [2, 4]
    assert added.sum_NF.tolist() == [[20, 20], [40, 40]]


def test_corpora_are_a_setting_of_stage_10_alone_and_its_file_one_of_stage_11(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    words = ("--feats_normalize", "corpus_mvn", "--corpora", "calls= studio=st-")
    by_corpus = context(*words)
    settings = statistics.units(by_corpus)[0].settings
    assert settings["corpora"] == "calls= studio=st-"
    assert "corpora" not in statistics.units(context())[0].settings
    file = by_corpus.layout.asr_stats / "train" / "corpus_stats.npz"
    assert file in statistics.units(by_corpus)[0].outputs
    assert train.normalize_arguments(by_corpus) == [
        *("--normalize", "corpus_mvn"),
        *("--normalize_conf", f"stats_file={file}"),
    ]


def test_the_corpora_of_the_recipe_are_known_and_otherwise_all_is_one():
    def corpora(*words):
        return context("--feats_normalize", "corpus_mvn", *words).layout.corpora

    both = corpora("--corpus", "embedded+prompts")
    assert both.of("allison-agent-pass") == "prompts"
    assert both.of("sp0.9-sw02001-A_000098-001156") == "switchboard"
    assert corpora("--corpus", "ldc").names == ["all"]
    assert corpora("--corpus", "embedded+prompts", "--train_set", "x").names == ["all"]
    assert context().layout.corpora is None
    with pytest.raises(OptionError, match="--corpora"):
        corpora("--corpora", "calls")


def test_statistics_read_back_are_those_of_the_recipe(tmp_path):
    corpora = Corpora.parse("a=a b=b")
    rows = np.arange(6.0).reshape(2, 3)
    CorpusStatistics(corpora, np.ones(2), rows, rows).write(tmp_path / "x.npz")
    assert CorpusStatistics.read(tmp_path / "x.npz").sum_NF.tolist() == rows.tolist()
