"""Stage 5: the token list, and the BPE model where units are word pieces."""

import re
from pathlib import Path
from typing import Dict, List

from espnet_ext.errors import FormatError, OptionError
from espnet_ext.files import atomic_write, read_lines
from espnet_ext.recipe import phonemes, subword_nmt
from espnet_ext.recipe.context import Context
from espnet_ext.recipe.jobs import Job, run_jobs
from espnet_ext.recipe.stages.filter import dumped_text
from espnet_ext.recipe.state import Due, Unit

SETTINGS = {
    "bpe": (
        *("nbpe", "bpemode", "bpe_input_sentence_size", "bpe_nlsyms", "bpe_char_cover"),
        *("bpe_codes", "bpe_vocab"),
        *("oov", "blank", "sos_eos"),
    ),
    "char": ("nlsyms_txt", "cleaner", "oov", "blank", "sos_eos"),
    "word": ("nlsyms_txt", "cleaner", "oov", "blank", "sos_eos"),
    "phn": (*phonemes.SETTINGS, "oov", "blank", "sos_eos"),
}
CUT_SETTINGS = {
    "bpe": ("nbpe", "bpemode", "bpe_nlsyms", "bpe_codes", "bpe_vocab"),
    "phn": (*phonemes.SETTINGS, "oov"),
}


def units(context: Context) -> List[Unit]:
    """The token list of the recognizer, of the LM if it differs, and cut texts."""
    options, layout = context.options, context.layout
    types = [options.token_type]
    any_lm = options.use_lm or options.use_ngram
    if any_lm and options.use_word_lm:
        types.append("word")
    made = [_list_unit(context, kind) for kind in dict.fromkeys(types)]
    if layout.cuts_text:
        texts = {
            layout.train_set: dumped_text(layout, layout.train_set),
            layout.valid_set: dumped_text(layout, layout.valid_set),
        }
        if any_lm and not options.use_word_lm:
            texts["lm_train"] = layout.lm_train_text
        made += [_cut_unit(context, name, text) for name, text in texts.items()]
    return made


def _list_unit(context: Context, token_type: str) -> Unit:
    layout = context.layout
    settings = context.chosen("token_type", *SETTINGS[token_type])
    settings["token_type"] = token_type
    outputs = [layout.token_list(token_type)]
    outputs += [layout.bpe_model] if token_type == "bpe" else []
    if token_type == "bpe" and layout.subword_nmt:
        outputs.append(subword_nmt.vocabulary_file(layout.bpe_model))
    if token_type == "phn":
        outputs += [layout.lexicon, layout.lexicon.with_name(phonemes.UNKNOWN_WORDS)]
    return Unit(
        stage=5,
        target=str(layout.token_dir(token_type)),
        settings=settings,
        inputs=training_texts(context, token_type) + given_files(context),
        outputs=outputs,
        root=layout.data,
        made_by=4,
        kind=token_type,
    )


def _cut_unit(context: Context, name: str, text: Path) -> Unit:
    layout, token_type = context.layout, context.options.token_type
    target = layout.cut_text(name)
    # merges and lexicon follow from these, so a new list means cutting again
    settings = context.chosen(*CUT_SETTINGS[token_type])
    inputs = [text, *training_texts(context, token_type), *given_files(context)]
    return Unit(
        stage=5,
        target=str(target),
        settings=settings,
        inputs=inputs,
        outputs=[target],
        root=layout.data,
        made_by=4,
        kind=f"cut {name}",
    )


def training_texts(context: Context, token_type: str) -> List[Path]:
    """What units are counted in: --bpe_train_text, or all text for other units."""
    if token_type == "bpe" and context.options.bpe_train_text:
        return [Path(name) for name in context.options.bpe_train_text.split()]
    if token_type in ("bpe", "phn"):
        return [dumped_text(context.layout, context.layout.train_set)]
    return [context.layout.lm_train_text]


