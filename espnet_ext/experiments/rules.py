"""Rules that more than one value of a configuration has to keep."""

from typing import Any, Iterator

from espnet_ext.errors import OptionError
from espnet_ext.experiments.settings import Settings

RATES = ("dropout", "rate", "switchout")


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def broken(settings: Settings) -> Iterator[tuple]:
    """(path, what is wrong, what was expected) of every broken rule."""
    layers = settings.get("encoder_conf.num_layers")
    aux = settings.get("model_conf.aux_ctc.layers") or []
    if not isinstance(aux, list) or not all(isinstance(a, int) and a > 0 for a in aux):
        yield "model_conf.aux_ctc.layers", f"is {aux!r}", "layer numbers from 1"
    elif _number(layers) and any(layer > layers for layer in aux):
        yield (
            "model_conf.aux_ctc.layers",
            f"auxiliary CTC on layer {max(aux)}, but the encoder has {layers} layers",
            f"layers up to {layers}",
        )
    size, heads = (
        settings.get("encoder_conf.model_size"),
        settings.get("encoder_conf.num_heads"),
    )
    if _number(size) and _number(heads) and (heads < 1 or size % heads):
        yield (
            "encoder_conf.model_size",
            f"{size} is no multiple of {heads} heads",
            "a multiple",
        )
    for path, value in settings.values.items():
        name = path.rsplit(".", 1)[-1]
        if name.endswith(RATES) and _number(value) and not 0 <= value < 1:
            yield path, f"is {value}", "0 to below 1"
        if name in ("num_layers", "model_size", "num_heads", "hidden_size"):
            if _number(value) and value < 1:
                yield path, f"is {value}", "at least 1"
    start = settings.get("model_conf.transducer_start_epoch") or 1
    if _number(start) and start > 1:
        has_ctc = (settings.get("model_conf.ctc_weight") or 0) > 0
        if not aux and not has_ctc:
            yield (
                "model_conf.transducer_start_epoch",
                f"nothing is trained before sub-epoch {start}",
                "auxiliary CTC, or 1",
            )
    yield from _broken_growth(settings.get("encoder_conf.growth"), layers)
    for path in ("batch_bins", "accum_grad"):
        value = settings.get(path)
        if value is not None and (not isinstance(value, int) or value < 1):
            yield path, f"is {value!r}", "at least 1"


def _broken_growth(growth: Any, layers: Any) -> Iterator[tuple]:
    """Rules of the stages of growth."""
    if not isinstance(growth, dict):
        return
    path = "encoder_conf.growth"
    stages, epochs = growth.get("layers"), growth.get("epochs")
    if not isinstance(stages, list) or not isinstance(epochs, list):
        yield path, f"has layers {stages!r} and epochs {epochs!r}", "two lists"
        return
    if not all(isinstance(n, int) and n > 0 for n in [*stages, *epochs]):
        yield path, f"has layers {stages} and epochs {epochs}", "numbers from 1"
        return
    if len(stages) != len(epochs):
        found = f"{len(stages)} stages, {len(epochs)} lengths"
        yield path, found, "a length for each stage"
    rising = [*stages, layers] if isinstance(layers, int) else stages
    if rising != sorted(set(rising)):
        yield path, f"the stages have {rising} layers", "more layers in each stage"


def check(settings: Settings, name: str) -> None:
    """Refuse a configuration that breaks a rule.

    Raises:
        OptionError: Says which value, where it comes from, and what would be right.
    """
    for path, found, expected in broken(settings):
        origin = settings.origins.get(path, "")
        raise OptionError(
            f"{path} {found}",
            where=f"{name} ({origin})" if origin else name,
            expected=expected,
        )
