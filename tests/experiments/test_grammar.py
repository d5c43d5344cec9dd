"""Names and sets of switches say the same in both directions, in any order."""

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_ext.errors import OptionError, UserError
from espnet_ext.experiments.catalogue import load_catalogue
from espnet_ext.experiments.grammar import (
    example_tokens,
    format_name,
    parse_name,
    tokens_of,
)
from espnet_ext.experiments.switches import switches_of
from espnet_ext.experiments.values import READERS
from tests.experiments.names import VALUES, conformer_values, original_names


def test_every_original_name_survives_the_round_trip():
    for name in original_names():
        switches = parse_name(name)
        canonical = format_name(switches)
        assert parse_name(canonical) == switches
        assert format_name(parse_name(canonical)) == canonical
        # no token is lost, added or changed
        assert sorted(t for t, _ in tokens_of(name, {})) == sorted(
            t for t, _ in tokens_of(canonical, {})
        )


def test_canonical_order_is_that_of_the_original_in_all_but_two_names():
    different = [n for n in original_names() if format_name(parse_name(n)) != n]
    assert different == [
        "conformer_pre10_lr5e_4_d384_h6_blstmf2_specaug_attdrop01_posdrop01_aux4812ff",
        "conformer_pre9_d384_h6_wd0_blstmf2_specaug_fix245_aux48ff",
    ]


def test_two_original_names_never_mean_the_same_except_one_pair():
    """bhv14 is the default, said in the name; its switches are told apart anyway."""
    seen = {}
    for name in original_names():
        assert seen.setdefault(parse_name(name), name) == name


@given(st.data())
def test_the_order_of_tokens_does_not_matter(data):
    name = data.draw(st.sampled_from(original_names()))
    tokens = [token for token, _ in tokens_of(name, {})]
    shuffled = data.draw(st.permutations(tokens))
    assert parse_name("_".join(shuffled)) == parse_name(name)


@given(conformer_values())
def test_any_new_combination_survives_the_round_trip(values):
    switches = switches_of(values)
    name = format_name(switches)
    try:
        parsed = parse_name(name)
    except OptionError as error:
        # only combinations that exclude or need each other may be refused
        words = ("exclude", "changes nothing", "contradict", "characters", "layer")
        assert any(word in str(error) for word in words)
        return
    assert parsed == switches


@pytest.mark.parametrize("reads", sorted(READERS))
@given(data=st.data())
def test_a_written_value_is_read_back(reads, data):
    value = data.draw(VALUES[reads])
    text = READERS[reads].write(value)
    assert READERS[reads].read(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    "token, switch, value",
    [
        # reference/parts.md section 0: there is no common rule for the digits
        ("vn0015", "weight_noise", 0.0015),
        ("vn0075", "weight_noise", 0.0075),
        ("decwd0025", "decoupled_l2", 0.025),
        ("wdrop005", "weight_dropout", 0.05),
        ("gn01", "gradient_noise", 0.1),
        ("attdrop02", "attention_dropout", 0.2),
        ("lrd07", "learning_rate_decay", 0.7),
        ("nbt0", "newbob_threshold", 0.0),
        ("bpesample01", "bpe_sampling", 0.1),
        ("declstmwdrop03", "decoder_weight_dropout", 0.3),
        ("mhsapinit05", "qkv_init_scale", 0.5),
        ("lr02", "peak_learning_rate_fraction", 0.02),
        ("lr3e_3", "peak_learning_rate", 3e-3),
        ("mlr1e_6", "min_learning_rate", 1e-6),
        ("encl2_1e_2", "encoder_l2", 1e-2),
        ("nep260", "num_sub_epochs", 260),
        ("aux48ff", "aux_ctc_fixed", (4, 8)),
        ("ls01", "label_smoothing", 0.1),
        ("lsxx01b", "label_smoothing_labels_warmup", 0.1),
    ],
)
def test_tokens_mean_what_the_files_of_the_original_contain(token, switch, value):
    assert parse_name(f"conformer_{token}").get(switch) == value


def test_parts_with_underscores_are_read_greedily():
    switches = parse_name("conformer_rndresize09_12_rndframedrop01_mlr1e_6")
    assert switches.get("time_resize") == (0.9, 1.2)
    assert switches.get("frame_drop") == 0.1
    assert switches.get("min_learning_rate") == 1e-6
    layers = parse_name("conformer_blstmf2_aux24812f_specaug_oldtwarp3")
    assert layers.get("aux_ctc_top") == (2, 4, 8, 12) and "time_warp_3" in layers


