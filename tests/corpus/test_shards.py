"""Shards: any number of them, here or under Dask, gives the same."""

import sys
from pathlib import Path

import pytest

from espnet_ext.corpus.audio import inspect_audio
from espnet_ext.corpus.corpora import roots_below
from espnet_ext.corpus.ms98 import PROFILES
from espnet_ext.corpus.prepare import prepare
from espnet_ext.corpus.settings import Settings
from espnet_ext.corpus.shards import Cluster, map_shards, split
from espnet_ext.corpus.swbd import Side, utterances_of_sides
from espnet_ext.errors import FormatError, OptionError, ToolMissingError
from tests.corpus.trees import write_call
from tests.shared import shared_file

SETTINGS = Settings(split="kaldi", dev_utterances=8, concat=(1, 3))


def test_the_parts_of_a_cut_sequence_make_the_whole_and_none_is_empty():
    for count in range(1, 9):
        parts = split(range(5), count)
        assert [item for part in parts for item in part] == list(range(5))
        assert all(parts) and len(parts) == min(count, 5)
    assert split([], 4) == [[]]


def test_results_come_in_the_order_of_the_items():
    for shards in (1, 2, 8):
        cluster = Cluster(workers=1, shards=shards)
        parts = map_shards(list, list("abcdefghij"), cluster, "letters")
        assert [item for part in parts for item in part] == list("abcdefghij")


def contents(folder: Path):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".prepare" not in path.parts
    }


def prepared(folder: Path, cluster: Cluster, monkeypatch):
    folder.mkdir()
    monkeypatch.chdir(folder)  # the report names paths
    root = shared_file("data/ldc-mini/ORIGIN.md").parent
    prepare(
        roots_below(root),
        Path("data"),
        settings=SETTINGS,
        cluster=cluster,
        say=lambda line: None,
    )
    return contents(folder)


def test_one_two_and_eight_shards_give_the_same_bytes(tmp_path, monkeypatch):
    one = prepared(tmp_path / "1", Cluster(workers=1, shards=1), monkeypatch)
    assert len(one) > 60
    for shards in (2, 8):
        cluster = Cluster(workers=1, shards=shards)
        assert prepared(tmp_path / str(shards), cluster, monkeypatch) == one


@pytest.mark.slow
def test_shards_in_processes_of_dask_give_the_same_bytes(tmp_path, monkeypatch):
    one = prepared(tmp_path / "1", Cluster(workers=1, shards=1), monkeypatch)
    for shards in (2, 8):
        cluster = Cluster(workers=2, shards=shards)
        assert prepared(tmp_path / str(shards), cluster, monkeypatch) == one


@pytest.mark.slow
def test_an_error_in_a_worker_arrives_with_all_it_says(tmp_path):
    audio = write_call(tmp_path / "sw02001.sph")
    (info,) = inspect_audio([audio])
    broken = tmp_path / "sw2001A-ms98-a-trans.text"
    broken.write_text("sw2001A-ms98-a-0001 zero one yes\n")
    sides = [Side("sw02001-A", broken, (audio, 0), info.info, None)] * 2
    with pytest.raises(FormatError) as caught:
        map_shards(_work, sides, Cluster(workers=2, shards=2), "transcripts")
    assert caught.value.where == f"{broken} line 1"
    assert caught.value.expected.startswith("SEGMENT START END")


def _work(sides):
    return utterances_of_sides(sides, PROFILES["plain"], None)


def test_slurm_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with pytest.raises(ToolMissingError, match="pip install dask-jobqueue"):
        map_shards(list, [1, 2], Cluster("slurm", workers=2), "numbers")


def test_options_of_slurm_become_those_of_its_jobs():
    options = "queue=short account=me walltime=01:00:00 extra=--qos=low extra=--mail=no"
    assert Cluster("slurm", options=options).slurm() == {
        "cores": 1,
        "memory": "4GB",
        "queue": "short",
        "account": "me",
        "walltime": "01:00:00",
        "job_extra_directives": ["--qos=low", "--mail=no"],
    }
    with pytest.raises(OptionError, match="did you mean queue=...?"):
        Cluster("slurm", options="queu=short").slurm()
    with pytest.raises(OptionError, match="'short' is not an option"):
        Cluster("slurm", options="short").slurm()


def test_an_unknown_cluster_names_the_nearest():
    with pytest.raises(OptionError, match="--cluster slurm"):
        map_shards(list, [1], Cluster("slrum"), "numbers")
