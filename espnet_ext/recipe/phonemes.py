"""Phonemes as units of the recipe: token list, lexicon, and texts as phonemes.

As with subword-nmt the recipe cuts the texts itself, ESPnet sees the phonemes as words
(token type ``word``). Decoding searches through the words of the lexicon that is
written here: what was given, and the words of the training text that it lacked, with
the units of the fallback.
"""

from pathlib import Path
from typing import Dict

from espnet_ext.errors import MissingInputError, OptionError
from espnet_ext.files import atomic_write, read_lines
from espnet_ext.lexicon.dictionary import Lexicon, read_lexicon, write_lexicon
from espnet_ext.lexicon.pronounce import (
    UNKNOWN_WORD,
    Pronouncer,
    is_special,
    units_of,
)
from espnet_ext.recipe.context import Context
from espnet_ext.recipe.options import RecipeOptions
from espnet_ext.recipe.stages.filter import dumped_text

SETTINGS = (
    *("lexicon", "lexicon_case", "lexicon_stress", "lexicon_fallback"),
    "phoneme_word_end",
)
UNKNOWN_WORDS = "unknown_words.txt"
SHOWN_WORDS = 8


def given_lexicon(options: RecipeOptions) -> Path:
    """The file of ``--lexicon``.

    Raises:
        OptionError: It is not named.
        MissingInputError: It does not exist.
    """
    if not options.lexicon:
        raise OptionError(
            "phonemes need a pronunciation dictionary",
            where="--token_type phn",
            expected="--lexicon FILE: CMUdict, sw-ms98-dict.text, a lexicon of Kaldi",
            next_step="see docs/phonemes.md",
        )
    path = Path(options.lexicon)
    if not path.is_file():
        raise MissingInputError(
            "there is no such lexicon", where=f"--lexicon {options.lexicon}"
        )
    return path


def make(context: Context, text: Path) -> Dict[str, object]:
    """Write tokens, lexicon and the words that it did not have; facts for the summary.

    Args:
        text: The training text, utterance id first.

    Raises:
        FormatError: A word has no pronunciation, or the lexicon is not one.
        OptionError: A phoneme is called like a special token.
    """
    options, layout = context.options, context.layout
    lexicon = read_lexicon(
        given_lexicon(options), options.lexicon_case, options.lexicon_stress
    )
    pronouncer = Pronouncer(lexicon, options.lexicon_fallback, options.lexicon_case)
    running = 0
    for line in read_lines(text):
        words = line.split()[1:]
        running += len(words)
        pronouncer.tokens(words)
    path = layout.lexicon.with_name(UNKNOWN_WORDS)
    _write_unknown(pronouncer, path)
    pronouncer.check(text)
    whole = with_missing_words(lexicon, pronouncer)
    write_lexicon(whole, layout.lexicon)
    _write_tokens(context, whole)
    count = sum(map(len, whole.values()))
    missing = pronouncer.missing
    shown = " ".join(f"{w} ({n})" for w, n in missing.most_common(SHOWN_WORDS))
    more = " ..." * (len(missing) > SHOWN_WORDS)
    return {
        "lexicon": f"{len(whole)} words, {count} pronunciations ({layout.lexicon})",
        "not in the lexicon": f"{len(missing)} words, {sum(missing.values())} of "
        f"{running} running words{': ' * bool(missing)}{shown}{more} ({path})",
    }


def with_missing_words(lexicon: Lexicon, pronouncer: Pronouncer) -> Lexicon:
    """The words that can be recognised: those of the lexicon, and what it lacked.

    Words that are only known as ``<unk>`` are recognised as that.
    """
    whole = dict(lexicon)
    for word in sorted(pronouncer.missing):
        if pronouncer.fallback == "unk" and not is_special(word):
            word = UNKNOWN_WORD
        phonemes = pronouncer.without_lexicon(word)
        if phonemes is not None:
            whole.setdefault(word, [phonemes])
    return whole


def _write_unknown(pronouncer: Pronouncer, path: Path) -> None:
    """COUNT WORD PHONEMES of each word that the lexicon lacks."""
    with atomic_write(path) as file:
        for word, count in pronouncer.missing.most_common():
            phonemes = pronouncer.without_lexicon(word) or ("(no pronunciation)",)
            file.write(f"{count} {word} {' '.join(phonemes)}\n")


def _write_tokens(context: Context, lexicon: Lexicon) -> None:
    options, layout = context.options, context.layout
    units = units_of(lexicon, options.phoneme_word_end)
    wrong = sorted({options.blank, options.sos_eos}.intersection(units))
    if wrong:
        raise OptionError(
            f"a phoneme of the lexicon is called {wrong[0]!r} like a special token",
            where=f"--lexicon {options.lexicon}",
            next_step="--blank or --sos_eos with another name",
        )
    units = [unit for unit in units if unit != options.oov]
    with atomic_write(layout.token_list("phn")) as file:
        tokens = [options.blank, options.oov, *units, options.sos_eos]
        file.writelines(token + "\n" for token in tokens)


def cut_file(context: Context, source: Path, target: Path) -> str:
    """Write a text (utterance id first) as phonemes; returns what was written.

    A word without pronunciation is an error in the training and the validation text,
    and the unknown token elsewhere.

    Raises:
        FormatError: See above.
    """
    options, layout = context.options, context.layout
    pronouncer = Pronouncer(
        read_lexicon(layout.lexicon), options.lexicon_fallback, options.lexicon_case
    )
    lines, words, count = [], 0, 0
    for line in read_lines(source):
        utterance, *spoken = line.split()
        tokens = pronouncer.tokens(spoken, options.phoneme_word_end, options.oov)
        words, count = words + len(spoken), count + len(tokens)
        lines.append(f"{utterance} {' '.join(tokens)}\n")
    if source in [dumped_text(layout, n) for n in (layout.train_set, layout.valid_set)]:
        pronouncer.check(source)
    with atomic_write(target) as file:
        file.writelines(lines)
    missing = pronouncer.missing
    note = f", {len(missing)} words not in the lexicon" if missing else ""
    lost = pronouncer.unpronounced()
    note += f", {len(lost)} of them {options.oov}" if lost else ""
    return f"{words} words, {count} phonemes{note} ({target})"
