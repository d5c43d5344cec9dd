"""Overlays, fidelity, versions, origins: what a resolved experiment is made of."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from espnet_ext.errors import FormatError, OptionError, UserError
from espnet_ext.experiments import fidelity
from espnet_ext.experiments.catalogue import load_catalogue
from espnet_ext.experiments.fidelity import Change, load_table
from espnet_ext.experiments.files import REPOSITORY, Conf, find_conf
from espnet_ext.experiments.resolve import resolve
from espnet_ext.experiments.settings import Settings, leaves
from espnet_ext.experiments.show import annotated_yaml, diff_screen
from tests.experiments.names import original_names

CONF = find_conf(REPOSITORY / "conf")
GOOD = "conformer_ln_pre10_d384_h6_blstmf2_specaug_attdrop01_posdrop01_aux48ff"


def write(folder, text, name="mine.yaml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_all_experiments_take_less_than_2000_lines_of_yaml():
    """Bases, regimes, overlays, catalogue, fidelity; not the complete train_*.yaml."""
    conf, package = REPOSITORY / "conf", REPOSITORY / "espnet_ext" / "experiments"
    files = [*conf.glob("bases/*.yaml"), *conf.glob("experiments/*.yaml")]
    files += [package / "catalogue.yaml", package / "fidelity.yaml"]
    lines = sum(len(file.read_text().splitlines()) for file in files)
    assert len(files) > 10 and lines <= 2000


@pytest.mark.parametrize("name", ["start", "orig", GOOD, "old_nick_att_conformer"])
def test_segments_have_mean_zero_and_variance_one_as_in_the_original(name):
    """reference/data.md 2; ESPnet's utterance_mvn leaves the variance alone."""
    normalisation = resolve(name, conf=CONF).get("normalize_conf")
    assert normalisation == {"norm_means": True, "norm_vars": True}


def test_every_overlay_of_the_repository_has_at_most_ten_keys():
    assert len(CONF.overlays) < 20  # most experiments need none: the name says it
    for path in CONF.overlays.values():
        CONF.chain(path)  # refuses more


def test_every_value_has_an_origin_and_the_file_is_plain_yaml():
    for name in original_names()[::7]:
        exp = resolve(name, conf=CONF)
        assert {path for path, _ in leaves(exp.config)} == set(exp.origins)
        assert yaml.safe_load(annotated_yaml(exp)) == exp.config
        assert yaml.safe_load(annotated_yaml(exp, with_origins=False)) == exp.config


def test_origins_say_which_token_or_file_a_value_comes_from(tmp_path):
    path = write(tmp_path, f"base: {GOOD}\nencoder_conf: {{dropout: 0.2}}\n")
    exp = resolve(path, [("optim_conf.eps", 1e-6)], CONF)
    assert exp.origins["encoder_conf.attention_dropout"] == "attdrop01"
    assert exp.origins["scheduler_conf.lr_segments"] == "regime pre10"
    assert exp.origins["encoder_conf.dropout"] == "overlay mine"
    assert exp.origins["optim_conf.eps"] == "command line"
    assert "fidelity original" in exp.origins["encoder_conf.dropout_mask"]
    assert (exp.get("encoder_conf.dropout"), exp.get("optim_conf.eps")) == (0.2, 1e-6)
    assert exp.name == exp.get("experiment_conf.name") == "mine"


def test_an_overlay_is_found_whatever_the_order_of_the_tokens():
    overlaid = "conformer_pre10_d384_h6_blstmf2_specaugwei_oldtwarp_attdrop01_aux4812ff"
    exp = resolve(overlaid, conf=CONF)
    assert exp.get("specaug_conf.time_warp") is None
    tokens = overlaid.split("_")
    other = resolve("_".join(tokens[:1] + tokens[:0:-1]), conf=CONF)
    assert diff_screen(exp, other) == "no difference"