@pytest.mark.parametrize(
    "name, message",
    [
        ("conformer_attdrp01", "'attdrop01'"),
        ("conformer_specagu", "'specaug'"),
        ("confomer_ln", "'conformer'"),
        ("conformer_blstmf3", "'blstmf2'|'blstmf'"),
        ("conformer_attdrop1", "01 for 0.1"),
        ("conformer_vn15", "0015 for 0.0015"),
        ("conformer_blstmf_blstmf2", "contradict"),
        ("conformer_ln_bnmask", "contradict"),
        ("conformer_attdrop01_attdrop02", "contradict"),
        ("conformer_start", "contradict"),
        ("conformer_old_nick_att_conformer", "contradict"),
        ("att_ctc_conformer", "contradict"),
        ("conformer_aux16", "layer 16, but the encoder has 12"),
        ("conformer_n8_aux4812ff", "layer 12, but the encoder has 8"),
        ("conformer_aux84", "not ascending"),
        ("conformer_d384_h5", "no multiple of 5 heads"),
        ("conformer_transd20", "aux"),
        ("conformer_oldtwarp", "specaug"),
        ("conformer_wd0_wdf", "exclude"),
        ("att_conformer_decnoatt", "exclude"),
        ("conformer_rndresize12_09", "no range"),
        ("conformer_lr3e_400", "out of range"),
        ("start_ln", "belongs to the Conformer"),
        ("start_pre10", "belongs to the Conformer"),
        ("conformer_slowpretrain", "no meaning here"),
        ("conformer_native", "no meaning here"),
        ("ln_pre10", "no model family"),
        ("", "no experiment name"),
        ("conformer; rm -rf", "no experiment name"),
        ("conformer__ln", "unknown token ''"),
        ("conformer_" + "x" * 300, "310 characters"),
    ],
)
def test_a_wrong_name_is_refused_with_what_would_be_right(name, message):
    with pytest.raises(OptionError, match=message):
        parse_name(name)


BASELINES = {"b2": "conformer_ln_pre10_blstmf2_attdrop01_aux48ff"}


def test_a_baseline_stands_for_its_switches_and_gives_way_to_other_tokens():
    assert parse_name("b2", BASELINES) == parse_name(BASELINES["b2"])
    changed = parse_name("b2_attdrop02_cnnblstmf2", BASELINES)
    assert changed == parse_name("conformer_ln_pre10_cnnblstmf2_attdrop02_aux48ff")


def test_tokens_beside_a_baseline_still_contradict_each_other():
    with pytest.raises(OptionError, match="contradict"):
        parse_name("b2_attdrop02_attdrop01", BASELINES)
    with pytest.raises(OptionError, match="second baseline"):
        parse_name("b2_b2", BASELINES)


ALPHABET = string.ascii_lowercase + string.digits + "_"


@given(st.text(max_size=80) | st.text(alphabet=ALPHABET, max_size=80))
def test_no_text_raises_anything_but_a_user_error(name):
    try:
        assert parse_name(name).ids()
    except UserError:
        pass


@given(st.data())
def test_damaged_names_never_crash(data):
    name = data.draw(st.sampled_from(original_names()))
    place = data.draw(st.integers(0, len(name)))
    inserted = data.draw(st.text(alphabet=ALPHABET, max_size=3))
    cut = data.draw(st.integers(0, 4))
    try:
        parse_name(name[:place] + inserted + name[place + cut :])
    except UserError:
        pass


def test_every_token_of_the_catalogue_is_read_as_its_own_switch():
    for switch in load_catalogue().switches.values():
        value = (
            switch.tried[0] if switch.tried else {"integer": 12}.get(switch.reads, 0.05)
        )
        value = list(value) if isinstance(value, tuple) else value
        token = switch.write([4, 8] if switch.reads == "layers" else value)
        ((_, found),) = tokens_of(token, {})
        assert found.id == switch.id


def test_a_typo_in_any_token_finds_that_token():
    generator = random.Random(1)
    tokens = [t for t in example_tokens() if len(t) > 6 and t.isalpha()]
    for token in tokens:
        place = generator.randrange(1, len(token) - 1)
        typo = token[:place] + token[place + 1 :]
        if typo in tokens:
            continue
        with pytest.raises(OptionError, match=token):
            parse_name(f"conformer_{typo}")
