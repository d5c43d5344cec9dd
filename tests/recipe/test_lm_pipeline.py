"""Stages 6-9 and decoding with both language models, with an untrained recognizer."""

import json
import math
import re
from pathlib import Path

import pytest
import soundfile
import yaml

from espnet_ext.errors import OptionError
from espnet_ext.files import read_lines
from espnet_ext.recipe import cli
from espnet_ext.recipe.stages.common import decode_source
from tests.recipe.folders import SETS, context, make_recipe
from tests.shared import REPOSITORY

TINY = str(REPOSITORY / "tests" / "e2e" / "train_tiny.yaml")
SMALL_LM = "--max_epoch 1 --lm_conf unit=8 --lm_conf nlayers=1"
BOTH = ("--use_lm", "true", "--use_ngram", "true", "--ngram_num", "3")
WORDS = (*BOTH, "--lm_args", SMALL_LM, "--asr_config", TINY)
MODEL = ("--inference_asr_model", "untrained.pth")


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_recipe(tmp_path)
    return tmp_path


def untrained_recognizer(*words: str) -> None:
    """The experiment that stage 11 would leave, with random weights that emit."""
    import torch

    from espnet_ext.tasks.asr import TransducerTask

    layout = context(*WORDS, *words).layout
    kind = "word" if layout.subword_nmt else "bpe"
    command = ["--config", TINY, "--token_type", kind, "--output_dir", "exp/unused"]
    command += ["--token_list", str(layout.token_list("bpe"))]
    command += ["--frontend_conf", "fs=8k", "--normalize", "none"]
    command += ["--bpemodel", "none" if layout.subword_nmt else str(layout.bpe_model)]
    args = TransducerTask.get_parser().parse_args(command)
    torch.manual_seed(0)
    args.token_list = read_lines(args.token_list)
    model = TransducerTask.build_model(args)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(6.0)
    layout.asr_exp.mkdir(parents=True)
    torch.save(model.state_dict(), layout.asr_exp / "untrained.pth")
    config = {key: value for key, value in vars(args).items() if key != "config"}
    text = yaml.safe_dump(config)
    (layout.asr_exp / "config.yaml").write_text(text, encoding="utf-8")


def ran(screen: str) -> set:
    return {int(n) for n in re.findall(r"Stage (\d+) finished in", screen)}


def recipe_words(*more: str) -> list:
    settings = "--fs 8k --nj 1 --inference_nj 1 --ngpu 0 --lang en --nbpe 22"
    return ["--test_sets", "rt03s", *settings.split(), *WORDS, *MODEL, *more]


def made_by_stages(words: tuple, capfd) -> str:
    """Run stages 3-9 and, with an untrained recognizer, 12; what was printed."""
    assert cli.main(recipe_words(*words, "--stage", "3", "--stop_stage", "9")) == 0
    untrained_recognizer(*words)
    assert cli.main(recipe_words(*words, "--stage", "12", "--stop_stage", "12")) == 0
    return capfd.readouterr().out


def decoded_ids(folder: Path) -> list:
    return [line.split()[0] for line in read_lines(folder / "text")]


@pytest.mark.slow
def test_both_language_models_are_made_and_used_in_decoding(recipe, capfd):
    screen = made_by_stages(BOTH, capfd)
    assert ran(screen) == {3, 4, 5, 6, 7, 8, 9, 12}
    layout = context(*WORDS, *MODEL).layout
    facts = json.loads((layout.ngram_exp / "3gram.json").read_text(encoding="utf-8"))
    assert facts["dev_sentences"] == SETS["dev"] and facts["dev_unknown"] == 0
    assert f"{facts['dev_perplexity']:.2f} a token" in screen
    assert 1 < facts["dev_perplexity"] < 200
    dev = [line.split()[1:] for line in read_lines("data/dev/text")]
    words = sum(map(len, dev))
    total = math.log(facts["dev_perplexity"]) * (facts["dev_tokens"] + len(dev))
    per_word = math.exp(total / (words + len(dev)))
    assert facts["dev_perplexity_word"] == pytest.approx(per_word)
    value, by_word = re.findall(
        r"perplexity +([\d.]+) a token, ([\d.]+) a word", screen
    )[0]
    assert float(value) > 1 and float(by_word) > float(value)
    (log,) = layout.decode_dir.glob("logdir/asr_inference.1.log")
    command = read_lines(log)[0]
    assert "--lm_train_config" in command and "3gram.arpa" in command
    test = decode_source(context(*WORDS), "rt03s")
    assert decoded_ids(layout.decode_dir / "rt03s") == decoded_ids(test)
    weights_count_and_other_units_are_refused(layout, test)


def weights_count_and_other_units_are_refused(layout, test: Path) -> None:
    """Part of the test above, which made what is needed here."""
    from espnet_ext.bin.asr_inference import Speech2Text

    files = {
        "asr_train_config": layout.asr_exp / "config.yaml",
        "asr_model_file": layout.asr_exp / "untrained.pth",
        "beam_size": 4,
    }
    lms = {
        "lm_train_config": layout.lm_exp / "config.yaml",
        "lm_file": layout.lm_exp / "valid.loss.ave.pth",
        "ngram_file": layout.ngram_exp / "3gram.arpa",
    }
    audio = read_lines(test / "wav.scp")[0].split(maxsplit=1)[1]
    speech, _ = soundfile.read(audio, dtype="float32")

    def result(**options):
        (_, tokens, _, hypothesis), *_ = Speech2Text(**files, **options)(speech)
        return tokens, float(hypothesis.score)

    plain = result()
    assert plain[0], "the random weights emit nothing: no label that could be scored"
    assert result(**lms, lm_weight=0.0, ngram_weight=0.0) == plain
    for lm, ngram in ((2.0, 0.0), (0.0, 2.0)):
        assert result(**lms, lm_weight=lm, ngram_weight=ngram) != plain
    config = yaml.safe_load(lms["lm_train_config"].read_text(encoding="utf-8"))
    config["token_list"][5:7] = config["token_list"][6:4:-1]
    other = Path("other.yaml")
    other.write_text(yaml.safe_dump(config), encoding="utf-8")
    with pytest.raises(OptionError, match="not the same"):
        Speech2Text(**files, **{**lms, "lm_train_config": other})


@pytest.mark.slow
def test_an_ngram_of_pieces_of_subword_nmt_needs_no_neural_model(recipe, capfd):
    words = ("--use_lm", "false", "--bpemode", "subword_nmt")
    screen = made_by_stages(words, capfd)
    assert ran(screen) == {3, 4, 5, 9, 12}
    layout = context(*WORDS, *MODEL, *words).layout
    assert layout.ngram_exp == Path("exp/ngram_en_bpe_nmt22")
    facts = json.loads((layout.ngram_exp / "3gram.json").read_text(encoding="utf-8"))
    cut = layout.token_dir("bpe") / "text" / "dev"
    pieces = [p for line in read_lines(cut) for p in line.split()[1:]]
    known = read_lines(layout.token_list("bpe"))
    assert facts["dev_tokens"] == len(pieces)
    assert facts["dev_unknown"] == sum(piece not in known for piece in pieces)
    head = read_lines(layout.ngram_exp / "3gram.arpa")[1:4]
    assert head == [f"ngram {n}={c}" for n, c in enumerate(facts["ngrams"], start=1)]
    test = decode_source(context(*WORDS), "rt03s")
    assert decoded_ids(layout.decode_dir / "rt03s") == decoded_ids(test)
