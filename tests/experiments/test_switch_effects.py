"""Each switch of a model acts: cases come from the catalogue.

Those of the augmentation are in test_augmentation_effects.py, those of the training in
test_training_effects.py. A row of the catalogue without an implementation fails.
"""

import copy

import pytest

from espnet_ext.experiments import build
from espnet_ext.experiments.catalogue import load_catalogue
from espnet_ext.experiments.files import REPOSITORY, find_conf
from espnet_ext.experiments.grammar import format_name
from espnet_ext.experiments.resolve import resolve
from espnet_ext.experiments.status import example, missing_of
from espnet_ext.experiments.switches import switches_of

CONF = find_conf(REPOSITORY / "conf")
MODEL_SECTIONS = ("encoder_conf.", "decoder_conf.", "model_conf.")
# Switches that act on a part of training that one batch of a grown model does not show
ELSEWHERE = {
    "transducer_start": "from which sub-epoch on; tests/asr/test_transducer_model.py",
    "native_loss": "where a loss is not finite; tests/asr/test_nonfinite_loss.py",
    "num_layers": "always 12 here; the growth of both is in test_all_rows.py",
    "slow_pretraining": "when layers are added",
}


def missing(switch):
    """What a switch or the model around it lacks."""
    config = resolve(example(switch), conf=CONF).config
    return missing_of(switch, CONF) or build.missing_classes(config)


def cases():
    """Switches that set an option of a model."""
    found = []
    for switch in load_catalogue().switches.values():
        acts_on_model = any(p.startswith(MODEL_SECTIONS) for p in switch.config_paths)
        if acts_on_model and switch.id not in ELSEWHERE:
            found.append(switch)
    return found


def with_and_without(switch):
    """Small model parts with a switch and without it."""
    from tests.experiments.tiny_models import model_parts

    on = resolve(example(switch), conf=CONF)
    others = {i: v for i, v in on.switches.values if i != switch.id}
    off = resolve(format_name(switches_of(others)), conf=CONF)
    return model_parts(on.config), model_parts(off.config)


def test_every_switch_of_the_catalogue_is_implemented():
    lacking = {s.id: missing(s) for s in load_catalogue().switches.values()}
    assert {name: parts for name, parts in lacking.items() if parts} == {}


@pytest.mark.slow
@pytest.mark.parametrize("switch", cases(), ids=lambda switch: switch.id)
def test_a_switch_changes_the_loss_or_a_gradient(switch):
    from tests.experiments.tiny_models import make_model, one_batch, same

    on, off = with_and_without(switch)
    without = one_batch(make_model(off))
    assert same(without, one_batch(make_model(off))), "the comparison is not exact"
    changed = one_batch(make_model(on))
    assert not same(changed, without)
    assert all(value.isfinite().all() for value in changed.values())


def neutral_cases():
    """Switches with one option whose neutral value is a number and no size."""
    from tests.experiments.tiny_models import SHRUNK

    return [
        switch
        for switch in cases()
        if isinstance(switch.neutral, (int, float))
        and len(switch.sets) == 1
        and not {path.split(".")[-1] for path in switch.sets} & set(SHRUNK)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("switch", neutral_cases(), ids=lambda switch: switch.id)
def test_a_neutral_value_equals_an_absent_option_to_the_last_bit(switch):
    from tests.experiments.tiny_models import make_model, one_batch, same

    ((path, template),) = switch.sets.items()
    section, *between, option = path.split(".")
    value = switch.neutral
    if isinstance(template, dict):  # label_smoothing: {scale: $value, ...}
        value = {k: value if v == "$value" else v for k, v in template.items()}
    _, off = with_and_without(switch)
    neutral, absent = copy.deepcopy(off), copy.deepcopy(off)
    inner, without = neutral[section], absent[section]
    for name in between:
        inner, without = inner[name], without[name]
    inner[option] = value
    without.pop(option, None)
    assert same(one_batch(make_model(neutral)), one_batch(make_model(absent)))
