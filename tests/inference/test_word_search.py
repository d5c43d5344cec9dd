"""Phoneme models decoded into words by Speech2Text and by the command."""

import argparse

import pytest
import yaml

from espnet_ext.errors import MissingInputError, OptionError
from espnet_ext.files import read_lines
from espnet_ext.inference.speech2text import Speech2Text
from espnet_ext.lexicon.dictionary import read_lexicon, write_lexicon
from espnet_ext.lm.arpa import write_arpa
from espnet_ext.lm.kneser_ney import estimate, vocabulary
from espnet_ext.recipe.config import DECODE_SOURCES, known_keys
from tests.inference.models import noise, saved_model, write_wavs

TOKENS = ["<blank>", "<unk>", "AH", "AH#", "T#", "<sos/eos>"]
LEXICON = {
    "a": [("AH",)],
    "uh": [("AH",)],
    "at": [("AH", "T"), ("AH", "AH", "T")],
    "t": [("T",)],
}


@pytest.fixture(scope="session")
def phonemes(tmp_path_factory):
    """A transducer of phonemes that knows its lexicon, and files around it."""
    folder = tmp_path_factory.mktemp("phonemes")
    write_lexicon(LEXICON, folder / "lexicon.txt")
    words = vocabulary(["a", "at", "t"])
    model = estimate([[3, 4], [4, 4], [4, 5, 3]], words, 2)[0]
    write_arpa(model, folder / "words.arpa")
    return saved_model(
        folder,
        token_list=TOKENS,
        token_type="word",
        lexicon=str(folder / "lexicon.txt"),
    )


def recognizer(saved, **options):
    return Speech2Text(**saved.files(), beam_size=8, nbest=3, **options)


def test_texts_are_words_and_tokens_their_phonemes(phonemes):
    nbest = recognizer(phonemes)(noise(9000))
    assert len(nbest) == 3 and len({text for text, *_ in nbest}) == 3
    for text, tokens, labels, hypothesis in nbest:
        assert text.split() == hypothesis.words
        assert [TOKENS[label] for label in labels] == tokens
        spelled = " ".join(tokens).replace("# ", "#|").split("#|")
        for word, spoken in zip(text.split(), spelled, strict=True):
            assert tuple(spoken.removesuffix("#").split()) in LEXICON[word]


def test_words_have_the_times_of_their_phonemes(phonemes):
    model = recognizer(phonemes)
    ((nbest, words),) = model.transcribe([noise(9000)])
    assert [word.word for word in words] == nbest[0][0].split()
    frames = [t for t, symbol in enumerate(nbest[0][3].symbols) if symbol]
    tokens, shift = nbest[0][1], model.shift.seconds
    lasts = [t for t, token in zip(frames, tokens) if token.endswith("#")]
    ends = [word.start + word.duration for word in words]
    assert ends == pytest.approx([(last + 1) * shift for last in lasts])
    assert all(0 < word.confidence <= 1 for word in words)


def test_the_n_gram_decides_which_words_there_are(phonemes):
    arpa = str(phonemes.config.with_name("words.arpa"))
    given = {"word_ngram_file": arpa, "word_ngram_weight": 0.5}
    said = {}
    for name, options in (("n-gram", given), ("none", {})):
        model = Speech2Text(**phonemes.files(), beam_size=60, nbest=60, **options)
        said[name] = {word for text, *_ in model(noise(2000)) for word in text.split()}
    assert said == {"n-gram": {"a", "at", "t"}, "none": set(LEXICON)}


def test_without_a_lexicon_phonemes_come_out(phonemes):
    text, tokens, *_ = recognizer(phonemes, lexicon_file="none")(noise(9000))[0]
    assert text.split() == tokens


def test_ctc_models_are_searched_in_the_same_way(phonemes, tmp_path):
    saved = saved_model(
        tmp_path,
        token_list=TOKENS,
        token_type="word",
        lexicon=str(phonemes.config.with_name("lexicon.txt")),
        model="ctc",
        model_conf={},
        decoder=None,
        decoder_conf={},
    )
    for collapse in (True, False):
        model = recognizer(saved, transducer_conf={"collapse": collapse})
        ((nbest, words),) = model.transcribe([noise(9000)])
        assert nbest[0][0].split() == [w.word for w in words] == nbest[0][3].words
        assert set(nbest[0][0].split()) <= set(LEXICON)


def test_the_command_writes_words_and_times_and_batches_change_nothing(
    phonemes, tmp_path
):
    from espnet_ext.bin.asr_inference import main

    scp = write_wavs(tmp_path, one=9000, two=5000, three=7000)
    arpa = phonemes.config.with_name("words.arpa")
    read = {}
    for batch in ("1", "3"):
        out = tmp_path / batch
        given = ["--data_path_and_name_and_type", f"{scp},speech,sound"]
        given += ["--output_dir", str(out), "--batch_size", batch, "--ngpu", "0"]
        given += ["--word_ngram_file", str(arpa), "--word_penalty", "1.5"]
        assert main([*phonemes.options(), *given]) == 0
        folder = out / "1best_recog"
        read[batch] = [read_lines(folder / f) for f in ("text", "score", "word_times")]
    assert read["1"] == read["3"]
    for text, times in zip(read["1"][0], read["1"][2]):
        assert len(text.split()) == len(times.split())


def test_faults_are_named(phonemes, tmp_path):
    arpa = str(phonemes.config.with_name("words.arpa"))
    for options, error, message in (
        ({"lexicon_file": "absent"}, MissingInputError, "absent: there is no such lex"),
        ({"lexicon_file": "none", "word_ngram_file": arpa}, OptionError, "a lexicon"),
        ({"word_ngram_file": str(tmp_path / "x")}, MissingInputError, "file not found"),
        ({"transducer_conf": {"recombination": "none"}}, OptionError, "'none' of a s"),
        ({"transducer_conf": {"lookahead": "full"}}, OptionError, "lookahead"),
    ):
        with pytest.raises(error, match=message):
            recognizer(phonemes, **options)
    path = tmp_path / "other.txt"
    write_lexicon({**read_lexicon(phonemes.config.with_name("lexicon.txt"))}, path)
    with open(path, "a", encoding="utf-8") as file:
        file.write("zoo Z UW\n")
    with pytest.raises(OptionError, match="the model has no phoneme 'Z' of 'zoo'"):
        recognizer(phonemes, lexicon_file=str(path))


def test_models_that_the_search_does_not_know_are_refused(phonemes, tmp_path):
    values = yaml.safe_load(phonemes.config.read_text(encoding="utf-8"))
    values["model_conf"] = {"topology": "rnnt"}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(OptionError, match="no TransducerModel of topology rnnt"):
        recognizer(phonemes._replace(config=config))


def test_configuration_files_may_hold_the_options():
    from espnet_ext.inference.word_search import OPTION_HELP, add_word_options

    parser = argparse.ArgumentParser()
    add_word_options(parser)
    names = {name.removeprefix("--") for name in OPTION_HELP}
    assert names == set(vars(parser.parse_args([])))
    assert names <= known_keys(DECODE_SOURCES)
