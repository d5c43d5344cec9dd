"""Stage align without a model: sets, names, units, shards that are kept."""

import numpy as np
import pytest

from espnet_ext.errors import OptionError
from espnet_ext.recipe.parse import parse
from espnet_ext.recipe.stages import TABLE, align, stage
from tests.recipe.folders import context


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_stage_is_called_by_name_and_never_by_running_all():
    options = parse(["--stage", "align"])
    assert TABLE[options.stage][0] == "align"
    assert stage(options.stage).run is align.run
    assert max(range(1, min(parse([]).stop_stage, 14) + 1)) < options.stage
    with pytest.raises(OptionError, match="no stage 20"):
        parse(["--stage", "20"])


def test_alignments_made_in_different_ways_have_folders_of_their_own():
    words = [
        (),
        ("--align_method", "sum_alpha"),
        ("--align_output", "aux:4"),
        ("--align_topology", "rnnt"),
        ("--align_dtype", "bfloat16"),
        ("--align_output", "ctc", "--align_prior_scale", "0.5"),
        ("--inference_asr_model", "3epoch.pth"),
    ]
    names = [align.align_name(context(*more)) for more in words]
    assert names[0] == "align_exact_auto_valid.acc.ave"
    assert len(set(names)) == len(names) and not any(":" in name for name in names)


def test_training_and_validation_set_are_aligned_unless_others_are_named():
    assert align.aligned_sets(context()) == ["train", "dev"]
    chosen = context("--align_sets", "dev rt03s")
    assert align.aligned_sets(chosen) == ["dev", "rt03s"]


def shard_files(tmp_path, monkeypatch):
    """A dumped set of three utterances, and jobs that write what they are told."""
    here = context("--inference_nj", "2", "--align_formats", "kaldi")
    folder = here.layout.dump / "dev"
    folder.mkdir(parents=True)
    (folder / "text").write_text("a one\nb two\nc three\n", encoding="utf-8")
    monkeypatch.setattr(align, "cores", lambda: 2)
    monkeypatch.setattr(align, "read_samples", lambda _: {"a": 5, "b": 9, "c": 7})
    monkeypatch.setattr(align, "_arguments", lambda *unused: [])
    started = []

    def run_jobs(jobs, parallel, label):
        from espnet_ext.alignment.store import AlignmentInfo, AlignmentSet, write_set
        from espnet_ext.bin.align import main

        for job in jobs:
            words = [str(word) for word in job.command]
            started.append(job.name)
            if "export" in words:
                assert main(words[words.index("export") :]) == 0
                continue
            keys = align.keys_of(words[words.index("--key_file") + 1])
            made = AlignmentSet(AlignmentInfo("rna", ("<blank>",), 0.04))
            made.failed = {key: f"job {len(started)}" for key in keys}
            out = words[words.index("--output_dir") + 1]
            write_set(made, f"{out}/alignment.npz")

    monkeypatch.setattr(align, "run_jobs", run_jobs)
    return here, started


def test_finished_shards_are_kept_and_failures_are_named(tmp_path, monkeypatch):
    here, started = shard_files(tmp_path, monkeypatch)
    target = align.align_dir(here) / "dev"
    fact = align._align_set(here, target, None)
    assert started == ["align 1", "align 2", "export"]
    assert align.keys_of(target / "shards/1/keys") == ["b", "a"]
    assert "0 of 3 utterances aligned, 3 failed: a, b, c" in fact
    assert (target / "failed").read_text(encoding="utf-8").startswith("a job 1")
    started.clear()
    (target / "shards/2/alignment.npz").unlink()
    align._align_set(here, target, None)
    assert started == ["align 2", "export"]
    with np.load(target / "alignment.npz", allow_pickle=False) as merged:
        assert merged["failed_ids"].tolist() == ["a", "b", "c"]
