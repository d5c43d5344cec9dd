"""Stage 2: the training set at several speeds, as entries for stage 3 to resample.

Nothing is resampled here: ``data/<train>_sp`` lists each recording again under the
prefix ``sp<factor>-`` with times divided by the factor, and its file ``reco2speed``
(recording, factor) tells stage 3 to play it that much faster. So a segment is read and
resampled once, and no second copy of whole calls is stored.
"""

import dataclasses
from typing import Dict, List

from espnet_ext.corpus.kaldi_dir import (
    Utterance,
    read_data_dir,
    with_prefix,
    write_data_dir,
)
from espnet_ext.errors import OptionError
from espnet_ext.recipe.context import Context
from espnet_ext.recipe.state import Due, Unit

SPEED_FILE = "reco2speed"
FASTEST = 4.0


def factors(option: str) -> List[float]:
    """The speeds of ``--speed_perturb_factors``, in order, each once.

    Raises:
        OptionError: One is no number between 1/4 and 4.
    """
    found = []
    for word in option.replace(",", " ").split():
        try:
            factor = float(word)
        except ValueError:
            factor = 0.0
        if not 1 / FASTEST <= factor <= FASTEST:
            raise OptionError(
                f"{word!r} is not a speed",
                where="--speed_perturb_factors",
                expected="numbers between 0.25 and 4, such as '0.9 1.0 1.1'",
            )
        found.append(factor)
    return list(dict.fromkeys(found))


def units(context: Context) -> List[Unit]:
    """One unit: the perturbed training set."""
    layout = context.layout
    source = layout.data / layout.unperturbed_train_set
    target = layout.data / layout.train_set
    names = ["wav.scp", "text", "utt2spk", "reco2file_and_channel", "segments"]
    inputs = [source / "wav.scp", source / "text", source / "utt2spk"]
    inputs += [source / name for name in names[3:] if (source / name).exists()]
    return [
        Unit(
            stage=2,
            target=str(target),
            settings={"factors": factors(context.options.speed_perturb_factors)},
            inputs=inputs,
            outputs=[target / "wav.scp", target / "text", target / SPEED_FILE],
            root=layout.data,
            made_by=1,
        )
    ]


def run(context: Context, due: Due) -> Dict[str, object]:
    """Write ``data/<train>_sp``."""
    layout = context.layout
    speeds = factors(context.options.speed_perturb_factors)
    source = read_data_dir(layout.data / layout.unperturbed_train_set)
    perturbed: List[Utterance] = []
    speed_of: Dict[str, float] = {}
    for factor in speeds:
        for utterance in source:
            faster = at_speed(utterance, factor)
            perturbed.append(faster)
            speed_of[faster.recording_id] = factor
    lines = [f"{reco} {speed:g}\n" for reco, speed in sorted(speed_of.items())]
    target = layout.data / layout.train_set
    write_data_dir(target, perturbed, {SPEED_FILE: "".join(lines)})
    return {
        "factors": " ".join(f"{factor:g}" for factor in speeds),
        "utterances": f"{len(source)} -> {len(perturbed)} ({target})",
    }


def at_speed(utterance: Utterance, factor: float) -> Utterance:
    """The utterance played ``factor`` times as fast: times divided, ids prefixed."""
    if factor == 1.0:
        return utterance
    end_s = None if utterance.end_s is None else utterance.end_s / factor
    return dataclasses.replace(
        with_prefix(utterance, f"sp{factor:g}-"),
        start_s=utterance.start_s / factor,
        end_s=end_s,
    )
