"""What the benchmark reads from the recipe and from ESPnet's logs."""

import subprocess

import pytest
import yaml

from benchmarks import systems
from espnet_ext.errors import FormatError, OptionError
from tests.shared import REPOSITORY

RECIPE = REPOSITORY / "egs2" / "swbd_repro"
OURS = REPOSITORY / "conf" / "train_demo.yaml"
STOCK = REPOSITORY / "benchmarks" / "conf" / "stock_transducer.yaml"


def test_settings_are_those_that_run_sh_really_passes(tmp_path):
    """An interpreter that only shows its arguments tells what the shell makes of it."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\n[ "$1" = -c ] && exit 0\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    done = subprocess.run(
        [str(RECIPE / "run.sh")],
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(python), "NJ": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n")[:2] == ["-m", "espnet_ext.recipe"]
    expected = done.stdout.rstrip("\n").split("\n")[2:]
    assert systems.recipe_settings(RECIPE / "run.sh", 3) == expected


def test_a_script_without_a_list_of_settings_is_refused(tmp_path):
    script = tmp_path / "run.sh"
    script.write_text("exec python\n")
    with pytest.raises(FormatError, match="no list of settings"):
        systems.recipe_settings(script, 1)
    script.write_text('settings=(\n  --nbpe "${size}"\n)\n')
    with pytest.raises(FormatError, match="depends on a variable"):
        systems.recipe_settings(script, 1)


def test_the_stock_system_shares_all_but_model_and_optimiser(tmp_path):
    target = tmp_path / "merged.yaml"
    merged = systems.write_stock_config(OURS, STOCK, target)
    assert yaml.safe_load(target.read_text()) == merged
    ours, parts = yaml.safe_load(OURS.read_text()), yaml.safe_load(STOCK.read_text())
    for key in ("frontend_conf", "specaug_conf", "batch_bins", "grad_clip", "seed"):
        assert merged[key] == ours[key], key
    for key in ("encoder", "encoder_conf", "decoder", "decoder_conf", "optim_conf"):
        assert merged[key] == parts[key], key
    assert merged["model_conf"]["ctc_weight"] == ours["model_conf"]["ctc_weight"]
    assert not {"model", "unused_parameters"} & set(merged)


def test_an_epoch_of_unknown_length_is_refused(tmp_path):
    ours = tmp_path / "ours.yaml"
    ours.write_text("frontend: default\n")
    with pytest.raises(FormatError, match="num_iters_per_epoch"):
        systems.write_stock_config(ours, STOCK, tmp_path / "merged.yaml")


LOG = """
    Total Number of model parameters: 916.48 K
[vm] 2026-11-23 10:00:00,000 (trainer:334) INFO: 1/3epoch started
[vm] 2026-11-23 10:00:19,500 (trainer:392) INFO: 1epoch results: [train] loss=2.0, \
time=19 seconds, total_count=80, [valid] loss=1.0, time=0.9 seconds, total_count=6
[vm] 2026-11-23 10:00:20,000 (trainer:322) INFO: 2/3epoch started. Estimated time
"""
RESUMED = """
    Total Number of model parameters: 916.48 K
[vm] 2026-11-23 11:59:58,000 (trainer:334) INFO: 2/3epoch started
[vm] 2026-11-23 12:00:10,250 (trainer:392) INFO: 2epoch results: [train] loss=2.0, \
total_count=160, [valid] loss=1.0, total_count=12
"""


def test_training_time_leaves_out_interruptions_and_what_they_cut_off(tmp_path):
    log = tmp_path / "train.log"
    log.write_text(LOG + RESUMED)
    expected = systems.Training(916480, 2, 160, 19.5 + 12.25)
    assert systems.read_training(log) == expected


def test_a_log_without_a_finished_epoch_is_refused(tmp_path):
    log = tmp_path / "train.log"
    log.write_text("\n".join(LOG.split("\n")[:3]))
    with pytest.raises(FormatError, match="no finished epoch"):
        systems.read_training(log)


def test_systems_of_different_size_are_not_compared():
    ours = systems.Training(1000, 1, 1, 1.0)
    for parameters in (801, 1199):
        systems.check_sizes(ours, systems.Training(parameters, 1, 1, 1.0), 0.2)
    for parameters in (799, 1201):
        stock = systems.Training(parameters, 1, 1, 1.0)
        with pytest.raises(OptionError, match=f"{parameters} parameters, ours 1000"):
            systems.check_sizes(ours, stock, 0.2)


def test_only_the_stock_system_runs_espnets_own_modules():
    words = ["--asr_config", str(OURS), "--ngpu", "0", "--python", "py"]
    ours = systems.make_context(words, stock=False)
    stock = systems.make_context(words, stock=True)
    for name in ("asr_train", "asr_inference"):
        command = ours.module(f"espnet_ext.bin.{name}", "--x")
        assert command == ["py", "-m", f"espnet_ext.bin.{name}", "--x"]
        command = stock.module(f"espnet_ext.bin.{name}", "--x")
        launcher = ["py", "-m", "espnet_ext.run", "--warprnnt-shim", "-m"]
        assert command == [*launcher, f"espnet2.bin.{name}", "--x"]
    other = stock.module("espnet2.bin.aggregate_stats_dirs")
    assert other == ["py", "-m", "espnet2.bin.aggregate_stats_dirs"]
