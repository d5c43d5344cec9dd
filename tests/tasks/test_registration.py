"""Our classes in ESPnet's tables, also in processes that ESPnet spawns."""

import argparse
import multiprocessing
import pickle

import pytest
from espnet2.tasks import asr

from espnet_ext.errors import OptionError
from espnet_ext.register import register
from espnet_ext.tasks.asr import TransducerTask, check_plugin_options
from tests.tasks.spawned import knows_our_encoder


def test_registering_twice_changes_nothing():
    register()
    before = dict(asr.encoder_choices.classes)
    register()
    assert asr.encoder_choices.classes == before
    assert "conv_blstm" in before


def test_a_name_that_espnet_already_uses_is_refused(monkeypatch):
    monkeypatch.setitem(asr.encoder_choices.classes, "conv_blstm", object)
    with pytest.raises(RuntimeError, match="already has a class named 'conv_blstm'"):
        register()


@pytest.mark.slow
def test_a_spawned_worker_knows_our_classes_through_the_task():
    """ESPnet starts GPU workers by spawn with ``cls.main_worker`` as the target."""
    target = pickle.dumps(TransducerTask.main_worker)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply_async(knows_our_encoder, (target,)).get(timeout=120)


def arguments(**changes):
    args = dict(
        frontend="default",
        frontend_conf={"fs": 8000},
        specaug=None,
        normalize="global_mvn",
        encoder="conv_blstm",
        encoder_conf={"hidden_size": 8},
        decoder="lstm_transducer",
        decoder_conf={},
        model="full_sum_transducer",
        model_conf={"ctc_weight": 0.5, "ignore_id": -1},
    )
    return argparse.Namespace(**{**args, **changes})


def test_valid_options_pass_including_those_of_base_classes():
    check_plugin_options(arguments())


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"encoder": "conv_blsmt"}, "unknown encoder 'conv_blsmt'"),
        ({"encoder_conf": {"hiden_size": 8}}, "did you mean 'hidden_size'"),
        ({"model_conf": {"ctc_wieght": 0.5}}, "did you mean 'ctc_weight'"),
        ({"decoder": "Transducer"}, "decoder: "),
    ],
)
def test_a_typo_is_answered_with_the_nearest_valid_name(changes, message):
    with pytest.raises(OptionError, match=message):
        check_plugin_options(arguments(**changes))
