"""Stage 5: the token list, and the BPE model where units are word pieces."""

import re
from pathlib import Path
from typing import Dict, List

from espnet_ext.errors import FormatError, OptionError
from espnet_ext.files import atomic_write, read_lines
from espnet_ext.recipe import subword_nmt
from espnet_ext.recipe.context import Context
from espnet_ext.recipe.jobs import Job, run_jobs
from espnet_ext.recipe.stages.filter import dumped_text
from espnet_ext.recipe.state import Due, Unit

SETTINGS = {
    "bpe": (
        *("nbpe", "bpemode", "bpe_input_sentence_size", "bpe_nlsyms", "bpe_char_cover"),
        *("oov", "blank", "sos_eos"),
    ),
    "char": ("nlsyms_txt", "cleaner", "oov", "blank", "sos_eos"),
    "word": ("nlsyms_txt", "cleaner", "oov", "blank", "sos_eos"),
}


def units(context: Context) -> List[Unit]:
    """The token list of the recognizer, of the LM if it differs, and cut texts."""
    options, layout = context.options, context.layout
    types = [options.token_type]
    any_lm = options.use_lm or options.use_ngram
    if any_lm and options.use_word_lm:
        types.append("word")
    made = [_list_unit(context, kind) for kind in dict.fromkeys(types)]
    if layout.subword_nmt:
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
    return Unit(
        stage=5,
        target=str(layout.token_dir(token_type)),
        settings=settings,
        inputs=training_texts(context, token_type),
        outputs=outputs,
        root=layout.data,
        made_by=4,
        kind=token_type,
    )


def _cut_unit(context: Context, name: str, text: Path) -> Unit:
    layout = context.layout
    target = subword_nmt.cut_text(layout, name)
    # the merges follow from these, so a new list means cutting again
    settings = context.chosen("nbpe", "bpemode", "bpe_nlsyms")
    inputs = [text, *training_texts(context, "bpe")]
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
    if token_type == "bpe":
        return [dumped_text(context.layout, context.layout.train_set)]
    return [context.layout.lm_train_text]


def run(context: Context, due: Due) -> Dict[str, object]:
    """Make the lists that are due."""
    layout = context.layout
    facts: Dict[str, object] = {}
    for unit, _ in due:
        target = Path(unit.target)
        if target.parent.name == "text":
            facts[f"cut {target.name}"] = subword_nmt.cut_file(
                unit.inputs[0], target, layout.bpe_model
            )
            continue
        token_type = str(unit.settings["token_type"])
        if token_type != "bpe":
            count_tokens(context, unit, token_type)
        else:
            train_bpe(context, unit)
        tokens = read_lines(layout.token_list(token_type))
        facts[f"{token_type} tokens"] = (
            f"{len(tokens)}: {' '.join(tokens[:6])} ... {tokens[-1]} "
            f"({layout.token_list(token_type)})"
        )
    return facts


def train_bpe(context: Context, unit: Unit) -> None:
    """Learn word pieces and write bpe.train.txt, the model and tokens.txt.

    Raises:
        FormatError: There is no text.
        OptionError: The size does not fit the text.
    """
    options, layout = context.options, context.layout
    folder = layout.token_dir("bpe")
    folder.mkdir(parents=True, exist_ok=True)
    text = folder / "train.txt"
    sentences = [
        words
        for path in unit.inputs
        for line in read_lines(path)
        if (words := line.partition(" ")[2].strip())
    ]
    if not sentences:
        raise FormatError("there is no text to learn units from", where=unit.inputs[0])
    with atomic_write(text) as file:
        file.writelines(sentence + "\n" for sentence in sentences)
    if layout.subword_nmt:
        pieces = subword_nmt.learn(
            sentences[: options.bpe_input_sentence_size], options.nbpe, layout.bpe_model
        )
    else:
        pieces = _train_sentencepiece(context, text, folder)
    specials = {options.blank, options.oov, options.sos_eos}
    tokens = [options.blank, options.oov]
    tokens += [piece for piece in pieces if piece not in specials]
    with atomic_write(layout.token_list("bpe")) as file:
        file.writelines(token + "\n" for token in [*tokens, options.sos_eos])


def _train_sentencepiece(context: Context, text: Path, folder: Path) -> List[str]:
    import sentencepiece

    options = context.options
    symbols = options.bpe_nlsyms
    if symbols and Path(symbols).is_file():
        symbols = ",".join(read_lines(symbols))
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
            user_defined_symbols=symbols,
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
