"""Each option of ``encoder_options``: neutral, on, evaluation, padding, precision."""

import inspect

import pytest
import torch

from espnet_ext.asr.encoder.frontends import TYPES, build_frontend, option_names
from espnet_ext.asr.encoder.growth import GrowthOptions
from tests.asr.encoder_options import (
    CONFORMER,
    ENCODERS,
    FRONTENDS,
    GAMMATONE,
    GROWTH,
    GROWTH_OPTIONS,
    built,
    features,
    merged,
    same,
    trace,
)

LISTED = {**ENCODERS, "GammatoneFrontend": GAMMATONE}
CASES = [
    pytest.param(plugin, option.beside, on, id=f"{kind}-{name}-{number}")
    for kind, plugin in ENCODERS.items()
    for name, option in plugin.options.items()
    for number, on in enumerate(option.on)
]
GROWING = [
    pytest.param(
        CONFORMER, {"growth": GROWTH, **option.beside}, on, id=f"growth-{name}"
    )
    for name, option in GROWTH_OPTIONS.items()
    for on in option.on
]
NEUTRAL = [
    pytest.param(plugin, option.beside, values, id=f"{kind}-{name}-{number}")
    for kind, plugin in ENCODERS.items()
    for name, option in plugin.options.items()
    for number, values in enumerate(option.neutral)
]
# evaluation goes on to change the statistics it normalises with, as in the original
STATISTICS_MOVE = {"conv_norm_updates_in_evaluation"}
# what an utterance gives depends on the others in its batch, where ``padding`` is zero
DEPENDS_ON_BATCH = {
    "conv_norm_updates_in_evaluation",  # its statistics are of the batch
    "padding",  # visible: convolutions see frames after the end
}


def defaults(kind) -> dict:
    """Default of each option of a class that names them."""
    parameters = inspect.signature(kind).parameters.values()
    return {
        p.name: p.default
        for p in parameters
        if p.name != "input_size" and p.kind is not p.VAR_KEYWORD
    }


@pytest.mark.parametrize("name", LISTED)
def test_every_option_of_a_class_is_listed_with_a_value_that_changes_something(name):
    plugin = LISTED[name]
    assert set(plugin.options) == set(defaults(plugin.kind))
    assert all(option.on for option in plugin.options.values())


def test_every_option_of_growth_and_of_the_frontends_is_listed():
    assert set(GROWTH_OPTIONS) == set(GrowthOptions._fields)
    assert {n: sorted(o) for n, o in FRONTENDS.items()} == {
        name: sorted(option_names(name)) for name in TYPES
    }


@pytest.mark.parametrize("name", ENCODERS)
def test_all_defaults_written_out_change_no_bit(name):
    plugin = ENCODERS[name]
    absent = {k: v for k, v in defaults(plugin.kind).items() if k not in plugin.small}
    assert same(trace(built(plugin, absent)), trace(built(plugin)))


@pytest.mark.parametrize("plugin, beside, values", NEUTRAL)
def test_a_neutral_option_equals_its_absence_bit_for_bit(plugin, beside, values):
    absent = {k: v for k, v in beside.items() if k not in values}
    assert same(trace(built(plugin, beside, values)), trace(built(plugin, absent)))


@pytest.mark.parametrize("plugin, beside, on", CASES + GROWING)
def test_an_option_that_is_on_changes_something(plugin, beside, on):
    first, second = built(plugin, beside), built(plugin, beside, on)
    different = not same(trace(first), trace(second))
    if set(on) & STATISTICS_MOVE:
        first.eval()(*features(66))
        second.eval()(*features(66))
        different = not same(first.state_dict(), second.state_dict())
    if "weight_noise_each" in on:  # the gradients are still there: the same noise
        different = not torch.equal(first(*features(66))[0], first(*features(66))[0])
        different &= torch.equal(second(*features(66))[0], second(*features(66))[0])
    assert different


@pytest.mark.parametrize("name", FRONTENDS)
def test_every_option_of_a_frontend_changes_its_output(name):
    def output(**options):
        torch.manual_seed(0)
        sizes = {k: 3 for k in ["hidden_size"] if k in FRONTENDS[name]}
        network = build_frontend(
            5, {"type": name, **sizes, **options}, 0.0, "shared", True
        )
        return network(*features(66, 31))[0]

    assert same(output(), output())
    for option, value in FRONTENDS[name].items():
        assert not same(output(**{option: value}), output()), option