@pytest.mark.parametrize(
    "text, error, message",
    [
        ("encoder_conf: {dropuot: 0.2}", OptionError, "line 2.*'dropout'"),
        ("encodr_conf: {dropout: 0.2}", OptionError, "line 2.*'encoder_conf'"),
        (
            "decoder_conf: {joint: {readout_sise: 2}}",
            OptionError,
            "line 2.*readout_size",
        ),
        ("encoder_conf: {dropout: abc}", OptionError, "line 2.*a number"),
        ("encoder_conf: {num_layers: true}", OptionError, "line 2.*a number"),
        ("encoder_conf: {dropout: 1.5}", OptionError, "0 to below 1"),
        ("encoder_conf: {num_heads: 5}", OptionError, "no multiple of 5 heads"),
        (
            "encoder_conf: {num_layers: 6}\nmodel_conf: {aux_ctc: {layers: [4, 8]}}",
            OptionError,
            "layer 8, but the encoder has 6",
        ),
        (
            "encoder_conf: {num_layers: 8}\nmodel_conf: {aux_ctc: {layers: [4]}}",
            OptionError,
            r"encoder_conf.growth the stages have \[2, 4, 8, 8\] layers",
        ),
        ("encoder_conf: 5", OptionError, "line 2.*mapping"),
        ("output_dir: x", OptionError, "line 2.*recipe names"),
        ("regime: pre11", OptionError, "did you mean 'pre1.*'"),
        ("fidelity: exact", OptionError, "original or corrected"),
        ("fidelity: {dropout_masks: corrected}", OptionError, "'dropout_mask'"),
        ('behaviour_version: "2999-01-01"', OptionError, "later than this code"),
        ("behaviour_version: 3", OptionError, "a date"),
        ("name: ../../etc", OptionError, "name of a directory"),
        ("max_epoch: 10\nmax_epoch: 20", FormatError, "line 3.*twice"),
        ("seed: !!python/object/apply:os.getcwd []", FormatError, "line 2"),
        (
            "encoder_conf: {dropout: 0.1, attention_dropout: 0.1, num_layers: 2, "
            "model_size: 8, num_heads: 2, conv_kernel_size: 3}\n"
            "optim_conf: {lr: 0.1, eps: 0.1}\nseed: 3\nmax_epoch: 2\naccum_grad: 1",
            OptionError,
            "sets 11 values.*at most 10",
        ),
    ],
)
def test_a_wrong_overlay_is_refused_with_its_place(tmp_path, text, error, message):
    path = write(tmp_path, f"base: {GOOD}\n{text}\n")
    with pytest.raises(error, match=f"(?s){message}"):
        resolve(path, conf=CONF)


def test_overlays_rest_on_one_another_at_most_twice(tmp_path):
    write(tmp_path, f"base: {GOOD}\nseed: 1\nmax_epoch: 5\n", "one.yaml")
    two = write(tmp_path, "base: one.yaml\nseed: 2\n", "two.yaml")
    exp = resolve(two, conf=CONF)
    assert (exp.get("seed"), exp.get("max_epoch")) == (2, 5)
    three = write(tmp_path, "base: two.yaml\nseed: 3\n", "three.yaml")
    with pytest.raises(OptionError, match="more than 2 overlays"):
        resolve(three, conf=CONF)
    loop = write(tmp_path, "base: loop.yaml\n", "loop.yaml")
    with pytest.raises(OptionError, match="more than 2 overlays"):
        resolve(loop, conf=CONF)


def test_a_complete_configuration_can_be_a_base(tmp_path):
    path = write(tmp_path, "base: train_demo\nencoder_conf: {hidden_size: 96}\n")
    exp = resolve(path, conf=CONF)
    whole = yaml.safe_load((REPOSITORY / "conf" / "train_demo.yaml").read_text())
    whole["encoder_conf"]["hidden_size"] = 96
    assert {k: v for k, v in exp.config.items() if k != "experiment_conf"} == whole


def test_another_class_does_not_inherit_the_options_of_the_old_one(tmp_path):
    path = write(tmp_path, f"base: {GOOD}\noptim: adam\noptim_conf: {{lr: 0.1}}\n")
    assert resolve(path, conf=CONF).config["optim_conf"] == {"lr": 0.1}


def test_command_line_values_are_checked_like_a_file():
    with pytest.raises(OptionError, match="did you mean 'dropout'"):
        resolve("start", [("encoder_conf.dropuot", 0.1)], CONF)
    with pytest.raises(OptionError, match="a number"):
        resolve("start", [("encoder_conf.dropout", "x")], CONF)


@pytest.mark.parametrize("choice", ["original", "corrected"])
def test_fidelity_selects_all_peculiarities_or_none(tmp_path, choice):
    name = (
        f"{GOOD}_chunk50_win10_attscaledist_declstmz_rndframedrop01"
        "_bpesample01_decwd0025".replace("_ln_", "_relold_ln_")
    )
    path = write(tmp_path, f"base: {name}\nfidelity: {choice}\n")
    exp = resolve(path, conf=CONF)
    assert exp.fidelity == choice
    for option in load_table().options.values():
        expected = getattr(option, choice)
        of_orig = option.id in ("blstm_growth_copy", "sentence_begin")  # no Conformer
        if expected is not None and not of_orig:
            assert [exp.get(p) for p in option.paths] == [expected] * len(option.paths)


