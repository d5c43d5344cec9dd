"""Names of experiments; the expected ones are what asr.sh makes of the same options."""

import pytest

from espnet_ext.recipe.layout import Layout
from espnet_ext.recipe.parse import parse


def layout(line: str, **more: str) -> Layout:
    words = line.split()
    for name, value in more.items():
        words += [f"--{name}", value]
    return Layout(parse(words))


@pytest.mark.parametrize(
    "line, more, expected",
    [
        ("", {}, "exp/asr_train_raw_bpe30"),
        (
            "--lang en --nbpe 80 --asr_config conf/train_demo.yaml",
            {},
            "exp/asr_train_demo_raw_en_bpe80",
        ),
        (
            "--token_type char --asr_config conf/tuning/train_x.yaml",
            {"speed_perturb_factors": "0.9 1.0 1.1"},
            "exp/asr_train_x_raw_char_sp",
        ),
        (
            "--asr_config a.yaml",
            {"asr_args": "--max_epoch 3 --init_param=x/y.pth"},
            "exp/asr_a_raw_bpe30_max_epoch3_init_paramxy.pth",
        ),
        ("--seed 3", {}, "exp/asr_train_raw_bpe30_seed3"),
        ("--asr_tag mine --expdir results", {}, "results/asr_mine"),
    ],
)
def test_the_experiment_is_named_as_asr_sh_names_it(line, more, expected):
    assert str(layout(line, **more).asr_exp) == expected


def test_statistics_do_not_depend_on_the_training_configuration():
    names = {
        str(layout(f"--lang en --nbpe 80 --asr_config {name}.yaml").asr_stats)
        for name in ("a", "b")
    }
    assert names == {"exp/asr_stats_raw_en_bpe80"}


def test_the_decode_directory_begins_with_the_name_of_its_configuration():
    plain = layout(
        "--use_lm false --inference_config conf/decode_rna.yaml "
        "--inference_asr_model valid.loss.ave.pth",
        inference_args="--beam_size 4",
    )
    assert plain.decode_name == "decode_rna_beam_size4_asr_model_valid.loss.ave"
    with_lm = layout("--use_lm true --lm_config conf/train_lm.yaml")
    assert with_lm.decode_name == (
        "inference_lm_lm_train_lm_bpe30_valid.loss.ave_asr_model_valid.acc.ave"
    )


def test_texts_cut_by_subword_nmt_are_never_mixed_up_with_sentencepiece():
    names = [layout(f"--bpemode {mode}") for mode in ("bpe", "subword_nmt")]
    assert names[0].asr_exp != names[1].asr_exp
    assert names[0].asr_stats != names[1].asr_stats
    assert names[1].bpe_model.name == "bpe.codes"


def test_experiments_of_different_speech_have_different_names():
    names = [
        (str(a.asr_exp), str(a.token_root), str(a.asr_stats))
        for corpus in ("embedded", "prompts", "embedded+prompts")
        for a in [layout(f"--corpus {corpus} --lang en")]
    ]
    assert len({name for triple in names for name in triple}) == 9


def test_the_corpus_chooses_the_sets_and_the_user_overrides_them():
    assert layout("--corpus embedded").train_set == "train"
    both = layout("--corpus embedded+prompts")
    assert both.test_sets[-1] == "prompts_test"
    assert layout("--train_set mine").train_set == "mine"
    perturbed = layout("", speed_perturb_factors="0.9 1.0")
    assert (perturbed.unperturbed_train_set, perturbed.train_set) == (
        "train",
        "train_sp",
    )
