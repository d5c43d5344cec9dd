"""Stage 4: training utterances of a usable length with words, and the LM's text."""

from collections import Counter
from pathlib import Path
from typing import Dict, List, Set, Tuple

from espnet_ext.corpus.kaldi_dir import read_data_dir, write_data_dir
from espnet_ext.corpus.splits import SPLITS
from espnet_ext.corpus.training_sets import MARK
from espnet_ext.errors import FormatError
from espnet_ext.files import atomic_write, read_lines
from espnet_ext.recipe.context import Context
from espnet_ext.recipe.layout import COMBINED, Layout
from espnet_ext.recipe.log import hours
from espnet_ext.recipe.parse import sampling_rate
from espnet_ext.recipe.stages.format import (
    CUTS_FILE,
    IN_PLACE,
    SAMPLES_FILE,
    STAMP_FILE,
    dumped_dir,
    speech_source,
)
from espnet_ext.recipe.state import Due, Unit

# sets whose transcripts the prepared text begins with
TRAINING_SETS = {names[0] for names in SPLITS.values()}
PREPARED = Path("lm/text")  # in data/: transcripts of training and other text
FILES = ("text", "utt2spk", SAMPLES_FILE, STAMP_FILE)


def _sets(context: Context) -> List[str]:
    return list(dict.fromkeys([context.layout.train_set, context.layout.valid_set]))


def dumped_text(layout: Layout, name: str) -> Path:
    """The text of a filtered set."""
    return layout.dump / name / "text"


def lm_texts(context: Context) -> List[Path]:
    """The texts of the language model.

    ``--lm_train_text`` names them; else it is the transcripts of training, or what data
    preparation made of them and of other text (``data/lm/text``).
    """
    options, layout = context.options, context.layout
    if options.lm_train_text:
        return [Path(name) for name in options.lm_train_text.split()]
    own = layout.data / layout.unperturbed_train_set / "text"
    prepared = layout.data / PREPARED
    parts = COMBINED.get(layout.unperturbed_train_set, (layout.unperturbed_train_set,))
    if parts[0] not in TRAINING_SETS or not prepared.exists():
        return [own]
    return [prepared, *(layout.data / name / "text" for name in parts[1:])]


def units(context: Context) -> List[Unit]:
    """One unit a set, and one for the text of the language model."""
    layout = context.layout
    made = []

    def speech(folder: Path) -> Path:
        return speech_source(context, folder)[0]

    for name in _sets(context):
        source, target = dumped_dir(layout, name), layout.dump / name
        made.append(
            Unit(
                stage=4,
                target=str(target),
                settings=context.chosen("min_wav_duration", "max_wav_duration", "fs"),
                inputs=[source / file for file in FILES] + [speech(source)],
                outputs=[speech(target), target / "text"],
                root=layout.dump,
                made_by=3,
                kind=name,
            )
        )
    target = layout.lm_train_text
    texts = lm_texts(context)
    limit = context.chosen("lm_max_same_text")
    lm_unit = Unit(4, str(target), limit, texts, [target], layout.dump, 1, "lm_train")
    return [*made, lm_unit]


def run(context: Context, due: Due) -> Dict[str, object]:
    """Write the filtered sets that are due."""
    layout = context.layout
    facts: Dict[str, object] = {}
    for unit, _ in due:
        if unit.target == str(layout.lm_train_text):
            facts["text for the LM"] = _write_lm_text(context, unit)
            continue
        name = str(Path(unit.target).relative_to(layout.dump))
        facts[name] = filter_set(context, name)
    return facts


def filter_set(context: Context, name: str) -> str:
    """Filter one set from dump/raw/org; returns what was kept and dropped.

    Raises:
        FormatError: No utterance is left.
    """
    options, layout = context.options, context.layout
    source, target = dumped_dir(layout, name), layout.dump / name
    samples = read_samples(source)
    rate = sampling_rate(options)
    kept, dropped = [], {"too short": 0, "too long": 0, "without words": 0}
    for utterance in read_data_dir(source):
        length_s = samples[utterance.utterance_id] / rate
        if length_s < options.min_wav_duration:
            reason = "too short"
        elif length_s > options.max_wav_duration:
            reason = "too long"
        elif not utterance.text:
            reason = "without words"
        else:
            kept.append(utterance)
            continue
        dropped[reason] += 1
        context.log.detail(
            f"{name}: {utterance.utterance_id} dropped: {reason} ({length_s:.2f} s)"
        )
    if not kept:
        raise FormatError(
            "no utterance is left after filtering",
            where=source,
            expected=f"lengths of {options.min_wav_duration} to "
            f"{options.max_wav_duration} s and some words",
            next_step="change --min_wav_duration and --max_wav_duration",
        )
    total_s = sum(samples[u.utterance_id] for u in kept) / rate
    ids = [u.utterance_id for u in kept]
    extra = {
        SAMPLES_FILE: "".join(f"{i} {samples[i]}\n" for i in ids),
        STAMP_FILE: source / STAMP_FILE,
        "feats_type": "raw\n",
    }
    if options.audio_format == IN_PLACE:
        of_id = {line.split(" ", 1)[0]: line for line in read_lines(source / CUTS_FILE)}
        extra[CUTS_FILE] = "".join(f"{of_id[i]}\n" for i in ids)
    if (source / MARK).exists():
        extra[MARK] = source / MARK
    write_data_dir(target, kept, extra)
    why = ", ".join(f"{count} {reason}" for reason, count in dropped.items() if count)
    return f"{len(kept)} utterances, {hours(total_s)}" + (
        f"; dropped {why}" * bool(why)
    )


def read_samples(path: Path) -> Dict[str, int]:
    """utt2num_samples as a mapping."""
    pairs: List[Tuple[str, str]] = [
        (words[0], words[1])
        for words in map(str.split, read_lines(path / SAMPLES_FILE))
    ]
    return {utterance: int(count) for utterance, count in pairs}


def _write_lm_text(context: Context, unit: Unit) -> str:
    """All utterances with words, each id once: a repeated one stops ESPnet's training.

    An utterance that comes again with the same text is left out, one with another text
    gets an id that ends in ``-2`` and so on.
    """
    limit = context.options.lm_max_same_text
    seen: Set[int] = set()  # hashes of id and text, which are shorter
    taken: Set[str] = set()
    texts: Counter = Counter()
    kept = {"utterances": 0, "left out as repeated": 0, "renamed": 0, "too frequent": 0}
    with atomic_write(Path(unit.target)) as file:
        for path in unit.inputs:
            for line in read_lines(path):
                utterance, _, words = (part.strip() for part in line.partition(" "))
                if not words:
                    continue
                if hash((utterance, words)) in seen:
                    kept["left out as repeated"] += 1
                    continue
                seen.add(hash((utterance, words)))
                if limit:
                    texts[words] += 1
                    if texts[words] > limit:
                        kept["too frequent"] += 1
                        continue
                name, number = utterance, 1
                while name in taken:
                    number += 1
                    name = f"{utterance}-{number}"
                taken.add(name)
                kept["renamed"] += name != utterance
                file.write(f"{name} {words}\n")
                kept["utterances"] += 1
    shown = ", ".join(f"{count} {what}" for what, count in kept.items() if count)
    return f"{shown} ({unit.target})"
