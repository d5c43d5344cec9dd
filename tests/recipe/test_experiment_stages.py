"""An experiment by name goes through statistics, training and decoding."""

from pathlib import Path

import pytest
import yaml

from espnet_ext.recipe import cli
from tests.recipe.folders import make_recipe
from tests.shared import REPOSITORY

SETTINGS = (
    "--test_sets rt03s --fs 8k --nj 2 --ngpu 0 --use_lm false --lang en --nbpe 20 "
    "--feats_normalize utterance_mvn --skip_stages 2 --stage 3 --stop_stage 12 "
    "--inference_asr_model valid.loss.ave.pth"
)


@pytest.mark.slow
def test_a_three_line_overlay_is_trained_by_name(tmp_path, monkeypatch, capsys):
    """Stages 3-12; its directory has the name, every value and its origin."""
    monkeypatch.chdir(make_recipe(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    Path("conf").symlink_to(REPOSITORY / "conf")
    base = REPOSITORY / "tests" / "e2e" / "train_tiny.yaml"
    Path("mine.yaml").write_text(f"base: {base}\nname: tiny_by_name\nmax_epoch: 1\n")
    words = ["--exp", "mine.yaml", "--asr_args", "encoder.hidden_size=8 seed=3"]
    assert cli.main([*SETTINGS.split(), *words]) == 0, capsys.readouterr().err
    (folder,) = Path("exp").glob("asr_tiny_by_name_*")
    trained = yaml.safe_load((folder / "config.yaml").read_text())
    assert trained["experiment_conf"]["name"] == "tiny_by_name"
    assert trained["encoder_conf"]["hidden_size"] == 8  # the command line
    assert (trained["seed"], trained["max_epoch"]) == (3, 1)
    text = (folder / "experiment.yaml").read_text()
    assert "max_epoch: 1  # overlay tiny_by_name" in text
    assert (folder / "valid.loss.ave.pth").exists()
    (hypotheses,) = folder.glob("*/rt03s/text")  # stock inference reads config.yaml
    assert len(hypotheses.read_text().splitlines()) == 2
    capsys.readouterr()
    assert cli.main([*SETTINGS.split(), *words]) == 0
    assert capsys.readouterr().out.count("skipped, unchanged") >= 5
