"""Each switch of the augmentation acts on a batch, and its neutral value does not.

Cases come from the catalogue, as in test_switch_effects.py, which has those of the
models.
"""

import numpy
import pytest
import torch

from espnet_ext.experiments.catalogue import load_catalogue
from espnet_ext.experiments.files import REPOSITORY, find_conf
from espnet_ext.experiments.grammar import format_name
from espnet_ext.experiments.resolve import resolve
from espnet_ext.experiments.status import example, missing_of
from espnet_ext.experiments.switches import switches_of
from espnet_ext.streams import Streams, attach
from tests.experiments.names import original_names

CONF = find_conf(REPOSITORY / "conf")
BATCHES = 5000  # seen before: all schedules are past their first steps
TOKENS = "<blank> <unk> the house th@@ e t@@ h@@ hou@@ se o@@ use <sos/eos>".split()


def cases(section):
    """Switches that set an option of a section."""
    return [
        switch
        for switch in load_catalogue().switches.values()
        if any(path.startswith(f"{section}.") for path in switch.config_paths)
    ]


SPECAUG = cases("specaug_conf")


def configurations(switch):
    """Resolved with a switch and without it."""
    on = resolve(example(switch), conf=CONF)
    others = {i: v for i, v in on.switches.values if i != switch.id}
    return on.config, resolve(format_name(switches_of(others)), conf=CONF).config


def features():
    """Three sequences, short enough for every resize factor."""
    generator = torch.Generator().manual_seed(4)
    return torch.randn(3, 240, 40, generator=generator), torch.tensor([240, 200, 90])


def augmented(config):
    """Features and lengths after the augmentation of a configuration."""
    from espnet2.tasks.asr import specaug_choices

    import espnet_ext.tasks.asr  # noqa: F401  (registers ours)

    if config.get("specaug") is None:
        return features()
    options = config.get("specaug_conf") or {}
    layer = specaug_choices.get_class(config["specaug"])(**options)
    if hasattr(layer, "seen_batches"):
        layer.seen_batches += BATCHES
    attach(layer, Streams(1))
    return layer(*features())


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second))


def test_all_augmentation_is_implemented():
    tokens = [switch.token for switch in SPECAUG + cases("preprocessor_conf")]
    expected = (
        "specaug specaugwei specaugweia oldspecaug4a oldtwarp oldtwarp3 oldtwarp4"
    )
    more = ("rndresize{}", "rndframedrop{}", "bpesample{}")
    assert set(tokens) >= {*expected.split(), *more}
    for switch in SPECAUG + cases("preprocessor_conf"):
        assert missing_of(switch, CONF) == [], switch.id


@pytest.mark.parametrize("switch", SPECAUG, ids=lambda switch: switch.id)
def test_a_switch_changes_the_features(switch):
    on, off = configurations(switch)
    without = augmented(off)
    assert same(without, augmented(off))
    if not off.get("specaug"):
        assert same(without, features())
    changed = augmented(on)
    assert changed[0].isfinite().all()
    assert changed[0].shape != without[0].shape or not same(changed, without)


def test_the_kinds_of_specaug_are_different_ones():
    by_token = {switch.token: configurations(switch)[0] for switch in SPECAUG}
    kinds = [
        augmented(by_token[token])[0]
        for token in ("specaug", "specaugwei", "specaugweia", "oldspecaug4a")
    ]
    kinds += [
        augmented(by_token[token])[0]
        for token in ("oldtwarp", "oldtwarp3", "oldtwarp4")
    ]
    for first in range(len(kinds)):
        for second in range(first):
            assert not torch.equal(kinds[first], kinds[second])


@pytest.mark.parametrize("switch", SPECAUG, ids=lambda switch: switch.id)
def test_a_neutral_value_equals_an_absent_option_to_the_last_bit(switch):
    on, off = configurations(switch)
    if on["specaug"] != "masks_by_step":  # its absence is the neutral value
        assert same(augmented(off), augmented({**on, "specaug": None}))
        return
    absent = dict(off.get("specaug_conf") or {})
    changed = [o for o in on["specaug_conf"] if on["specaug_conf"][o] != absent.get(o)]
    neutral = {**absent, **dict.fromkeys(changed)}  # none is the neutral value ...
    if isinstance(switch.neutral, (int, float)):  # ... or this rate
        neutral["frame_drop"] = {**on["specaug_conf"]["frame_drop"], "rate": 0.0}
    assert same(
        augmented({"specaug": "masks_by_step", "specaug_conf": neutral}),
        augmented({"specaug": "masks_by_step", "specaug_conf": absent}),
    )


def drawn(options):
    """Label ids of a text with ``preprocessor_conf``."""
    from espnet_ext.train.sampling_preprocessor import SamplingPreprocessor

    made = SamplingPreprocessor(
        train=True, token_type="word", token_list=TOKENS, **options
    )
    made.set_epoch(1, 1)
    text = " ".join(["the house"] * 10)
    data = {"text": text, "speech": numpy.zeros(2, dtype=numpy.float32)}
    return made("u", data)["text"].tolist()


@pytest.mark.parametrize(
    "switch", cases("preprocessor_conf"), ids=lambda switch: switch.id
)
def test_a_switch_changes_the_text_and_its_neutral_value_does_not(switch):
    on, off = configurations(switch)
    assert on["preprocessor"] == "bpe_sampling" and "preprocessor" not in off
    assert drawn(on["preprocessor_conf"]) != drawn({})
    neutral = {**on["preprocessor_conf"], "breadth_probability": switch.neutral}
    assert drawn(neutral) == drawn({})


@pytest.mark.slow
def test_the_augmentation_of_every_experiment_runs():
    configurations = {}
    for name in original_names():
        config = resolve(name, conf=CONF).config
        if config.get("specaug"):
            assert config["specaug"] == "masks_by_step"
            configurations[repr(config["specaug_conf"])] = config
    assert len(configurations) > 8
    for config in configurations.values():
        changed, lengths = augmented(config)
        assert changed.isfinite().all() and int(lengths.max()) <= changed.size(1)
