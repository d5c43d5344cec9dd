"""``espnet-ext exp augment``: a picture of what an experiment does to the features."""

from pathlib import Path
from typing import Any, Mapping

from espnet_ext.errors import AudioError, OptionError
from espnet_ext.experiments import parts
from espnet_ext.files import atomic_path

DRAWS = 3


def features_of(config: Mapping[str, Any], wav: Path):
    """Normalised features [1, T, F] of a recording, as the experiment's network sees.

    Raises:
        AudioError: The file cannot be read or is too short for one frame.
    """
    import soundfile
    import torch
    from espnet2.tasks.asr import frontend_choices

    from espnet_ext.corpus.cuts import resample
    from espnet_ext.register import register
    from espnet_ext.train.sub_epoch_task import sample_rate_of

    register()
    options = dict(config.get("frontend_conf") or {})
    frontend = frontend_choices.get_class(config["frontend"])(**options)
    try:
        samples, rate = soundfile.read(wav, dtype="float32", always_2d=True)
    except (RuntimeError, OSError) as error:
        raise AudioError(str(error), where=wav) from None
    wanted = sample_rate_of(options.get("fs", 16000))
    speech = torch.from_numpy(resample(samples[:, 0], rate, wanted)).unsqueeze(0)
    features_BTF, lengths_B = frontend(speech, torch.tensor([speech.size(1)]))
    if int(lengths_B[0]) < 2:
        raise AudioError("too short for two frames", where=wav)
    mean = features_BTF.mean(1, keepdim=True)
    return (features_BTF - mean) / features_BTF.std(1, keepdim=True).clamp(min=1e-5)


def augmented(config: Mapping[str, Any], features_BTF, batch: int, seed: int):
    """Features and lengths of DRAWS sequences after the experiment's augmentation.

    Raises:
        OptionError: The experiment has no augmentation of ours.
    """
    import torch
    from espnet2.tasks.asr import specaug_choices

    from espnet_ext.streams import Streams, attach

    name = config.get("specaug")
    if ("specaug", name) not in parts.registered():
        raise OptionError(
            f"specaug is {name}",
            expected="an experiment with specaug, rndresize.., rndframedrop..",
        )
    layer = specaug_choices.get_class(name)(**(config.get("specaug_conf") or {}))
    layer.seen_batches += batch
    attach(layer, Streams(seed))
    frames = features_BTF.size(1)
    return layer(features_BTF.expand(DRAWS, -1, -1), torch.full((DRAWS,), frames))


def draw(exp: Any, wav: Path, output: Path, batch: int, seed: int) -> str:
    """Write the picture; returns what it shows.

    Args:
        exp: Resolved experiment.
        wav: A recording.
        output: The picture; its ending says the format.
        batch: Training batches before this one.
        seed: Of the random numbers.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    features_BTF = features_of(exp.config, wav)
    changed_BTF, lengths_B = augmented(exp.config, features_BTF, batch, seed)
    rows = [("as it is", features_BTF[0])]
    rows += [
        (f"draw {n + 1}", changed_BTF[n, : int(lengths_B[n])]) for n in range(DRAWS)
    ]
    figure = Figure(figsize=(9, 1.7 * len(rows)), layout="constrained")
    width = max(len(row) for _, row in rows)
    for axis, (title, row_TF) in zip(figure.subplots(len(rows), 1), rows):
        axis.imshow(row_TF.T, origin="lower", aspect="auto", vmin=-2.5, vmax=2.5)
        axis.set_title(f"{title}, {len(row_TF)} frames", fontsize=8, loc="left")
        axis.set_xlim(-0.5, width - 0.5)
        axis.set_ylabel("feature", fontsize=8)
    figure.suptitle(f"{exp.name}: batch {batch}", fontsize=8)
    with atomic_path(output) as path:
        figure.savefig(path, dpi=130)
    frames = ", ".join(str(int(length)) for length in lengths_B)
    return f"{output}: {features_BTF.size(1)} frames, afterwards {frames}"
