"""The whole recipe on two minutes of made-up speech, in a clone at an awkward path."""

import json
import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import List

import pytest

from espnet_ext.alignment.store import read_set
from espnet_ext.files import read_lines
from tests.e2e import running
from tests.e2e.running import LIMIT_S, clone_of, ran

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

TINY = "../../tests/e2e/train_tiny.yaml"
EXPERIMENT = "exp/asr_train_tiny_raw_en_bpe50_sp"
DECODED = f"{EXPERIMENT}/decode_demo_asr_model_valid.loss.ave"
ALIGN = ("--stage", "align", "--align_sets", "dev")
ALIGNED = f"{EXPERIMENT}/align_exact_{{}}_valid.loss.ave/dev"
SETS = ("hub5e_00", "hub5e_01", "rt03s")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    """The recipe folder of a fresh clone whose path has a space and an umlaut."""
    return clone_of(tmp_path_factory.mktemp("e2e") / "mit leerzeichen ü")


def words(*more: str) -> List[str]:
    settings = f"--size tiny --nbpe 50 --nj 2 --inference_nj 2 --asr_config {TINY}"
    settings += " --feats_normalize global_mvn"
    speeds = ("--speed_perturb_factors", "0.9 1.0")
    return ["./run.sh", *settings.split(), *speeds, *more]


def run(recipe: Path, *more: str) -> str:
    """Run run.sh to its end; returns what it printed."""
    return running.run(recipe, words(*more))


@pytest.fixture(scope="module")
def first_run(recipe) -> str:
    """All stages; training is interrupted once on the way."""
    process = running.start(recipe, words("--stop_stage", "11"))
    # written after checkpoint.pth, which is therefore complete by then
    running.wait_for(process, (recipe / EXPERIMENT / "1epoch.pth").exists)
    screen = running.interrupt(process)
    assert "run the same command again" in screen
    assert ran(screen) == [1, 2, 3, 4, 5, 10]
    assert (recipe / EXPERIMENT / "train.log").exists()
    return run(recipe)


def test_an_interrupted_training_continues_and_all_later_stages_run(first_run):
    assert ran(first_run) == [11, 12, 13, 14]
    assert "stage 11 continues" in first_run
    assert "continues from the last checkpoint" in first_run


def test_every_utterance_of_every_set_is_decoded_and_scored(recipe, first_run):
    for name in SETS:
        expected = [
            line.split()[0] for line in read_lines(recipe / f"data/{name}/text")
        ]
        decoded = read_lines(recipe / DECODED / name / "text")
        assert [line.split()[0] for line in decoded] == expected
        assert name in first_run
    results = (recipe / EXPERIMENT / "RESULTS.md").read_text(encoding="utf-8")
    assert all(f"/{name}|" in results for name in SETS)
    assert (recipe / EXPERIMENT / "index.html").is_file()


def test_the_archive_holds_model_units_and_statistics(recipe, first_run):
    (archive,) = (recipe / EXPERIMENT).glob("*.zip")
    names = {Path(name).name for name in zipfile.ZipFile(archive).namelist()}
    wanted = {"meta.yaml", "config.yaml", "bpe.model", "feats_stats.npz", "RESULTS.md"}
    assert wanted | {"README.md"} <= names
    assert {".pth", ".safetensors"} <= {Path(name).suffix for name in names}


def test_a_second_run_takes_seconds_and_skips_everything(recipe, first_run):
    began = time.monotonic()
    screen = run(recipe)
    assert time.monotonic() - began < 10
    assert ran(screen) == [] and screen.count("skipped, unchanged") == 10


