"""ESPnet's preprocessor with random word pieces, speed and tempo.

Everything is drawn from (seed, sub-epoch, utterance), so that it does not depend on the
number of loader processes. Before the iterator has told the sub-epoch, as while the
statistics are collected, nothing is drawn.

Source: reference/parts.md 2.4 (bpesample). Ref: Provilkov, Emelianenko and Voita 2020,
BPE-dropout; Ko et al. 2015, Audio augmentation for speech recognition.
"""

import random
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy
from espnet2.train.preprocessor import CommonPreprocessor

from espnet_ext.corpus.cuts import resample
from espnet_ext.errors import OptionError, ToolMissingError
from espnet_ext.files import read_lines
from espnet_ext.streams import utterance_generator
from espnet_ext.train.word_pieces import WordPieces, words_of

Data = Dict[str, Union[str, numpy.ndarray]]
FASTEST = 4.0


class SamplingPreprocessor(CommonPreprocessor):
    """CommonPreprocessor that changes texts and waveforms at random.

    Args (in addition to those of CommonPreprocessor, which the task fills in):
        breadth_probability: See ``word_pieces``; 0 leaves the text as it is cut.
        merge_dropout: Probability that a merge of subword-nmt is left out
            (BPE-dropout); 0 leaves the text as it is cut.
        merges: File of these merges.
        in_evaluation: Draw the pieces of the validation text, too (original).
        speed_factors: One of these is drawn for each utterance and changes tempo and
            pitch: 1.1 makes it shorter.
        tempo_factors: The same for the tempo alone.

    Raises:
        OptionError: Impossible values, or options that exclude each other.
    """

    def __init__(
        self,
        train: bool,
        breadth_probability: float = 0.0,
        merge_dropout: float = 0.0,
        merges: Optional[str] = None,
        in_evaluation: bool = False,
        speed_factors: Sequence[float] = (),
        tempo_factors: Sequence[float] = (),
        **kwargs,
    ):
        super().__init__(train=train, **kwargs)
        self.breadth_probability = breadth_probability
        self.merge_dropout = merge_dropout
        self.in_evaluation = in_evaluation
        self.speed_factors = tuple(speed_factors)
        self.tempo_factors = tuple(tempo_factors)
        self.seed = 0
        self.epoch: Optional[int] = None
        self._check(merges)
        self.pieces: Optional[WordPieces] = None
        self.known: frozenset = frozenset()
        self.cut_with_dropout: Optional[Callable[[str], List[str]]] = None
        if self.breadth_probability or self.merge_dropout:
            tokens = list(self.token_id_converter.token_list)
            unknown = self.token_id_converter.unk_symbol
            self.known = frozenset(tokens)
            self.pieces = WordPieces(tokens, (tokens[0], unknown, tokens[-1]))
        if self.merge_dropout:
            self.cut_with_dropout = _merging(str(merges), self.known, merge_dropout)

    def _check(self, merges: Optional[str]) -> None:
        where = "preprocessor_conf"
        for name in ("breadth_probability", "merge_dropout"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise OptionError(
                    f"{name} is {getattr(self, name)}",
                    where=where,
                    expected="a probability, 0 to 1",
                )
        if self.breadth_probability and self.merge_dropout:
            raise OptionError(
                "breadth_probability and merge_dropout exclude each other", where=where
            )
        if self.merge_dropout and (merges is None or not Path(merges).is_file()):
            raise OptionError(
                f"merge_dropout needs the file of merges, found {merges!r}",
                where=where,
                next_step="merges: data/token_list/bpe_subword_nmt1000/bpe.model",
            )
        for name in ("speed_factors", "tempo_factors"):
            for factor in getattr(self, name):
                if not 1 / FASTEST <= factor <= FASTEST:
                    raise OptionError(
                        f"{name}: {factor}",
                        where=where,
                        expected="numbers between 0.25 and 4, such as [0.9, 1.0, 1.1]",
                    )
        if (self.breadth_probability or self.merge_dropout) and self.tokenizer is None:
            raise OptionError(
                "word pieces cannot be drawn without a token list",
                where=where,
                next_step="token_type: word or bpe",
            )

    def set_epoch(self, seed: int, epoch: int) -> None:
        """What the random numbers depend on besides the utterance."""
        self.seed = seed
        self.epoch = epoch

    def __call__(self, uid: str, data: Data) -> Dict[str, numpy.ndarray]:
        """As CommonPreprocessor's, after the random changes."""
        if self.epoch is not None:
            if self.train:
                data = self._perturbed(uid, data)
            if self.pieces is not None and (self.train or self.in_evaluation):
                data = self._resampled(uid, data)
        return super().__call__(uid, data)

    def _generator(self, uid: str, purpose: str) -> numpy.random.Generator:
        return utterance_generator(self.seed, self.epoch or 0, uid, purpose)

    def _perturbed(self, uid: str, data: Data) -> Data:
        speech = data.get(self.speech_name)
        if not isinstance(speech, numpy.ndarray):
            return data
        for factors, purpose, change in (
            (self.speed_factors, "speed", at_speed),
            (self.tempo_factors, "tempo", at_tempo),
        ):
            if factors:
                choice = self._generator(uid, purpose).integers(len(factors))
                speech = change(speech, factors[int(choice)])
        return {**data, self.speech_name: speech}

    def _resampled(self, uid: str, data: Data) -> Data:
        text = data.get(self.text_name)
        if not isinstance(text, str):
            return data
        tokens = self._draw(self.text_cleaner(text), self._generator(uid, "pieces"))
        ids = self.token_id_converter.tokens2ids(tokens)
        return {**data, self.text_name: numpy.array(ids, dtype=numpy.int64)}

    def _draw(self, text: str, generator: numpy.random.Generator) -> List[str]:
        """Tokens of a text; words that cannot be cut otherwise stay as they are."""
        tokens: List[str] = []
        for word, as_cut in self._words(text):
            if self.cut_with_dropout is not None:
                seed = int(generator.integers(2**62))
                found = _with_random_seed(seed, self.cut_with_dropout, word)
                if not self.known.issuperset(found):
                    found = None  # a noise tag, which is never cut
            else:
                found = self.pieces.cut(
                    word, lambda: generator.random() < self.breadth_probability
                )
            tokens += as_cut if found is None else found
        return tokens

    def _words(self, text: str) -> List[Tuple[str, List[str]]]:
        """Words with the pieces that they have without sampling."""
        if not self.pieces.begins_words:
            return words_of(text.split())
        return [(word, self.tokenizer.text2tokens(word)) for word in text.split()]


def at_speed(speech: numpy.ndarray, factor: float) -> numpy.ndarray:
    """Samples [N] played ``factor`` times as fast, as with stage 2 of the recipe."""
    if factor == 1.0:
        return speech
    return resample(speech, factor, 1.0).astype(speech.dtype)


def at_tempo(speech: numpy.ndarray, factor: float) -> numpy.ndarray:
    """Samples [N] of speech that is ``factor`` times as fast at the same pitch."""
    if factor == 1.0:
        return speech
    import librosa

    return librosa.effects.time_stretch(speech, rate=factor).astype(speech.dtype)


def _merging(
    merges: str, known: frozenset, dropout: float
) -> Callable[[str], List[str]]:
    """BPE-dropout with the merges of a file; pieces stay within the vocabulary."""
    try:
        from subword_nmt import apply_bpe
    except ImportError:
        raise ToolMissingError(
            "the package subword-nmt is not installed",
            where="preprocessor_conf.merge_dropout",
            next_step="pip install subword-nmt",
        ) from None
    read_lines(merges)  # its errors are clear
    with open(merges, encoding="utf-8") as file:
        bpe = apply_bpe.BPE(file, vocab=set(known))
    return lambda text: bpe.process_line(text, dropout=dropout).split()


def _with_random_seed(
    seed: int, function: Callable[[str], List[str]], text: str
) -> List[str]:
    """Call what draws from Python's global generator, and leave that as it was."""
    state = random.getstate()
    random.seed(seed)
    try:
        return function(text)
    finally:
        random.setstate(state)
