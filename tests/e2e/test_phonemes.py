"""Phonemes from run.sh's first to its last stage: words come out, with times."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from espnet_ext.files import read_lines
from espnet_ext.lexicon.dictionary import read_lexicon
from tests.e2e import running
from tests.e2e.running import LIMIT_S, clone_of, ran
from tests.shared import REPOSITORY

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

EXPERIMENT = "exp/asr_train_tiny_raw_en_phn_graphemes"
SETTINGS = (
    *("--corpus", "embedded", "--size", "tiny", "--token_type", "phn"),
    *("--lexicon", "dictionary.txt", "--lexicon_fallback", "graphemes"),
    *("--use_lm", "false", "--use_ngram", "true", "--use_word_lm", "true"),
    *("--ngram_num", "2", "--nj", "2", "--inference_nj", "1", "--test_sets", "rt03s"),
    *("--asr_config", "../../tests/e2e/train_tiny.yaml"),
    *("--speed_perturb_factors", ""),
    *("--inference_config", "conf/decode_phonemes.yaml", "--batch_size", "8"),
    # four epochs teach blanks alone: words have to be worth more than these
    *("--inference_args", "--word_penalty 30"),
)


def run(folder: Path, *more: str) -> str:
    """Run run.sh to its end; returns what it printed."""
    return running.run(folder, ["./run.sh", *SETTINGS, *more])


def table(path: Path) -> dict:
    return {k: v for k, _, v in (line.partition(" ") for line in read_lines(path))}


def write_dictionary(folder: Path) -> None:
    """Letters as phonemes, in capitals as CMUdict has them; the third word is missing.

    The first word has a homophone, the second another pronunciation.
    """
    words = sorted(
        {w for t in table(folder / "data/train/text").values() for w in t.split()}
    )
    lines = [f"{w.upper()}  {' '.join(w.upper())}\n" for w in words]
    first, second, _, *others = lines
    again = first.replace(words[0].upper(), f"{words[0].upper()}OO", 1)
    variant = f"{words[1].upper()}(2)  {' '.join(reversed(words[1].upper()))}\n"
    text = "".join([";;; letters\n", first, again, second, variant, *others])
    (folder / "dictionary.txt").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    """A clone in which all stages have run."""
    folder = clone_of(tmp_path_factory.mktemp("phonemes") / "clone")
    run(folder, "--stop_stage", "1")
    write_dictionary(folder)
    screen = run(folder, "--skip_packing", "false")
    assert ran(screen) == [3, 4, 5, 9, 10, 11, 12, 13, 14]
    assert re.search(r"not in the lexicon +\d+ words", screen)
    return folder


def decoded(recipe: Path) -> Path:
    (folder,) = (recipe / EXPERIMENT).glob("decode_phonemes*")
    return folder / "rt03s"


def test_words_of_the_lexicon_come_out_with_times_and_scores(recipe):
    lexicon = read_lexicon(recipe / "data/en_token_list/phn_graphemes/lexicon.txt")
    texts, times = (table(decoded(recipe) / f) for f in ("text", "word_times"))
    tokens = table(decoded(recipe) / "token")
    assert texts.keys() == table(recipe / "data/rt03s/text").keys() == times.keys()
    assert any(texts.values())
    for key, text in texts.items():
        spoken = text.split()
        assert len(times[key].split()) == len(spoken)
        phonemes = tokens[key].replace("# ", "#|").removesuffix("#").split("#|")
        for word, labels in zip(spoken, filter(None, phonemes), strict=True):
            assert tuple(labels.split()) in lexicon[word]
    weights = json.loads((decoded(recipe) / "decoding.json").read_text())["weights"]
    assert "ngram_weight" not in weights  # the n-gram is one of words
    results = (recipe / EXPERIMENT / "RESULTS.md").read_text(encoding="utf-8")
    assert "/rt03s|" in results


def test_the_packed_model_carries_its_lexicon(recipe):
    (archive,) = (recipe / EXPERIMENT).glob("*.zip")
    names = {Path(name).name for name in zipfile.ZipFile(archive).namelist()}
    assert {"lexicon.txt", "tokens.txt", "config.yaml"} <= names
    program = (
        "import sys, soundfile, espnet_ext\n"
        "model = espnet_ext.Speech2Text.from_pretrained(sys.argv[1], beam_size=8)\n"
        "text, tokens, _, hypothesis = model(soundfile.read(sys.argv[2])[0])[0]\n"
        "print(text == ' '.join(hypothesis.words), model.asr_train_args.lexicon)\n"
    )
    audio = next((recipe / "dump/raw/audio/rt03s").rglob("*.wav"))
    moved = archive.rename(recipe / "packed.zip")
    done = subprocess.run(
        [sys.executable, "-c", program, moved.name, str(audio)],
        cwd=recipe,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr
    same, lexicon = done.stdout.split()[-2:]
    assert same == "True" and "packed_unpacked" in lexicon


def test_the_alignment_gives_the_words_as_they_are_written(recipe):
    words = ("--align_sets", "dev", "--align_formats", "ctm")
    run(recipe, "--stage", "align", *words)
    (folder,) = (recipe / EXPERIMENT).glob("align_*")
    spoken = {}
    for line in read_lines(folder / "dev" / "words.ctm"):
        if not line.startswith(";;"):
            spoken.setdefault(line.split()[0], []).append(line.split()[4])
    failed = table(folder / "dev" / "failed")
    expected = table(recipe / "dump/raw/dev/text")
    assert spoken
    assert spoken == {k: v.split() for k, v in expected.items() if k not in failed}
