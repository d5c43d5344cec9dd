"""The preprocessor: texts, speed and tempo; the same for the same utterance."""

import numpy
import pytest

from espnet_ext.errors import OptionError
from espnet_ext.recipe import subword_nmt
from espnet_ext.train.sampling_preprocessor import (
    SamplingPreprocessor,
    at_speed,
    at_tempo,
)

TOKENS = "<blank> <unk> a b c ab bc abc a@@ b@@ ab@@ bc@@ <sos/eos>".split()
TEXT = "abc ab@@ c x abc abc abc abc abc"


def preprocessor(train=True, epoch=1, seed=1, **options):
    made = SamplingPreprocessor(
        train=train, token_type="word", token_list=TOKENS, **options
    )
    if epoch is not None:
        made.set_epoch(seed, epoch)
    return made


def tokens(made, name="u1", text=TEXT):
    ids = made(name, {"text": text, "speech": numpy.zeros(3, dtype=numpy.float32)})
    return " ".join(TOKENS[number] for number in ids["text"])


PLAIN = TEXT.replace(" x ", " <unk> ")


def test_without_sampling_the_text_stays_as_it_is_cut():
    for made in (
        preprocessor(),
        preprocessor(epoch=None, breadth_probability=0.9),  # statistics
        preprocessor(train=False, breadth_probability=0.9),
    ):
        assert tokens(made) == PLAIN


def test_pieces_are_drawn_again_for_each_epoch_utterance_and_seed():
    def drawn(name="u1", **options):
        return tokens(preprocessor(breadth_probability=0.5, **options), name)

    assert drawn() == drawn() != PLAIN
    assert len({drawn(), drawn(epoch=2), drawn("u2"), drawn(seed=2)}) == 4
    assert subword_nmt.join(drawn().replace("<unk>", "x")) == subword_nmt.join(TEXT)


def test_the_validation_text_is_drawn_where_the_original_did():
    made = preprocessor(train=False, breadth_probability=0.5, in_evaluation=True)
    assert tokens(made) != PLAIN


def test_bpe_dropout_leaves_merges_out_and_stays_in_the_vocabulary(tmp_path):
    codes = tmp_path / "bpe.model"
    codes.write_text("#version: 0.2\na b\nb c</w>\nab c</w>\n")
    import random

    random.seed(3)
    expected = random.random()
    random.seed(3)
    made = preprocessor(merge_dropout=0.5, merges=str(codes))
    drawn = [tokens(made, f"u{n}", "abc abc") for n in range(40)]
    assert random.random() == expected  # Python's own generator is left alone
    cuts = {" ".join(pieces) for text in drawn for pieces in _words(text)}
    assert cuts == {"abc", "ab@@ c", "a@@ bc", "a@@ b@@ c"}
    assert drawn[0] == tokens(made, "u0", "abc abc")
    # what has unknown pieces, such as a noise tag, stays as it is
    assert tokens(made, text="[noise]") == "<unk>"
    certain = preprocessor(merge_dropout=1.0, merges=str(codes))
    assert tokens(certain, text="abc") == "a@@ b@@ c"


def _words(text):
    word = []
    for token in text.split():
        word.append(token)
        if not token.endswith("@@"):
            yield word
            word = []


def tone(samples=4000, hertz=500, rate=8000):
    return numpy.sin(2 * numpy.pi * hertz * numpy.arange(samples) / rate).astype("f4")


def pitch(speech, rate=8000):
    """Frequency of the largest value of the spectrum."""
    spectrum = numpy.abs(numpy.fft.rfft(speech * numpy.hanning(len(speech))))
    return numpy.argmax(spectrum) * rate / len(speech)


@pytest.mark.slow
@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_speed_changes_length_and_pitch_tempo_the_length_alone(factor):
    fast, quick = at_speed(tone(), factor), at_tempo(tone(), factor)
    for changed in (fast, quick):
        assert changed.dtype == numpy.float32
        assert len(changed) == pytest.approx(4000 / factor, abs=2)
    assert pitch(fast) == pytest.approx(500 * factor, rel=0.01)
    assert pitch(quick) == pytest.approx(500, rel=0.01)


def test_factors_are_drawn_for_each_utterance():
    made = preprocessor(speed_factors=[0.9, 1.0, 1.1])

    def length(name, epoch):
        made.set_epoch(1, epoch)
        return len(made(name, {"speech": tone(1000), "text": "a"})["speech"])

    lengths = [length(f"u{n}", 1) for n in range(60)]
    assert set(lengths) == {1111, 1000, 909}
    assert lengths == [length(f"u{n}", 1) for n in range(60)]
    assert lengths != [length(f"u{n}", 2) for n in range(60)]


def test_speech_is_not_changed_in_validation():
    made = preprocessor(train=False, speed_factors=[0.9])
    assert len(made("u", {"speech": tone(1000), "text": "a"})["speech"]) == 1000


@pytest.mark.parametrize(
    "options, message",
    [
        ({"breadth_probability": 1.5}, "breadth_probability is 1.5"),
        ({"merge_dropout": 0.1}, "needs the file of merges"),
        ({"merge_dropout": 0.1, "breadth_probability": 0.1}, "exclude each other"),
        ({"speed_factors": [9.0]}, "speed_factors: 9.0"),
    ],
)
def test_impossible_options_are_explained(options, message):
    with pytest.raises(OptionError, match=message):
        preprocessor(**options)


def test_pieces_need_a_token_list():
    with pytest.raises(OptionError, match="without a token list"):
        SamplingPreprocessor(train=True, breadth_probability=0.1)


@pytest.mark.slow
def test_pieces_of_a_sentencepiece_model_are_drawn_too(tmp_path):
    import sentencepiece

    (tmp_path / "text").write_text(
        "the house on the hill\nthe hall of the house\n" * 20
    )
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text"),
        model_prefix=str(tmp_path / "bpe"),
        vocab_size=24,
        model_type="bpe",
        minloglevel=2,
    )
    model = str(tmp_path / "bpe.model")
    processor = sentencepiece.SentencePieceProcessor(model_file=model)
    pieces = [processor.id_to_piece(n) for n in range(3, len(processor))]
    token_list = ["<blank>", "<unk>", *pieces, "<sos/eos>"]

    def drawn(name, **options):
        made = SamplingPreprocessor(
            train=True,
            token_type="bpe",
            bpemodel=model,
            token_list=token_list,
            **options,
        )
        made.set_epoch(1, 1)
        ids = made(name, {"text": "the house on the hill"})["text"]
        return tuple(token_list[number] for number in ids)

    expected = tuple(processor.encode("the house on the hill", out_type=str))
    assert drawn("u0") == expected
    several = {drawn(f"u{n}", breadth_probability=0.3) for n in range(30)}
    assert len(several) > 5
    for tokens in several:
        assert "<unk>" not in tokens
        assert "".join(tokens).replace("\u2581", " ").strip() == "the house on the hill"
