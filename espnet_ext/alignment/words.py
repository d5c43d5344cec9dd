"""Words out of labels, whatever the labels are: pieces, characters, phonemes, words.

| units      | a word                                          | for example         |
|------------|-------------------------------------------------|---------------------|
| pieces     | begins with the piece marked by U+2581          | sentencepiece       |
| joined     | goes on after a piece that ends in ``@@``       | subword-nmt         |
| characters | is what stands between ``<space>``              | ESPnet's char       |
| phonemes   | ends with the phoneme marked by ``#``           | lexicon, end of word |
| words      | is one label                                    | word                |
"""

# Dimensions: L labels
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from espnet_ext.errors import OptionError

WORD_START, JOINER, SPACE, WORD_END = "\u2581", "@@", "<space>", "#"
PHONEME_SHARE = 0.2  # of tokens that end a word
UNITS = ("pieces", "joined", "characters", "phonemes", "words")


class Word(NamedTuple):
    """A word of an utterance: text, and the time of its labels in seconds."""

    text: str
    start_s: float
    end_s: float


def units_of(token_type: Optional[str], tokens: Sequence[str]) -> str:
    """The units of an ESPnet model.

    Args:
        token_type: ``bpe``, ``char``, ``phn``, ``word`` of its configuration.
        tokens: Its token list; text cut by subword-nmt looks like words to ESPnet.
    """
    if token_type == "word":
        if any(token.endswith(JOINER) for token in tokens):
            return "joined"
        # a few words end so too ("c#"); of phonemes, about half do
        ends = sum(len(t) > 1 and t.endswith(WORD_END) for t in tokens)
        if ends > PHONEME_SHARE * len(tokens):
            return "phonemes"
    names: Dict[Optional[str], str] = {
        "char": "characters",
        "phn": "phonemes",
        "word": "words",
    }
    return names.get(token_type, "pieces")


def word_groups(tokens: Sequence[str], units: str) -> List[Tuple[str, int, int]]:
    """(text, first label, label after the last) of each word.

    Raises:
        OptionError: Unknown units.
    """
    if units not in UNITS:
        raise OptionError(f"unknown units {units!r}", expected=", ".join(UNITS))
    groups: List[Tuple[str, int, int]] = []
    begins = True
    for place, token in enumerate(tokens):
        if units == "characters" and token == SPACE:
            begins = True
            continue
        if units == "pieces":
            begins = begins or token.startswith(WORD_START)
        text = _text(token, units)
        if begins:
            groups.append((text, place, place + 1))
        else:
            gap = " " if units == "phonemes" else ""
            groups[-1] = (groups[-1][0] + gap + text, groups[-1][1], place + 1)
        begins = units == "words" or (
            (units == "joined" and not token.endswith(JOINER))
            or (units == "phonemes" and token.endswith(WORD_END))
        )
    return [group for group in groups if group[0]]


def _text(token: str, units: str) -> str:
    if units == "pieces":
        return token.removeprefix(WORD_START)
    if units == "joined":
        return token.removesuffix(JOINER)
    return token


def words_of(
    tokens: Sequence[str],
    times_L2: np.ndarray,
    frame_shift_s: float,
    units: str,
    spoken: Optional[Sequence[str]] = None,
) -> List[Word]:
    """The words with the times of their labels.

    A word begins with the first frame of its first label and ends with the last frame
    of its last one; a model that emits each label in one frame only gives short words.

    Args:
        tokens: Text of each label.
        times_L2: First frame and the frame after the last, of each label.
        frame_shift_s: Seconds a frame.
        units: One of UNITS.
        spoken: The words as they are written, for units that do not show them; not
            used if their number is another.
    """
    groups = word_groups(tokens, units)
    texts = [text for text, _, _ in groups]
    if spoken is not None and len(spoken) == len(texts):
        texts = list(spoken)
    return [
        Word(
            text,
            float(times_L2[first, 0]) * frame_shift_s,
            float(times_L2[after - 1, 1]) * frame_shift_s,
        )
        for text, (_, first, after) in zip(texts, groups)
    ]
