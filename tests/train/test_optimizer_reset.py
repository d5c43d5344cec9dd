"""The optimizer's state is cleared where the original builds its network anew."""

import pytest
import torch

from espnet_ext.experiments.resolve import resolve
from espnet_ext.streams import Streams
from espnet_ext.train.hooks import TrainingParts
from espnet_ext.train.optimizer_reset import OptimizerResetHook
from espnet_ext.train.regime import BatchSize, Regime
from tests.asr.test_weight_decay import blstm, conformer, model


def resets(built, regime=Regime(), epochs=12):
    optimizer = torch.optim.Adam(built.parameters())
    parts = TrainingParts(built, [optimizer], [None], Streams(0), regime)
    hook, found = OptimizerResetHook(), []
    for epoch in range(1, epochs + 1):
        built.set_epoch(epoch)
        optimizer.state[next(built.parameters())] = {"step": 1}
        hook.begin_sub_epoch(epoch, parts)
        assert built.epoch == epoch
        if not optimizer.state:
            found.append(epoch)
    return found


def test_each_new_stage_of_growth():
    growing = conformer(growth={"layers": [1, 2], "epochs": [3, 4]})
    assert resets(model(growing)) == [4, 8]
    growing = blstm(growth_start_layers=2, growth_epochs_per_layer=4)
    assert resets(model(growing)) == [5]


def test_another_batch_size_or_accumulation():
    sizes = (BatchSize(1, 20000, 2), BatchSize(3, 10000, 2), BatchSize(6, 10000, 4))
    assert resets(model(), Regime(batch_schedule=sizes)) == [3, 6]


def test_each_sub_epoch_of_a_smoothing_that_warms_up():
    """reference/training.md 5: ls01b resets before each of its first sub-epochs."""
    smoothing = {"type": "ls", "scale": 0.1, "schedule": "warmup", "warmup_epochs": 6}
    assert resets(model(label_smoothing=smoothing)) == [2, 3, 4, 5, 6]
    constant = {"type": "ls", "scale": 0.1}
    assert resets(model(label_smoothing=constant)) == []


def test_the_begin_of_the_main_loss():
    built = model(aux_ctc={"layers": [2]}, transducer_start_epoch=5)
    assert resets(built) == [5]


def test_the_begin_of_regularisation():
    assert resets(model(l2={"encoder": 1.0, "regularise_from_epoch": 7})) == [7]


@pytest.mark.parametrize("name, expected", [("conformer_pre10", [11, 21, 31])])
def test_pre10_resets_as_the_document_lists(name, expected):
    """reference/training.md 5; here from the resolved experiment, scaled down."""
    resolved = resolve(name)
    growth = dict(resolved.get("encoder_conf.growth"))
    growth["layers"] = [1, 2, 3]
    small = {"frontend": {"type": "conv"}, "growth": growth}
    sizes = tuple(BatchSize(**e) for e in resolved.get("regime_conf.batch_schedule"))
    encoder = conformer_of(4, **small)
    found = resets(model(encoder), Regime(batch_schedule=sizes), epochs=60)
    assert found == expected


def conformer_of(layers, **options):
    from espnet_ext.asr.encoder.staged_conformer import StagedConformerEncoder

    options["frontend"] = {"type": "conv", "conv_channels": [2, 2]}
    return StagedConformerEncoder(
        6,
        num_layers=layers,
        model_size=8,
        feed_forward_size=16,
        num_heads=2,
        conv_kernel_size=4,
        **options,
    )
