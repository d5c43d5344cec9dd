"""Who says what to whom: the calls of all sets, before anything is synthesised.

The text depends on the settings alone. Sentences are dealt to the sets by a checksum
of their words, so that no sentence can be in two of train, dev and test.
"""

import functools
import random
import zlib
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Set, Tuple

from espnet_ext.corpus.embedded import special
from espnet_ext.corpus.embedded.grammar import Grammar, disfluent
from espnet_ext.corpus.embedded.settings import Settings, Size
from espnet_ext.corpus.embedded.speakers import Speaker, cast
from espnet_ext.corpus.embedded.tokens import Token, sentence_key, tokens, words
from espnet_ext.errors import OptionError

# shares of all sentences in percent; single words are always for training
SHARES = {"train": 70, "dev": 10, "test": 20}
# the first four have peculiarities, see switchboard.py
TRAIN_CALLS = tuple(map(str, (2001, 2005, 2010, 2012, *range(2020, 2990, 15))))
DEV_CALLS = "3020 3045 3071 3102".split()
SILENT_SIDE_CALL = "2167"  # side B says nothing in the real release either
SILENT_SIDE_SEGMENTS = 3
STAY_SHARE = 0.25  # how often the same side goes on
BACKCHANNEL_SHARE, JOINED_SHARE = 0.35, 0.1
MAX_DRAWS = 20_000


@dataclass(frozen=True)
class Turn:
    """One segment: what side 0 (A) or 1 (B) says without a pause.

    Attributes:
        side: 0 or 1.
        sentence: The tokens.
        question: Whether the voice goes up at the end.
        reference: Text of the STM line where it differs from the tokens.
    """

    side: int
    sentence: Tuple[Token, ...]
    question: bool = False
    reference: Optional[str] = None


@dataclass(frozen=True)
class Call:
    """A conversation: its name in the release and the speakers of sides A and B."""

    name: str
    speakers: Tuple[Speaker, Speaker]
    turns: Tuple[Turn, ...]


@dataclass(frozen=True)
class Script:
    """All text of the corpus.

    Attributes:
        calls: Set -> calls; sets are train, dev, hub5e_00, hub5e_01 and rt03s.
        fisher: Plain sentences for the text-only transcripts; from the share of
            train, so that a language model never sees a test sentence.
    """

    calls: Dict[str, List[Call]] = field(default_factory=dict)
    fisher: List[Tuple[Token, ...]] = field(default_factory=list)

    def turns(self, *sets: str) -> List[Turn]:
        """All turns of some sets."""
        return [turn for s in sets for call in self.calls[s] for turn in call.turns]


def share_of(key: str, seed: int) -> str:
    """The set a sentence (as ``sentence_key`` gives it) belongs to."""
    if len(key.split()) < 2:
        return "train"
    point = zlib.crc32(f"{seed} {key}".encode()) % 100
    for name, percent in SHARES.items():
        if point < percent:
            return name
        point -= percent
    raise AssertionError("the shares do not add up to 100")


class _Writer:
    """Draws the turns of one share of the sentences, with ``allowed`` words only."""

    def __init__(
        self,
        settings: Settings,
        share: str,
        allowed: Optional[Set[str]],
        stream: Optional[str] = None,
    ):
        self.settings, self.share, self.allowed = settings, share, allowed
        self.source = random.Random(f"{settings.seed} {stream or share}")
        self.grammar = Grammar(self.source)
        self.side = 0

    def turn(self) -> Turn:
        """The next turn; sides mostly alternate."""
        if self.source.random() >= STAY_SHARE:
            self.side = 1 - self.side
        sentence, question = self.sentence()
        return Turn(self.side, sentence, question)

    def sentence(self) -> Tuple[Tuple[Token, ...], bool]:
        """A sentence of this share, and whether it is a question."""
        kind = self.source.random()
        for _ in range(MAX_DRAWS):
            if kind < BACKCHANNEL_SHARE:
                text = self.grammar.backchannel()
            else:
                text = self.grammar.sentence(kind > 1 - JOINED_SHARE)
            plain = tokens(text.rstrip("?"))
            key = sentence_key(plain)
            if share_of(key, self.settings.seed) != self.share:
                continue
            if key in _keys_of_cases(self.share):
                continue
            scale = self.settings.difficulty.disfluency
            sentence = disfluent(text, self.source, scale)
            # a plural acronym or a fragment may be new even where its words are not
            if self.allowed is None or self.allowed.issuperset(words(sentence)):
                return sentence, text.endswith("?")
        raise RuntimeError(f"no sentence left for {self.share}")


def write_script(settings: Settings) -> Script:
    """All calls of all sets. The same settings always give the same script."""
    size = settings.counts()
    speakers = cast(size, settings.seed)
    script = Script()
    writer = _Writer(settings, "train", None)
    script.calls["train"] = _train_calls(writer, size, speakers["train"])
    known = {w for turn in script.turns("train") for w in words(turn.sentence)}
    fisher = _Writer(settings, "train", known, stream="fisher")
    script.fisher.extend(fisher.sentence()[0] for _ in range(size.fisher_lines))
    script.calls["dev"] = _dev_calls(
        _Writer(settings, "dev", known), size.dev_segments, speakers["dev"]
    )
    _test_calls(script, _Writer(settings, "test", known), size, speakers["test"])
    return script