def given_files(context: Context) -> List[Path]:
    """What is not made here: merges and vocabulary (``--bpe_codes``), lexicon."""
    if context.options.token_type == "phn":
        return [phonemes.given_lexicon(context.options)]
    named = (context.options.bpe_codes, context.options.bpe_vocab)
    return [Path(name) for name in named if name] if context.layout.subword_nmt else []


def kept_whole(context: Context) -> List[str]:
    """The symbols of ``--bpe_nlsyms``, which are never cut."""
    symbols = context.options.bpe_nlsyms
    if symbols and Path(symbols).is_file():
        return [line.strip() for line in read_lines(symbols) if line.strip()]
    return [symbol for symbol in symbols.split(",") if symbol]


def cut_text_file(context: Context, source: Path, target: Path) -> str:
    """Cut a text as stage 5 said; returns what was written.

    Raises:
        FormatError: The training text has a piece that is not in the list, or a word
            without pronunciation.
    """
    if context.options.token_type == "phn":
        return phonemes.cut_file(context, source, target)
    codes = context.layout.bpe_model
    return subword_nmt.cut_file(
        source,
        target,
        subword_nmt.load_cutter(codes, kept_whole(context)),
        subword_nmt.read_vocabulary(subword_nmt.vocabulary_file(codes)),
        must_be_known=source == dumped_text(context.layout, context.layout.train_set),
    )


def run(context: Context, due: Due) -> Dict[str, object]:
    """Make the lists that are due."""
    layout = context.layout
    facts: Dict[str, object] = {}
    for unit, _ in due:
        target = Path(unit.target)
        if target.parent.name == "text":
            facts[f"cut {target.name}"] = cut_text_file(context, unit.inputs[0], target)
            continue
        token_type = str(unit.settings["token_type"])
        if token_type == "phn":
            facts.update(phonemes.make(context, unit.inputs[0]))
        elif token_type != "bpe":
            count_tokens(context, unit, token_type)
        else:
            train_bpe(context)
            if not layout.subword_nmt:
                facts["unknown pieces"] = unknown_pieces(context)
        tokens = read_lines(layout.token_list(token_type))
        facts[f"{token_type} tokens"] = (
            f"{len(tokens)}: {' '.join(tokens[:6])} ... {tokens[-1]} "
            f"({layout.token_list(token_type)})"
        )
    return facts


def train_bpe(context: Context) -> None:
    """Learn word pieces and write bpe.train.txt, the model and tokens.txt.

    Raises:
        FormatError: There is no text.
        OptionError: The size does not fit the text.
    """
    options, layout = context.options, context.layout
    folder = layout.token_dir("bpe")
    folder.mkdir(parents=True, exist_ok=True)
    text, sources = folder / "train.txt", training_texts(context, "bpe")
    sentences = [
        words
        for path in sources
        for line in read_lines(path)
        if (words := line.partition(" ")[2].strip())
    ]
    if not sentences:
        raise FormatError("there is no text to learn units from", where=sources[0])
    with atomic_write(text) as file:
        file.writelines(sentence + "\n" for sentence in sentences)
    if layout.subword_nmt:
        pieces = _learn_merges(context, sentences[: options.bpe_input_sentence_size])
    else:
        pieces = _train_sentencepiece(context, text, folder)
    specials = {options.blank, options.oov, options.sos_eos}
    tokens = [options.blank, options.oov]
    tokens += [piece for piece in pieces if piece not in specials]
    with atomic_write(layout.token_list("bpe")) as file:
        file.writelines(token + "\n" for token in [*tokens, options.sos_eos])


