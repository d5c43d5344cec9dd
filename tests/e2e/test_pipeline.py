"""The whole recipe on two minutes of made-up speech, in a clone at an awkward path."""

import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import List, Set

import pytest

from espnet_ext.files import read_lines
from tests.shared import REPOSITORY

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

TINY = "../../tests/e2e/train_tiny.yaml"
EXPERIMENT = "exp/asr_train_tiny_raw_en_bpe50_sp"
DECODED = f"{EXPERIMENT}/decode_demo_asr_model_valid.loss.ave"
SETS = ("hub5e_00", "hub5e_01", "rt03s")
LIMIT_S = 600


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    """The recipe folder of a fresh clone whose path has a space and an umlaut."""
    clone = tmp_path_factory.mktemp("e2e") / "mit leerzeichen ü"
    command = ["git", "clone", "--quiet", str(REPOSITORY), str(clone)]
    subprocess.run(command, check=True, timeout=LIMIT_S)
    return clone / "egs2" / "swbd_repro"


def words(*more: str) -> List[str]:
    settings = f"--size tiny --nbpe 50 --nj 2 --inference_nj 2 --asr_config {TINY}"
    settings += " --feats_normalize global_mvn"
    speeds = ("--speed_perturb_factors", "0.9 1.0")
    return ["./run.sh", *settings.split(), *speeds, *more]


def start(recipe: Path, *more: str) -> subprocess.Popen:
    environment = {**os.environ, "PYTHON": sys.executable}
    environment.pop("PYTHONPATH", None)
    return subprocess.Popen(
        words(*more),
        cwd=recipe,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def run(recipe: Path, *more: str) -> str:
    """Run run.sh to its end; returns what it printed."""
    process = start(recipe, *more)
    screen, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, screen
    return screen


def ran(screen: str) -> Set[int]:
    """Numbers of the stages that did something."""
    return {int(n) for n in re.findall(r"Stage (\d+) finished in", screen)}


@pytest.fixture(scope="module")
def first_run(recipe) -> str:
    """All stages; training is interrupted once on the way."""
    process = start(recipe, "--stop_stage", "11")
    log = recipe / EXPERIMENT / "train.log"
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end and process.poll() is None:
        # written after checkpoint.pth, which is therefore complete by then
        if (recipe / EXPERIMENT / "1epoch.pth").exists():
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    screen, _ = process.communicate(timeout=60)
    assert process.returncode == 130, screen
    assert "run the same command again" in screen
    assert ran(screen) == {1, 2, 3, 4, 5, 10} and log.exists()
    return run(recipe)


def test_an_interrupted_training_continues_and_all_later_stages_run(first_run):
    assert ran(first_run) == {11, 12, 13, 14}
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
    assert ran(screen) == set() and screen.count("skipped, unchanged") == 10


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


def test_the_packed_model_decodes_as_the_trained_one_did(recipe, first_run):
    (archive,) = (recipe / EXPERIMENT).glob("*.zip")
    packed = archive.rename(recipe / "packed.zip")
    screen = run(
        recipe,
        *("--download_model", packed.name, "--asr_exp", "exp/packed"),
        *("--stage", "12", "--stop_stage", "12"),
    )
    assert ran(screen) == {12}
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
    assert {5, 6, 7, 8} <= ran(screen)
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
    assert 12 in ran(screen) and ran(screen) <= {12, 13, 14}