@pytest.mark.parametrize(
    "choice, copy, begin",
    [("original", "blocks", "zero"), ("corrected", "halves", "label")],
)
def test_fidelity_selects_the_peculiarities_of_orig(tmp_path, choice, copy, begin):
    path = write(tmp_path, f"base: orig\nfidelity: {choice}\n")
    exp = resolve(path, conf=CONF)
    assert exp.get("encoder_conf.growth_copy") == copy
    assert exp.get("decoder_conf.bos_vector") == begin


def test_single_peculiarities_can_be_chosen_and_a_value_in_the_file_stays(tmp_path):
    text = "fidelity: {dropout_mask: corrected}\nencoder_conf: {chunk_tail: covered}\n"
    path = write(tmp_path, f"base: {GOOD}_chunk50\n{text}")
    exp = resolve(path, conf=CONF)
    assert exp.fidelity == "mixed"
    assert exp.get("encoder_conf.dropout_mask") == "elementwise"
    assert exp.get("encoder_conf.feed_forward_dropout") == "whole_module"
    assert exp.get("encoder_conf.chunk_tail") == "covered"


def test_named_experiments_are_original_and_our_own_corrected():
    assert resolve(GOOD, conf=CONF).fidelity == "original"
    assert resolve("recommended", conf=CONF).fidelity == "corrected"


def test_a_later_change_of_behaviour_does_not_touch_a_pinned_experiment():
    changes = [Change("2027-01-01", "encoder_conf.dropout", 0.1, 0.3, "for this test")]
    for version, expected in (("2026-11-24", 0.1), ("2027-01-01", 0.3)):
        settings = Settings()
        settings.set("encoder_conf.dropout", 0.1, "base")
        fidelity.apply_changes(settings, version, changes)
        assert settings.get("encoder_conf.dropout") == expected
        assert "2027-01-01" in settings.origins["encoder_conf.dropout"]


def test_every_resolved_key_is_known_to_the_code_or_planned():
    """So that no option of an experiment has a name that nobody will ever read."""
    from espnet_ext.experiments import parts

    for name in original_names():
        exp = resolve(name, conf=CONF)
        for key, plugin in parts.classes_of(exp.config).items():
            valid = parts.valid_options(key, plugin)
            for option, _ in leaves(exp.config.get(f"{key}_conf") or {}):
                outer = {".".join(option.split(".")[:n]) for n in range(1, 4)}
                nested = {v for v in valid if v.startswith(f"{option}.")}
                assert outer & valid or nested, f"{name}: {key}_conf.{option}"
        regime = parts.planned("regime", "regime")
        for option, _ in leaves(exp.config["regime_conf"]):
            assert option in regime or any(r.startswith(option) for r in regime)


def test_the_catalogues_paths_exist_in_a_resolved_example():
    from espnet_ext.experiments.status import example

    for switch in load_catalogue().switches.values():
        exp = resolve(example(switch), conf=CONF)
        for path in switch.sets:
            assert exp.get(path, "absent") != "absent", f"{switch.id}: {path}"


def test_conf_is_found_beside_the_recipe_through_its_link(monkeypatch):
    monkeypatch.chdir(REPOSITORY / "egs2" / "swbd_repro")
    conf = find_conf()
    assert conf.folder.name == "conf" and not conf.folder.is_absolute()
    assert conf.results == REPOSITORY / "results"


@pytest.mark.parametrize(
    "text, message",
    [
        ("ln: conformer_pre10\n", "a token already"),
        ("B2: conformer\n", "no name of a baseline"),
        ("b2: [conformer]\n", "experiment name"),
        ("b2: conformer_specagu\n", "'specaug'"),
    ],
)
def test_a_wrong_baseline_is_refused(tmp_path, text, message):
    (tmp_path / "baselines.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        Conf(tmp_path).baselines


KEYS = st.sampled_from(
    "base name regime fidelity encoder encoder_conf model_conf optim optim_conf x "
    "max_epoch behaviour_version".split()
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=True)
    | st.sampled_from(
        ["start", GOOD, "adam", "pre9", "../x.yaml", "", "{{", "2026-01-01"]
    ),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(
        st.sampled_from("dropout num_layers growth layers aux_ctc l2 lr all".split()),
        inner,
        max_size=3,
    ),
    max_leaves=6,
)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_no_overlay_raises_anything_but_a_user_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    try:
        exp = resolve(str(path), conf=CONF)
    except UserError:
        return
    assert yaml.safe_load(annotated_yaml(exp)) is not None