def test_the_experiment_can_be_resumed_by_its_own_script(recipe, first_run):
    done = subprocess.run(
        [str(recipe / EXPERIMENT / "run.sh")],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr
    assert "Stage 11" in done.stdout and "skipped, unchanged" in done.stdout


def test_a_killed_alignment_keeps_its_complete_shards(recipe, first_run):
    folder = recipe / ALIGNED.format("auto")
    process = running.start(recipe, words(*ALIGN))
    running.wait_for(process, lambda: list(folder.glob("shards/*/alignment.npz")))
    running.kill(process)
    shards = sorted(folder.glob("shards/*/alignment.npz"))
    assert shards and not (folder / "alignment.npz").exists()
    made = [path.stat().st_mtime_ns for path in shards]
    screen = run(recipe, *ALIGN)
    assert ran(screen) == [21] and "continues: it was not finished" in screen
    assert [path.stat().st_mtime_ns for path in shards] == made
    found = read_set(folder)
    expected = [x.split()[0] for x in read_lines(recipe / "dump/raw/dev/text")]
    assert sorted({*found.aligned, *found.failed}) == sorted(expected)
    assert len(found.aligned) > len(expected) / 2
    assert found.info.units == "pieces" and found.info.look_ahead_s == -1.0
    assert found.info.frame_shift_s == pytest.approx(0.06)
    assert "skipped, unchanged" in run(recipe, *ALIGN)


def test_alignments_are_compared_measured_and_shown_in_the_report(recipe, first_run):
    both = [ALIGNED.format(name) for name in ("auto", "ctc")]
    run(recipe, *ALIGN)
    run(recipe, *ALIGN, "--align_output", "ctc", "--align_formats", "ctm textgrid")
    first, second = (read_set(recipe / folder) for folder in both)
    key = sorted(first.aligned.keys() & second.aligned.keys())[0]
    command = ["env", f"PYTHONPATH={recipe.parent.parent}", sys.executable]
    command += ["-m", "espnet_ext.bin.align"]
    data = ["--data_dir", "data/dev"]
    page = f"{EXPERIMENT}/compare_dev"
    more = ["--names", "transducer", "CTC", "--output_dir", page, "--utterances", key]
    running.run(recipe, [*command, "compare", *both, *data, *more])
    reference = "downloads/embedded/alignment/dev.ctm"
    table = recipe / "errors.json"
    more = [*data, "--json", str(table)]
    screen = running.run(recipe, [*command, "boundaries", reference, *both, *more])
    assert "align_exact_ctc" in screen
    rows = json.loads(table.read_text(encoding="utf-8"))
    assert len(rows) == 2 and all(row["share"] > 0.9 for row in rows)
    own = next((recipe / page).glob("*00*.html")).read_text(encoding="utf-8")
    assert "data:audio/wav;base64," in own and "data:image/png;base64," in own
    assert ran(run(recipe, "--stage", "13", "--stop_stage", "13")) == [13]
    report = (recipe / EXPERIMENT / "index.html").read_text(encoding="utf-8")
    assert "<h2>Alignments</h2>" in report and "transducer and CTC" in report


def test_the_packed_model_decodes_as_the_trained_one_did(recipe, first_run):
    (archive,) = (recipe / EXPERIMENT).glob("*.zip")
    packed = archive.rename(recipe / "packed.zip")
    screen = run(
        recipe,
        *("--download_model", packed.name, "--asr_exp", "exp/packed"),
        *("--stage", "12", "--stop_stage", "12"),
    )
    assert ran(screen) == [12]
    name = Path(DECODED).name
    for test_set in SETS:
        again = read_lines(recipe / "exp/packed" / name / test_set / "text")
        assert again == read_lines(recipe / DECODED / test_set / "text")


def test_the_language_model_stages_run(recipe, first_run):
    """With word pieces of subword-nmt, which the recipe cuts and joins itself."""
    small = "--max_epoch 1 --lm_conf unit=16 --lm_conf nlayers=1"
    screen = run(
        recipe,
        *("--use_lm", "true", "--lm_args", small, "--stop_stage", "8"),
        *("--bpemode", "subword_nmt"),
    )
    assert {5, 6, 7, 8} <= set(ran(screen))
    (perplexity,) = re.findall(r"perplexity +([\d.]+) a token", screen)
    assert 1 < float(perplexity) < 200


def test_another_beam_runs_from_decoding_on_and_says_why(recipe, first_run):
    other = recipe / "conf" / "decode_demo.yaml"
    kept = other.read_text(encoding="utf-8")
    changed = re.sub(r"beam_size: \d+", "beam_size: 7", kept)
    assert changed != kept
    try:
        other.write_text(changed, encoding="utf-8")
        screen = run(recipe)
    finally:
        other.write_text(kept, encoding="utf-8")
    assert re.search(r"beam_size \d+ -> 7", screen)
    assert 12 in ran(screen) and set(ran(screen)) <= {12, 13, 14}