def _learn_merges(context: Context, sentences: List[str]) -> List[str]:
    """Merges of subword-nmt, learned or taken over, and their pieces."""
    options, codes = context.options, context.layout.bpe_model
    if not options.bpe_codes:
        if options.bpe_vocab:
            raise OptionError("--bpe_vocab without --bpe_codes", where="--bpe_vocab")
        return subword_nmt.learn(sentences, options.nbpe, codes, kept_whole(context))
    merges = subword_nmt.count_merges(Path(options.bpe_codes))
    if merges != options.nbpe:  # names of token lists and experiments say the number
        raise OptionError(
            f"{merges} merges, but --nbpe is {options.nbpe}",
            where=f"--bpe_codes {options.bpe_codes}",
            next_step=f"--nbpe {merges}",
        )
    vocabulary = Path(options.bpe_vocab) if options.bpe_vocab else None
    return subword_nmt.take_over(Path(options.bpe_codes), vocabulary, codes, sentences)


def unknown_pieces(context: Context) -> str:
    """How many pieces of the training and the validation text are not in the model."""
    import sentencepiece

    layout = context.layout
    model = sentencepiece.SentencePieceProcessor(model_file=str(layout.bpe_model))
    counts = []
    for name in (layout.train_set, layout.valid_set):
        texts = [t.partition(" ")[2] for t in read_lines(dumped_text(layout, name))]
        ids = [piece for text in model.encode(texts) for piece in text]
        counts.append(f"{ids.count(model.unk_id())} of {len(ids)} in {name}")
    return ", ".join(counts)


def _train_sentencepiece(context: Context, text: Path, folder: Path) -> List[str]:
    import sentencepiece

    options = context.options
    prefix = folder / "bpe.part"
    try:
        sentencepiece.SentencePieceTrainer.train(
            input=str(text),
            model_prefix=str(prefix),
            vocab_size=options.nbpe,
            model_type=options.bpemode,
            character_coverage=options.bpe_char_cover,
            input_sentence_size=options.bpe_input_sentence_size,
            unk_piece=options.oov,
            user_defined_symbols=",".join(kept_whole(context)),
            minloglevel=2,
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise _bad_size(options.nbpe, str(error), text) from None
    for suffix in ("model", "vocab"):
        (folder / f"bpe.part.{suffix}").replace(folder / f"bpe.{suffix}")
    model = sentencepiece.SentencePieceProcessor()
    model.load(str(context.layout.bpe_model))
    return [
        model.id_to_piece(index)
        for index in range(model.get_piece_size())
        if not model.is_control(index) and not model.is_unknown(index)
    ]


def _bad_size(nbpe: int, reason: str, text: Path) -> OptionError:
    """sentencepiece says which sizes are possible; pass that on."""
    largest = re.search(r"value <= (\d+)", reason)
    smallest = re.search(
        r"required_chars.*?(\d+) <= (\d+)|smaller than .*?(\d+)", reason
    )
    if largest:
        return OptionError(
            f"{nbpe} word pieces are too many for this text",
            where=text,
            expected=f"at most {largest.group(1)}",
            next_step=f"--nbpe {largest.group(1)}",
        )
    hint = "a larger --nbpe" if smallest or "vocab" in reason.lower() else None
    return OptionError(
        f"sentencepiece could not make {nbpe} word pieces: {reason.strip()[-300:]}",
        where=text,
        next_step=hint,
    )


def count_tokens(context: Context, unit: Unit, token_type: str) -> None:
    """Characters or words by frequency, through ESPnet's own tokenize_text."""
    options, layout = context.options, context.layout
    target = layout.token_list(token_type)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    command = context.module(
        "espnet2.bin.tokenize_text",
        *("--token_type", token_type, "--input", unit.inputs[0], "--output", part),
        *("--non_linguistic_symbols", options.nlsyms_txt, "--field", "2-"),
        *("--cleaner", options.cleaner, "--g2p", "none"),
        *("--write_vocabulary", "true"),
        *("--add_symbol", f"{options.blank}:0", "--add_symbol", f"{options.oov}:1"),
        *("--add_symbol", f"{options.sos_eos}:-1"),
    )
    log = target.with_suffix(".log")
    run_jobs([Job(f"{token_type} list", command, log)], parallel=1, label="token list")
    part.replace(target)