@pytest.mark.parametrize("option", GAMMATONE.options)
def test_every_option_of_gammatone_features_changes_them(option):
    wave = torch.randn(1, 2000, generator=torch.Generator().manual_seed(0))

    def output(values):
        frontend = GAMMATONE.kind(**{**GAMMATONE.small, **values})
        return frontend(wave, torch.tensor([2000]))[0]

    case = GAMMATONE.options[option]
    assert all(same(output(values), output({})) for values in case.neutral)
    assert all(not same(output(values), output({})) for values in case.on)


@pytest.mark.parametrize("plugin, beside, on", CASES + GROWING)
def test_evaluation_repeats_itself_whatever_the_option(plugin, beside, on):
    network = built(plugin, beside, on).eval()
    outputs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        outputs.append(network(*features(66, 31))[0])
    assert same(*outputs) is not bool(set(on) & STATISTICS_MOVE)


@pytest.mark.parametrize("plugin, beside, on", CASES + GROWING)
def test_padding_is_seen_where_the_option_says_so_and_nowhere_else(plugin, beside, on):
    """Of 66 frames; 30 are a whole number of encoder frames, so that SAME pooling
    begins alike. The original's own options see padding: models.md section 0."""
    x, lengths = features(66, 30)
    x[1, 30:] = 7.0
    together, lens, _ = built(plugin, beside, on).eval()(x, lengths)
    alone, _, _ = built(plugin, beside, on).eval()(x[1:, :30], lengths[1:])
    valid = int(lens[1])
    close = torch.allclose(together[1, :valid], alone[0, :valid], atol=1e-5)
    # convolutions in front of a BLSTM have no option to hide padding: models.md (a)
    sees = plugin.kind.__name__ == "ConvBlstmEncoder" or set(on) & DEPENDS_ON_BATCH
    assert close is not bool(sees)


def test_without_convolutions_the_blstm_encoder_sees_no_padding():
    plugin = ENCODERS["ConvBlstmEncoder"]
    bare = {"conv_channels": [], "conv_feature_pooling": []}
    network = built(plugin, bare).eval()
    x, lengths = features(66, 30)
    x[1, 30:] = 7.0
    together, lens, _ = network(x, lengths)
    alone, _, _ = network(x[1:, :30], lengths[1:])
    torch.testing.assert_close(together[1, : int(lens[1])], alone[0])


def test_the_original_reads_learned_positions_differently_by_the_longest_sequence():
    """``position_rows: as_read`` (see short_table): a short batch loses rows."""
    beside = {"positions": "shaw", "position_clip": 12, "shaw_init": "glorot"}
    x, lengths = features(96, 30)
    for rows, alike in (("as_read", False), ("all", True)):
        network = built(CONFORMER, beside, {"position_rows": rows}).eval()
        together, lens, _ = network(x, lengths)
        alone, _, _ = network(x[1:, :30], lengths[1:])
        valid = int(lens[1])
        close = torch.allclose(together[1, :valid], alone[0, :valid], atol=1e-5)
        assert close is alike


@pytest.mark.parametrize("plugin, beside, on", CASES + GROWING)
def test_bfloat16_autocast_keeps_shapes_and_stays_finite(plugin, beside, on):
    network = built(plugin, beside, on)
    expected, lens, _ = built(plugin, beside, on).eval()(*features(66, 31))
    with torch.autocast("cpu", torch.bfloat16):
        y, lengths, _ = network(*features(66, 31))
        y.float().square().sum().backward()
        again = network.eval()(*features(66, 31))[0]
    assert y.shape == expected.shape and torch.equal(lengths, lens)
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert all(torch.isfinite(value).all() for value in (y.float(), *gradients))
    if not merged(beside, on).get("conv_norm", "layer_norm").endswith("batch_norm"):
        torch.testing.assert_close(again.float(), expected, rtol=0.1, atol=0.3)


@pytest.mark.slow
@pytest.mark.parametrize("plugin, beside, on", CASES + GROWING)
def test_a_captured_graph_gives_the_same_output_in_both_modes(plugin, beside, on):
    """torch.compile with the eager backend: shapes and masks can be traced."""
    torch._dynamo.reset()
    for training in (False, True):
        network = built(plugin, beside, on).train(training)
        compiled = torch.compile(built(plugin, beside, on), backend="eager")
        compiled.train(training)
        outputs = []
        for each in (network, compiled):
            torch.manual_seed(5)
            outputs.append(each(*features(66, 31))[:2])
        torch.testing.assert_close(outputs[0][0], outputs[1][0])
        assert torch.equal(outputs[0][1], outputs[1][1])
