import pytest

from espnet_ext.analysis import ctm_command
from espnet_ext.analysis.ctm import is_scored, make_ctm, split_letters, write_ctm
from espnet_ext.analysis.kaldi_text import CoverageError
from espnet_ext.errors import FormatError, MissingInputError


def test_words_share_the_first_nine_tenths_of_their_segment(experiment):
    data, hyp = experiment / "data/hub", experiment / "exp/asr_x/decode/hub/text"
    words = [word for word in make_ctm(data, hyp) if word.file == "en_1"]
    first = [word for word in words if word.channel == "A"]
    # four words were recognised; the hesitation at the end is not scored
    assert [word.word for word in first] == ["he", "was", "here"]
    assert [word.start for word in first] == pytest.approx([0.0, 0.45, 0.9])
    assert {word.duration for word in first} == {0.9 * 2 / 4}
    side_b = [word for word in words if word.channel == "B"]
    assert side_b[0].start == 1.0
    assert side_b[-1].start + side_b[-1].duration == pytest.approx(1 + 0.9 * 2)


@pytest.mark.parametrize(
    "word", ["[noise]", "[VOCALIZED-NOISE]", "<unk>", "<UNK>", "uh", "UM", "Ew", "th-"]
)
def test_noises_hesitations_and_partial_words_are_left_out(word):
    assert not is_scored(word)


@pytest.mark.parametrize("word", ["uh-huh", "a", "well-known", "-out", "mhm", "hum"])
def test_other_words_are_scored(word):
    assert is_scored(word)


def test_the_originals_rules_leave_out_noise_tags_alone():
    words = "uh [noise] th- <unk> yes".split()
    assert [w for w in words if is_scored(w, "rwth")] == ["uh", "th-", "yes"]


def test_letters_written_as_one_word_become_the_words_of_the_reference():
    """Kaldi's scoring splits u._c._l._a. into four words of the CTM."""
    assert split_letters("u._c._l._a. t._v.s p._c.'s") == [
        *("u.", "c.", "l.", "a.", "t.", "v.s", "p.", "c.'s")
    ]
    assert split_letters("a_b i. okay_1 ._. x._") == "a_b i. okay_1 ._. x._".split()


def test_a_ctm_line_has_times_in_milliseconds_and_a_confidence(experiment, tmp_path):
    data, hyp = experiment / "data/hub", experiment / "exp/asr_x/decode/hub/text"
    write_ctm(make_ctm(data, hyp), tmp_path / "ctm")
    first = (tmp_path / "ctm").read_text().splitlines()[0]
    assert first == "en_1 A 0.000 0.450 he 0.99"


def test_without_segments_each_recording_is_an_utterance(experiment):
    data, hyp = experiment / "data/hub", experiment / "exp/asr_x/decode/hub/text"
    for name in ("segments", "text", "utt2spk"):
        (data / name).unlink()
    hyp.write_text("en_1-A yes he is here\nen_1-B\nsw_2-A fact\n")
    words = make_ctm(data, hyp)
    last = [(word.file, word.channel, word.word) for word in words][-2:]
    assert last == [("en_1", "A", "here"), ("sw_2", "A", "fact")]
    assert words[0].duration == pytest.approx(0.9 * 4 / 4)  # the audio has 4 s


def test_a_segment_without_an_end_lasts_as_long_as_its_audio(experiment):
    data, hyp = experiment / "data/hub", experiment / "exp/asr_x/decode/hub/text"
    lines = (data / "segments").read_text().replace("en_1-A 0 2", "en_1-A 1 -1")
    (data / "segments").write_text(lines)
    words = make_ctm(data, hyp)
    assert words[0].duration == pytest.approx(0.9 * 3 / 4)  # from 1 s to 4 s


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda lines: lines[1:], "1 missing: en_1-A_000000-000200"),
        (lambda lines: lines + ["zz a\n"], "1 not in the reference: zz"),
        (lambda lines: lines + lines[:1], "comes twice"),
    ],
)
def test_missing_extra_and_double_hypotheses_are_errors(experiment, change, message):
    hyp = experiment / "exp/asr_x/decode/hub/text"
    hyp.write_text("".join(change(hyp.read_text().splitlines(keepends=True))))
    with pytest.raises(FormatError, match=message) as caught:
        make_ctm(experiment / "data/hub", hyp)
    assert isinstance(caught.value, CoverageError) or "twice" in message


def test_a_set_that_was_not_decoded_says_what_to_do(experiment):
    with pytest.raises(MissingInputError, match="stage 12"):
        make_ctm(experiment / "data/hub", experiment / "none")


def test_a_recording_without_a_side_is_an_error(experiment):
    data = experiment / "data/hub"
    (data / "reco2file_and_channel").unlink()
    hyp = experiment / "exp/asr_x/decode/hub/text"
    assert {w.channel for w in make_ctm(data, hyp)} == {"A", "B"}  # from the name
    segments = (data / "segments").read_text().replace(" en_1-A ", " call1 ")
    (data / "segments").write_text(segments)
    with pytest.raises(FormatError, match="call1 has no file and channel"):
        make_ctm(data, hyp)


def test_words_with_times_of_their_own_are_placed_in_the_recording(
    experiment, tmp_path
):
    data, decoded = experiment / "data/hub", experiment / "exp/asr_x/decode/hub"
    hyp = decoded / "text"
    lines = hyp.read_text().splitlines()
    times, count = [], 0
    for line in lines:
        key, *words = line.split()
        values = [f"{0.06 * n:.3f},0.120,0.{n + 1}" for n in range(len(words))]
        times.append(" ".join([key, *values]))
        count += len(words)
    (decoded / "word_times").write_text("".join(t + "\n" for t in times))
    output = tmp_path / "out.ctm"
    options = ["--data", str(data), "--decoded", str(decoded)]
    assert ctm_command.main([*options, "--output", str(output)]) == 0
    rows = [line.split() for line in output.read_text().splitlines()]
    spread = make_ctm(data, hyp, "rwth")
    assert [row[4] for row in rows] == [word.word for word in spread]
    side_b = [row for row in rows if row[:2] == ["en_1", "B"]]
    # its segment begins at 1.0
    assert side_b[0][2:4] == ["1.000", "0.120"] and side_b[0][5] == "0.1"


def test_letters_share_the_time_of_their_word_and_wrong_times_are_refused(
    experiment, tmp_path
):
    data = experiment / "data/hub"
    hyp, times = tmp_path / "text", tmp_path / "word_times"
    ids = [line.split()[0] for line in (data / "segments").read_text().splitlines()]
    hyp.write_text("".join(f"{i} u._s.\n" for i in ids))
    times.write_text("".join(f"{i} 0.100,0.400,0.5\n" for i in ids))
    first, second, *_ = make_ctm(data, hyp, times=times)
    assert (first.word, second.word) == ("u.", "s.")
    assert second.start - first.start == pytest.approx(0.2)
    assert (first.duration, first.confidence) == (pytest.approx(0.2), 0.5)
    times.write_text("")
    with pytest.raises(FormatError, match="1 words, 0 times"):
        make_ctm(data, hyp, times=times)
