"""Each switch of family, schedule and training acts: cases come from the catalogue.

What a switch can change outside of the model: the learning rate of some sub-epoch, the
batches, the growth, the update of a weight, how processes train together, the number of
sub-epochs, the seed.
"""

import dataclasses
import math

import pytest
import torch

from espnet_ext.experiments.catalogue import load_catalogue
from espnet_ext.experiments.files import REPOSITORY, find_conf
from espnet_ext.experiments.grammar import format_name
from espnet_ext.experiments.resolve import resolve
from espnet_ext.experiments.schedule import growth_of_encoder
from espnet_ext.experiments.status import example
from espnet_ext.experiments.switches import switches_of
from espnet_ext.register import register

CONF = find_conf(REPOSITORY / "conf")
ELSEWHERE = ("encoder_conf.", "decoder_conf.", "model_conf.")
AUGMENTATION = ("specaug_conf.", "preprocessor_conf.")
# what is written down and changes nothing, with the reason
RECORDS = {
    "returnn_behavior_version": "from 15 on accumulation is exact, here it always is",
}
VALUE_OF_CONFORMER = (
    "gradient_accumulation",
    "learning_rate_decay",
    "sub_epochs_per_learning_rate",
)
EPOCHS = 250  # of the simulated control of the learning rate, after the preset rates


@pytest.fixture(autouse=True, scope="module")
def registered():
    """Our optimizers and schedules are in ESPnet's tables."""
    register()


def cases():
    """Switches that set no option of a model and none of the augmentation."""
    return [
        switch
        for switch in load_catalogue().switches.values()
        if not any(p.startswith(ELSEWHERE + AUGMENTATION) for p in switch.config_paths)
    ]


def families():
    return [switch for switch in cases() if switch.group == "family"]


def others():
    return [s for s in cases() if s.group != "family" and s.id not in RECORDS]


def configurations(switch):
    """Resolved with a switch and without it.

    Where the shortest name with the switch has that value anyway, of a later regime.
    """
    on = resolve(example(switch), conf=CONF)
    if switch.id in VALUE_OF_CONFORMER:
        on = resolve(f"{example(switch)}_pre10", conf=CONF)
    rest = {i: v for i, v in on.switches.values if i != switch.id}
    return on.config, resolve(format_name(switches_of(rest)), conf=CONF).config


def rates(config):
    """Learning rate of every sub-epoch, with scores that improve, rest and worsen."""
    from espnet2.tasks.abs_task import scheduler_classes

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = scheduler_classes[config["scheduler"]](
        optimizer, **config["scheduler_conf"]
    )
    found = []
    for epoch in range(len(scheduler.preset) + EPOCHS):
        found.append(optimizer.param_groups[0]["lr"])
        fast, slow = 80.0 * 0.8**epoch, 0.1 * math.sin(epoch / 7.0)
        scheduler.step(20.0 + fast + slow + 0.02 * epoch)
    return found


def updated(config):
    """A weight after two updates with the optimizer of a configuration."""
    from espnet2.tasks.abs_task import optim_classes

    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    weight.l2_factor = 1e-2
    optimizer = optim_classes[config["optim"]]([weight], **config["optim_conf"])
    optimizer.generator = torch.Generator().manual_seed(1)
    for step in (1.0, -0.3):
        weight.grad = step * torch.tensor([0.1, 0.2, -0.4])
        optimizer.step()
    return weight.detach().tolist()


def training(config):
    """All that a training does differently with another configuration."""
    from espnet_ext.train.regime import parse_regime

    regime = parse_regime(config["regime_conf"])
    alone = regime.multi_gpu is None or regime.multi_gpu.processes == 1
    regime = dataclasses.replace(
        regime,
        returnn_behavior_version=None,
        multi_gpu=None if alone else regime.multi_gpu,
    )
    epochs = range(1, config["max_epoch"] + 1)
    return {
        "learning rates": rates(config),
        "batches": [regime.batch_size(epoch) for epoch in epochs],
        "growth": growth_of_encoder(config["encoder_conf"]),
        "update": updated(config),
        "regime": dataclasses.replace(regime, batch_schedule=()),
        "seed": config["seed"],
    }


def differences(on, off):
    first, second = training(on), training(off)
    return {name for name in first if first[name] != second[name]}


@pytest.mark.parametrize("switch", others(), ids=lambda switch: switch.id)
def test_a_switch_changes_the_training(switch):
    on, off = configurations(switch)
    assert differences(off, off) == set(), "the comparison is not exact"
    assert differences(on, off)


def with_neutral_number():
    """Switches with a number that stands for their absence."""
    return [
        s for s in others() if isinstance(s.neutral, (int, float)) and not s.computed
    ]


@pytest.mark.parametrize("switch", with_neutral_number(), ids=lambda switch: switch.id)
def test_a_neutral_value_trains_like_an_absent_switch(switch):
    on, off = configurations(switch)
    for path, template in switch.sets.items():
        section, _, option = path.partition(".")
        value = switch.neutral
        if isinstance(template, dict):
            value = {k: value if v == "$value" else v for k, v in template.items()}
        on = {**on, section: {**on[section], option: value} if option else value}
    assert differences(on, off) == set()


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_changes_nothing(name):
    on, off = configurations(load_catalogue().switches[name])
    assert on["regime_conf"] != off["regime_conf"]
    assert differences(on, off) == set()


@pytest.mark.slow
@pytest.mark.parametrize("switch", families(), ids=lambda switch: switch.id)
def test_a_family_builds_and_does_one_update(switch):
    from espnet2.tasks.abs_task import optim_classes

    from tests.experiments.tiny_models import make_model, model_parts, one_batch

    config = resolve(example(switch), conf=CONF).config
    model = make_model(model_parts(config))
    optimizer = optim_classes[config["optim"]](
        model.parameters(), **config["optim_conf"]
    )
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    values = one_batch(model)
    assert all(value.isfinite().all() for value in values.values())
    optimizer.step()
    moved = [n for n, p in model.named_parameters() if not torch.equal(p, before[n])]
    assert set(moved) <= set(values)
    assert len(moved) > len(before) / 2


@pytest.mark.slow
def test_families_are_different_models_or_trainings():
    from tests.experiments.tiny_models import model_parts

    seen = []
    for switch in families():
        config = resolve(example(switch), conf=CONF).config
        seen.append((switch.id, repr(model_parts(config)), repr(training(config))))
    for number, (name, model, trained) in enumerate(seen):
        for other, other_model, other_trained in seen[:number]:
            assert model != other_model or trained != other_trained, (name, other)
