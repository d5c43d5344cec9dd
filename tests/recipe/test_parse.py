"""Reading the options of run.sh."""

import dataclasses

import pytest

from espnet_ext.errors import OptionError
from espnet_ext.recipe.options import RecipeOptions
from espnet_ext.recipe.parse import (
    FIELDS,
    help_screen,
    parse,
    sampling_rate,
    skipped_stages,
)


def test_dashes_underscores_and_equal_signs_mean_the_same():
    words = ["--stop-stage", "5"], ["--stop_stage", "5"], ["--stop-stage=5"]
    assert {parse(list(form)).stop_stage for form in words} == {5}


def test_the_last_value_of_an_option_wins():
    assert parse(["--nbpe", "80", "--nbpe", "100"]).nbpe == 100


def test_without_words_the_defaults_of_asr_sh_hold():
    assert parse([]) == RecipeOptions()
    assert (parse([]).nj, parse([]).fs, parse([]).nbpe) == (32, "16k", 30)


def test_a_value_may_begin_with_dashes_and_hold_blanks_and_equal_signs():
    options = parse(["--asr_args", "--max_epoch 3 --optim_conf lr=0.1"])
    assert options.asr_args == "--max_epoch 3 --optim_conf lr=0.1"


@pytest.mark.parametrize(
    "words, expected",
    [
        (["--stop_stgae", "3"], "--stop_stage"),
        (["--asr_cofnig", "x"], "--asr_config"),
        (["stage", "3"], "--option value"),
        (["--stage"], "needs a value"),
        (["--stage", "three"], "whole number"),
        (["--max_wav_duration", "long"], "a number"),
        (["--use_lm", "yes"], "true"),
        (["--bpemode", "unigrm"], "unigram"),
        (["--fs", "8khz"], "8k"),
        (["--seed", "x"], "whole number"),
        (["--stage", "99"], "1 to 14"),
        (["--stage", "15"], "upload"),
        (["--skip_stages", "5 99"], "1 to 14"),
        (["--stage", "0"], "from 1"),
        (["--stage", "5", "--stop_stage", "3"], "after"),
        (["--nj", "0"], "at least 1"),
        (["--feats_type", "fbank_pitch"], "no Kaldi"),
        (["--ngram_num", "0"], "at least 1"),
        (["--num_nodes", "2"], "torchrun"),
        (["--skip_upload_hf", "false"], "15"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_way_out(words, expected):
    with pytest.raises(OptionError) as caught:
        parse(words)
    assert expected in str(caught.value)


def test_every_option_accepts_its_own_default():
    for field in dataclasses.fields(RecipeOptions):
        choices = field.metadata["choices"]
        if field.default == "" and choices:
            continue  # empty means unset; it is written by leaving the option out
        value = str(field.default)
        parsed = parse([f"--{field.name}", value])
        assert getattr(parsed, field.name) == field.default, field.name


def test_help_names_every_option_with_its_default_and_the_settings_of_run_sh():
    text = help_screen(parse(["--nbpe", "80"]))
    for name in FIELDS:
        assert f"--{name} " in text
    assert "default: 30; here: 80" in text


def test_stages_are_left_out_as_in_asr_sh():
    assert sorted(skipped_stages(parse([]))) == [2, 9, 14]
    assert sorted(skipped_stages(parse(["--use_lm", "false"]))) == [2, 6, 7, 8, 9, 14]
    trained = skipped_stages(parse(["--skip_train", "true"]))
    assert {2, *range(4, 12)} <= set(trained) and 12 not in trained
    chosen = ["--skip_packing", "false", "--speed_perturb_factors", "0.9 1.0"]
    assert sorted(skipped_stages(parse(chosen + ["--skip_stages", "3,5"]))) == [3, 5, 9]


def test_sampling_rates_are_read_in_hertz_and_kilohertz():
    for text, rate in (("8k", 8000), ("8K", 8000), ("8000", 8000), ("11.025k", 11025)):
        assert sampling_rate(RecipeOptions(fs=text)) == rate
