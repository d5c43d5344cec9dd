"""What the code has, found by reading it, is what importing it shows."""

import pytest

from espnet_ext.experiments import build, parts
from espnet_ext.experiments.catalogue import load_catalogue
from espnet_ext.experiments.files import REPOSITORY, find_conf
from espnet_ext.experiments.resolve import resolve
from espnet_ext.experiments.status import example, missing_of

CONF = find_conf(REPOSITORY / "conf")
# reference/models.md b, d.7, f, h: parameters of the original
PARAMETERS = {
    "start": 148_865_731,
    "conformer": 84_453_091,
    "conformer_pre9_blstmf_specaug": 93_257_059,
    "conformer_pre10_d384_h6_blstmf2_specaug_attdrop01_posdrop01_aux48ff": 60_484_209,
    "conformer_ln_pre10_d384_h6_cnnblstmf2_specaug_aux48ff": 61_640_657,
    "conformer_pre9_d384_h6_wd0_convwei_specaug_aux48ff": 52_077_617,
    "ctc_conformer_pre10_d384_h6_blstmf2_specaug_aux48ff": 52_113_031 + 793_870,
    "old_nick_att_conformer": 90_099_811,
    "old_moh_hybrid_conformer": 54_556_995,
}


def classes_of(table):
    """Names and classes of a table of ESPnet."""
    return getattr(table, "classes", table)


@pytest.mark.slow
def test_names_and_options_read_from_source_are_those_of_the_imported_classes():
    """ESPnet's tables and inspect.signature are the oracle."""
    from espnet_ext.tasks.asr import TABLES, accepted_options

    for (key, name), (_, class_name) in parts.registered().items():
        if key not in TABLES:
            continue
        plugin = classes_of(TABLES[key])[name]
        assert plugin.__name__ == class_name
        options = set(accepted_options(plugin) or {}) - {"self"}
        read = {o for o in parts.implemented_options(key, name) if "." not in o}
        assert options == read, f"{key} {name}"
    ours = {
        (key, name)
        for key, table in TABLES.items()
        for name, plugin in classes_of(table).items()
        if plugin is not None and plugin.__module__.startswith("espnet_ext.")
    }
    assert ours == {k for k in parts.registered() if k[0] in TABLES}


@pytest.mark.slow
def test_espnets_own_names_are_known():
    from espnet2.tasks.abs_task import optim_classes, scheduler_classes

    from espnet_ext.tasks.asr import TABLES

    for table in (optim_classes, scheduler_classes):
        stock = {
            name.lower()
            for name, plugin in table.items()
            if not plugin.__module__.startswith("espnet_ext.")
        }
        assert stock <= parts.stock_names()
    stock = {
        name
        for table in TABLES.values()
        for name, plugin in classes_of(table).items()
        if plugin is not None and plugin.__module__.startswith("espnet2.")
    }
    assert stock <= parts.stock_names()


@pytest.mark.slow
@pytest.mark.parametrize("name", PARAMETERS)
def test_a_model_has_as_many_parameters_as_the_original(name):
    """Ours has one more embedding row, of 256 values, for blank; it is never used."""
    config = resolve(name, conf=CONF).config
    missing = build.missing_classes(config)
    if missing:  # then check says so, and this test begins to count with the class
        assert all(
            part.split(": ")[1] not in str(parts.registered()) for part in missing
        )
        return
    extra = 256 if config["decoder"] == "lstm_transducer" else 0
    assert build.model_size(config).total == PARAMETERS[name] + extra


def test_an_option_of_espnets_model_is_not_taken_for_ours():
    """ESPnet's model has an ``aux_ctc`` with another meaning."""
    file = parts.PACKAGE / "asr" / "transducer_model.py"
    everything = parts._constructor(file, "TransducerModel")
    own = parts._constructor(file, "TransducerModel", own=True)
    assert {"aux_ctc", "vocab_size"} <= everything
    assert "vocab_size" not in own and "ctc_weight" in own


def test_missing_parts_names_class_option_and_regime():
    config = dict(resolve("start", conf=CONF).config)
    config["encoder"] = "no_such_encoder"
    missing = parts.missing_parts(config)
    assert "encoder: no_such_encoder" in missing
    config["encoder"] = "conv_blstm"
    config["encoder_conf"] = {"num_layers": 2, "no_such_option": 0.5}
    assert ("encoder_conf.no_such_option of conv_blstm (value 0.5)") in (
        parts.missing_parts(config)
    )
    assert not any("num_layers" in part for part in parts.missing_parts(config))


def test_a_switch_without_its_part_is_not_called_implemented(monkeypatch):
    switch = load_catalogue().switches["decoder_size"]
    assert missing_of(switch, CONF) == []
    monkeypatch.setattr(parts, "option_exists", lambda *words: False)
    assert "decoder_conf.hidden_size" in missing_of(switch, CONF)


def test_every_switch_has_an_example_that_resolves():
    for switch in load_catalogue().switches.values():
        assert switch.id in resolve(example(switch), conf=CONF).switches


def test_a_model_is_built_without_the_options_that_are_missing():
    config = {
        "encoder": "conv_blstm",
        "encoder_conf": {"num_layers": 2, "no_such_option": 0.5},
        "decoder": "lstm_transducer",
        "decoder_conf": {"joint": {"type": "maxout_readout", "no_such_column": "x"}},
        "model": "full_sum_transducer",
    }
    kept, left_out = build.buildable(config)
    assert kept["encoder_conf"] == {"num_layers": 2}
    assert kept["decoder_conf"] == {"joint": {"type": "maxout_readout"}}
    assert left_out == [
        "encoder_conf.no_such_option",
        "decoder_conf.joint.no_such_column",
    ]
