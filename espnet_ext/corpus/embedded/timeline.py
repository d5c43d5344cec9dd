"""When each segment of a call is said: pauses, touching segments and some overlaps.

All times are samples at 8 kHz, so that six decimals of a second hold them exactly.
"""

import random
from dataclasses import dataclass
from typing import Callable, Dict, List, Sequence, Tuple

from espnet_ext.corpus.embedded.script import Call, Turn
from espnet_ext.corpus.embedded.synthesis import Spoken, word_spans

RATE = 8000
SOUND_S = 0.35  # length of a noise or a laugh
MARGIN_S = (0.08, 0.2)  # silence inside a segment before and after its speech
SAME_SIDE_PAUSES_S = (0.0, 0.4, 0.9)  # 0: the segments touch
OTHER_SIDE_PAUSE_S = (0.05, 0.6)
OVERLAP_S = (0.3, 0.7)
EDGE_S = 0.4  # silence at both ends of a call


@dataclass(frozen=True)
class Segment:
    """A turn with its times in samples from the start of the call.

    Attributes:
        turn: What is said.
        start, end: The segment, with margins of silence.
        speech_start: First sample of the synthesised speech (or where it would be).
        spans: (start, end) of each token of the turn; empty spans for tags.
    """

    turn: Turn
    start: int
    end: int
    speech_start: int
    spans: Tuple[Tuple[int, int], ...]


@dataclass(frozen=True)
class PlacedCall:
    """A call with its timeline; ``length`` in samples."""

    call: Call
    segments: Tuple[Segment, ...]
    length: int

    def side(self, side: int) -> List[Segment]:
        """The segments of one side in order of time."""
        return [segment for segment in self.segments if segment.turn.side == side]


def seconds(samples: int) -> float:
    """Samples at 8 kHz as seconds."""
    return samples / RATE


def resampled_length(samples: int, rate: int) -> int:
    """Samples at 8 kHz of a sound of ``samples`` at ``rate``, rounded up."""
    return -(-samples * RATE // rate)


def spoken_text(turn: Turn) -> Tuple[str, List[Tuple[int, int]]]:
    """What the synthesiser is given, and the character range of each spoken token."""
    pieces, spans, position = [], [], 0
    for token in turn.sentence:
        if token.spoken:
            pieces.append(token.spoken)
            spans.append((position, position + len(token.spoken)))
            position += len(token.spoken) + 1
    return " ".join(pieces) + ("?" if turn.question else ""), spans


def place(
    call: Call, spoken: Callable[[int], Spoken], seed: int, overlap: float = 0.0
) -> PlacedCall:
    """Lay out all turns of a call.

    Args:
        call: The call.
        spoken: Gives the sound of a turn by its index; asked only for turns that speak.
        seed: With the name of the call it decides all pauses.
        overlap: Share of the turns that begin before the other side has ended.
    """
    source = random.Random(f"{seed} timeline {call.name}")
    free = [_samples(EDGE_S)] * 2  # first sample that a side may use
    last_side, segments = None, []
    for index, turn in enumerate(call.turns):
        start = max(
            free[turn.side], max(free) + _pause(turn, last_side, source, overlap)
        )
        segment = _segment(turn, start, spoken, index, source)
        segments.append(segment)
        free[turn.side], last_side = segment.end, turn.side
    return PlacedCall(call, tuple(segments), max(free) + _samples(EDGE_S))


def _pause(turn: Turn, last_side, source: random.Random, overlap: float) -> int:
    if turn.side == last_side:
        return _samples(source.choice(SAME_SIDE_PAUSES_S))
    if source.random() < overlap:
        return -_samples(source.uniform(*OVERLAP_S))
    return _samples(source.uniform(*OTHER_SIDE_PAUSE_S))


def _segment(
    turn: Turn,
    start: int,
    spoken: Callable[[int], Spoken],
    index: int,
    source: random.Random,
) -> Segment:
    position = start + _samples(source.uniform(*MARGIN_S))
    text, characters = spoken_text(turn)
    spans: Dict[int, Tuple[int, int]] = {}
    speech_start, speech_end = position, position
    said = [i for i, token in enumerate(turn.sentence) if token.spoken]
    for i, token in enumerate(turn.sentence):
        if token.kind == "sound":
            spans[i] = (position, position + _samples(SOUND_S))
            position = spans[i][1]
        elif said and i == said[0]:
            sound = spoken(index)
            speech_start = position
            for j, (first, last) in zip(said, word_spans(characters, sound)):
                spans[j] = tuple(
                    speech_start + resampled_length(edge, sound.rate)
                    for edge in (first, last)
                )
            position = speech_end = spans[said[-1]][1]
        elif i not in spans:  # a tag takes no time and comes after what is before it
            before = spans[i - 1][1] if i else position
            spans[i] = (before, before)
    end = max(position, speech_end) + _samples(source.uniform(*MARGIN_S))
    ordered = tuple(spans[i] for i in range(len(turn.sentence)))
    return Segment(turn, start, end, speech_start, ordered)


def _samples(time_s: float) -> int:
    return round(time_s * RATE)


def shared_span(
    words: Sequence[str], span: Tuple[int, int]
) -> List[Tuple[str, int, int]]:
    """(word, start, end) in samples: a span shared out by numbers of characters."""
    total = sum(map(len, words))
    start, placed, done = span[0], [], 0
    for word in words:
        done += len(word)
        end = span[0] + (span[1] - span[0]) * done // total
        placed.append((word, start, end))
        start = end
    return placed