def _train_calls(writer: _Writer, size: Size, speakers: List[Speaker]) -> List[Call]:
    pairs = _pairs(speakers)
    if len(pairs) > len(TRAIN_CALLS):
        raise OptionError(
            f"{len(speakers)} training voices make {len(pairs)} calls",
            where="embedded corpus",
            expected=f"at most {len(TRAIN_CALLS)} calls, two voices each",
        )
    cases = [
        Turn(index % 2, tokens(line))
        for index, line in enumerate(
            line for lines in special.TRAIN_CASES.values() for line in lines
        )
    ]
    calls = []
    drawn = size.train_segments - len(cases) - SILENT_SIDE_SEGMENTS
    for index, (number, pair) in enumerate(zip(TRAIN_CALLS, pairs)):
        count = drawn // len(pairs) + (index < drawn % len(pairs))
        turns = [writer.turn() for _ in range(count)]
        for position, case in enumerate(cases[index :: len(pairs)]):
            turns.insert(min(2 * position + 1, len(turns)), case)
        calls.append(Call(f"sw0{number}", pair, tuple(turns)))
    alone = [Turn(0, writer.sentence()[0]) for _ in range(SILENT_SIDE_SEGMENTS)]
    # its caller A is also in the first call: one speaker, two calls
    pair = (speakers[0], speakers[-1])
    return calls + [Call(f"sw0{SILENT_SIDE_CALL}", pair, tuple(alone))]


def _dev_calls(writer: _Writer, segments: int, speakers: List[Speaker]) -> List[Call]:
    pairs = _pairs(speakers)
    return [
        Call(
            f"sw0{number}",
            pair,
            tuple(writer.turn() for _ in range(segments // len(pairs))),
        )
        for number, pair in zip(DEV_CALLS, pairs)
    ]


def _test_calls(
    script: Script, writer: _Writer, size: Size, speakers: List[Speaker]
) -> None:
    half = len(speakers) // 2
    halves = {"sw": speakers[:half], "en": speakers[half:]}
    cases = [
        Turn(index % 2, tokens(case.spoken), reference=case.stm)
        for index, case in enumerate(
            c for cs in special.EVAL_CASES.values() for c in cs
        )
    ]
    calls = []
    for part, (prefix, voices) in enumerate(halves.items()):
        pairs = _pairs(voices) + _pairs(voices[1:] + voices[:1])
        numbers = [4401 + 100 * part + 7 * i for i in range(size.hub5e_00_calls)]
        per_call = size.hub5e_00_words // size.hub5e_00_calls
        opening = cases[part::2]
        for number, pair in zip(numbers, pairs):
            turns = _worded(writer, per_call, opening)
            calls.append(Call(f"{prefix}_{number}", pair, turns))
            opening = []
    script.calls["hub5e_00"] = calls

    mixed = list(zip(halves["sw"], halves["en"]))
    ignored = [
        Turn(0, tokens(case.spoken), reference=case.stm)
        for name in ("ignored", "fragment")
        for case in special.EVAL_CASES[name]
    ]
    empty = [
        Turn(1, tokens(case.spoken), reference=case.stm)
        for case in special.EVAL_CASES["empty"]
    ]
    for set_name, names, count, opening in (
        ("hub5e_01", ("sw4651", "sw20031"), size.hub5e_01_words, ignored),
        ("rt03s", ("sw_45101", "fsh_60301"), size.rt03s_words, empty),
    ):
        pairs = (
            mixed if set_name == "hub5e_01" else [pair[::-1] for pair in mixed[::-1]]
        )
        script.calls[set_name] = [
            Call(name, pair, _worded(writer, count, opening))
            for name, pair in zip(names, pairs)
        ]


def _worded(writer: _Writer, count: int, opening: List[Turn]) -> Tuple[Turn, ...]:
    """At least ``count`` words; the opening turns come in between the first ones."""
    turns: List[Turn] = []
    rest = list(opening)
    while rest or sum(len(words(turn.sentence)) for turn in turns) < count:
        turns.append(writer.turn())
        if rest:
            turns.append(rest.pop(0))
    return tuple(turns)


def _pairs(speakers: List[Speaker]) -> List[Tuple[Speaker, Speaker]]:
    return list(zip(speakers[::2], speakers[1::2]))


@functools.cache
def _keys_of_cases(share: str) -> Set[str]:
    """Sentences that the special cases have placed in another share."""
    lines = [case.spoken for cases in special.EVAL_CASES.values() for case in cases]
    if share != "train":
        lines += [line for lines_ in special.TRAIN_CASES.values() for line in lines_]
    return {sentence_key(tokens(line)) for line in lines}
