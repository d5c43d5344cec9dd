"""Times of segments and words, with sounds of known length instead of speech."""

import numpy as np
import pytest

from espnet_ext.corpus.embedded.script import Call, Turn
from espnet_ext.corpus.embedded.settings import SIZES
from espnet_ext.corpus.embedded.speakers import cast
from espnet_ext.corpus.embedded.synthesis import Spoken, word_spans
from espnet_ext.corpus.embedded.timeline import (
    RATE,
    place,
    resampled_length,
    spoken_text,
)
from espnet_ext.corpus.embedded.tokens import tokens

ESPEAK_RATE = 22050
TURNS = (
    Turn(0, tokens("well i live in Texas")),
    Turn(1, tokens("uh-huh [laughter]")),
    Turn(0, tokens("[noise] we have an IBM PC"), question=True),
    Turn(0, tokens("[vocalized-noise]")),
    Turn(1, tokens("<b_aside> so <e_aside> okay")),
) * 6


def sound(turn):
    """A tenth of a second a character, and an event at each token."""
    text, spans = spoken_text(turn)
    step = ESPEAK_RATE // 10
    events = np.array([(start, start * step) for start, _ in spans], dtype=np.int32)
    samples = np.zeros(len(text) * step, dtype=np.int16)
    return Spoken(samples, ESPEAK_RATE, events)


def call():
    return Call("sw02001", tuple(cast(SIZES["tiny"], 1)["train"][:2]), TURNS)


def placed(overlap=0.0, seed=1):
    return place(call(), lambda index: sound(TURNS[index]), seed, overlap)


def test_segments_of_a_side_never_overlap_and_keep_their_order():
    for overlap in (0.0, 0.5, 1.0):
        result = placed(overlap)
        for side in range(2):
            segments = result.side(side)
            for before, after in zip(segments, segments[1:]):
                assert before.end <= after.start
            assert all(s.start < s.end <= result.length for s in segments)


def test_overlaps_come_with_the_setting_and_only_then():
    def overlapping(result):
        return sum(
            a.start < b.end and b.start < a.end
            for a in result.side(0)
            for b in result.side(1)
        )

    assert overlapping(placed(0.0)) == 0
    assert overlapping(placed(1.0)) > len(TURNS) // 4


def test_the_same_seed_gives_the_same_times():
    assert placed(seed=3) == placed(seed=3)
    assert placed(seed=3) != placed(seed=4)


def test_words_lie_inside_their_segment_one_after_the_other():
    for segment in placed().segments:
        assert len(segment.spans) == len(segment.turn.sentence)
        edges = [edge for span in segment.spans for edge in span]
        assert edges == sorted(edges)
        assert segment.start <= edges[0] and edges[-1] <= segment.end


def test_a_word_is_where_the_synthesiser_says_it_is():
    segment = placed().segments[0]
    _, spans = spoken_text(TURNS[0])
    for (start, _), (character, _) in zip(segment.spans, spans):
        expected = segment.speech_start + character * RATE / 10
        assert start == pytest.approx(expected, abs=RATE * 0.001 * (1 + character))


def test_a_tag_between_words_takes_no_time_there():
    segment = placed().segments[4]
    names = [part.ms98 for part in segment.turn.sentence]
    times = dict(zip(names, segment.spans))
    assert times["<b_aside>"] == (segment.speech_start,) * 2
    assert times["so"][1] == times["<e_aside>"][0] == times["<e_aside>"][1]
    assert times["<e_aside>"][1] == times["okay"][0] < times["okay"][1]


def test_time_is_shared_where_an_event_is_missing():
    spans = [(0, 2), (3, 5), (6, 10)]
    spoken = Spoken(np.zeros(800, np.int16), 8000, np.array([[0, 0], [6, 400]]))
    assert word_spans(spans, spoken) == [(0, 200), (200, 400), (400, 800)]


def test_a_word_of_several_spoken_parts_begins_with_the_first():
    spans = [(0, 5), (6, 8)]  # "I B M", "so"
    events = np.array([[0, 0], [2, 100], [4, 200], [6, 300]])
    spoken = Spoken(np.zeros(400, np.int16), 8000, events)
    assert word_spans(spans, spoken) == [(0, 300), (300, 400)]


def test_resampled_length_is_that_of_the_resampler():
    from scipy.signal import resample_poly

    for length in (1, 2, 3, 441, 1000, 12345):
        expected = len(resample_poly(np.zeros(length), 160, 441))
        assert resampled_length(length, ESPEAK_RATE) == expected


def test_questions_are_asked():
    assert spoken_text(TURNS[2])[0] == "we have an I B M P C?"
