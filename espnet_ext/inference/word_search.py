"""Decoding of phoneme models into words: lexicon, word n-gram, and their options.

The lexicon is that of the training (``lexicon`` of its configuration), unless another
is named; ``none`` decodes into phonemes.
"""

import argparse
import dataclasses
import logging
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from espnet_ext.asr.ctc_model import CtcModel
from espnet_ext.asr.framewise_model import FramewiseModel
from espnet_ext.asr.framewise_transducer_model import FramewiseTransducerModel
from espnet_ext.asr.search.ctc import FramewiseDecoder
from espnet_ext.asr.search.lexical import LexicalSearch
from espnet_ext.asr.search.prefix_tree import PrefixTree
from espnet_ext.asr.search.word_entries import WordEntry
from espnet_ext.asr.search.word_lm import (
    NgramWordLm,
    NoWordLm,
    WordLm,
    known_words,
)
from espnet_ext.asr.transducer_model import TransducerModel
from espnet_ext.errors import MissingInputError, OptionError
from espnet_ext.inference.model_search import Scorers, SearchAdapter
from espnet_ext.inference.word_times import TimedWord, confidences, emission_frames
from espnet_ext.lexicon.dictionary import Lexicon, read_lexicon
from espnet_ext.lm.arpa import read_arpa

NONE = "none"


@dataclasses.dataclass(frozen=True)
class WordOptions:
    """What a search over words needs.

    Args:
        lexicon_file: Instead of the model's own; ``none``: search over labels.
        word_ngram_file: ARPA file over words; without it every word is equally likely.
        word_ngram_weight: Weight of its scores.
        word_penalty: Reward for every word.
    """

    lexicon_file: Optional[str] = None
    word_ngram_file: Optional[str] = None
    word_ngram_weight: float = 1.0
    word_penalty: float = 0.0

    @classmethod
    def take(cls, values: Dict[str, Any]) -> "WordOptions":
        """From a dictionary, out of which they are taken."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: values.pop(name) for name in names & set(values)})

    def weights(self) -> Dict[str, float]:
        """Weights that count, by option name."""
        there = {"word_ngram_weight": self.word_ngram_file, "word_penalty": True}
        return {name: getattr(self, name) for name, used in there.items() if used}


# names in full: recipe.config finds the valid keys by reading this text
OPTION_HELP = {
    "--lexicon_file": "lexicon of a phoneme model (default: its own; none: phonemes)",
    "--word_ngram_file": "n-gram of words as ARPA file, for phoneme models",
    "--word_ngram_weight": "weight of its scores",
    "--word_penalty": "reward for every word",
}


def add_word_options(parser: argparse.ArgumentParser) -> None:
    """Options ``--NAME`` of WordOptions."""
    group = parser.add_argument_group("Words of phoneme models")
    for field in dataclasses.fields(WordOptions):
        name = f"--{field.name}"
        kind = float if field.type is float else str
        group.add_argument(
            name, type=kind, default=field.default, help=OPTION_HELP[name]
        )


def lexicon_of(options: WordOptions, arguments) -> Optional[Path]:
    """The lexicon to search with; None for a search over labels.

    Args:
        options: Of the decoding.
        arguments: Configuration of the training.

    Raises:
        MissingInputError: It does not exist.
        OptionError: There is an n-gram of words but no lexicon.
    """
    named = options.lexicon_file or getattr(arguments, "lexicon", None) or NONE
    if named == NONE:
        if options.word_ngram_file:
            raise OptionError(
                "an n-gram of words needs a lexicon",
                where=f"--word_ngram_file {options.word_ngram_file}",
                next_step="--lexicon_file FILE, or --ngram_file for one of tokens",
            )
        return None
    if not Path(named).is_file():
        raise MissingInputError(
            "there is no such lexicon",
            where=named,
            expected="the lexicon.txt that stage 5 made",
            next_step="--lexicon_file FILE (none: decode into phonemes)",
        )
    return Path(named)


class Vocabulary(NamedTuple):
    """The words that can be recognised, as a tree, and their language model."""

    tree: PrefixTree
    lm: WordLm


def build_vocabulary(
    lexicon_file: Path, ngram_file: Optional[str], tokens: Sequence[str]
) -> Vocabulary:
    """Read lexicon and n-gram; words that the n-gram lacks are left out.

    Raises:
        MissingInputError, FormatError: A file is not there, or not what it should be.
        OptionError: The model lacks a phoneme, or the n-gram all words.
    """
    lexicon = read_lexicon(lexicon_file)
    if not ngram_file:
        tree = PrefixTree.of_lexicon(lexicon, tokens)
        return Vocabulary(tree, NoWordLm(len(tree.words)))
    model = read_arpa(ngram_file)
    words = known_words(model, list(lexicon), ngram_file)
    known: Lexicon = {word: lexicon[word] for word in words}
    logging.info(
        f"{len(known)} of {len(lexicon)} words of {lexicon_file} are in {ngram_file}; "
        "the others cannot be recognised"
    )
    tree = PrefixTree.of_lexicon(known, tokens)
    return Vocabulary(tree, NgramWordLm(model, tree.words))


def build_word_search(
    model,
    vocabulary: Vocabulary,
    beam_size: int,
    config: Dict[str, Any],
    options: WordOptions,
    scorers: Scorers,
) -> SearchAdapter:
    """The search over words for a model of ours.

    Args:
        model: RNA transducer, CTC or framewise model, in evaluation mode.
        vocabulary: See build_vocabulary.
        beam_size: K.
        config: ``transducer_conf``: ``recombination``, ``recombine_by``,
            ``look_ahead``, ``sentence_end``, ``bos``; of CTC models ``collapse``.
        options: Weights.
        scorers: Language models of labels.

    Raises:
        OptionError: An option is unknown or wrong, or the model is of another kind.
    """
    settings = {"lm_weight": options.word_ngram_weight, **config}
    settings.update(word_penalty=options.word_penalty, scorers=scorers)
    rna = getattr(model, "topology", "rna") != "rnnt"
    try:
        if isinstance(model, (TransducerModel, FramewiseTransducerModel)) and rna:
            search = LexicalSearch(model.decoder, *vocabulary, beam_size, **settings)
            return WordSearchAdapter(search, model.blank_id)
        if isinstance(model, (CtcModel, FramewiseModel)):
            settings["label_loop"] = settings.pop("collapse", True)
            decoder = FramewiseDecoder(model.vocab_size)
            search = LexicalSearch(decoder, *vocabulary, beam_size, **settings)
            is_ctc = isinstance(model, CtcModel)
            scores = model.ctc.log_softmax if is_ctc else model.symbol_scores
            return WordSearchAdapter(
                lambda frames_BTD, lengths_B: search(scores(frames_BTD), lengths_B),
                model.blank_id,
                ends=True,
            )
    except (TypeError, ValueError) as error:
        raise OptionError(f"transducer_conf: {error}") from error
    raise OptionError(
        f"a search over words knows no {type(model).__name__}"
        + ("" if rna else " of topology rnnt"),
        where="--lexicon_file",
        expected="an RNA transducer, a CTC model or a framewise model",
        next_step="--lexicon_file none decodes into phonemes",
    )


class WordSearchAdapter(SearchAdapter):
    """A search over words in the place of ESPnet's; says what ended inside a word."""

    def batch(self, frames_BTR, lengths_B):
        """See SearchAdapter."""
        beams = super().batch(frames_BTR, lengths_B)
        if any(not found[0].beam[0].complete for found in beams):
            logging.warning(
                "no hypothesis ended with a word: its unfinished last word was left "
                "out (a larger --beam_size helps)"
            )
        return beams


def timed_entry(
    beam: Sequence[WordEntry], blank: int, shift_s: float
) -> List[TimedWord]:
    """Words of the best entry of a beam with times and confidences."""
    best = beam[0]
    frames = emission_frames(best.symbols, blank)
    posteriors = confidences([e.words for e in beam], [e.score for e in beam])
    found = []
    for word, first, end, posterior in zip(
        best.words, [0, *best.ends], best.ends, posteriors
    ):
        start, last = frames[first], frames[end - 1]
        found.append(
            TimedWord(word, start * shift_s, (last + 1 - start) * shift_s, posterior)
        )
    return found
