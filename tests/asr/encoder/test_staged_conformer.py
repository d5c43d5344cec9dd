"""Options, growth, chunking and padding of the Conformer encoder."""

import pytest
import torch

from espnet_ext.asr.encoder.conformer_parts import SqueezeExcitation
from espnet_ext.asr.encoder.staged_conformer import StagedConformerEncoder
from espnet_ext.layers.dropout import FeatureDropout
from espnet_ext.layers.growing import Axis
from espnet_ext.layers.relative_positions import sinusoid_table
from espnet_ext.streams import Streams, attach

TINY = dict(
    frontend={"type": "blstm", "hidden_size": 3, "time_pooling": [3, 2]},
    num_layers=4,
    model_size=12,
    feed_forward_size=24,
    num_heads=3,
    conv_kernel_size=4,
    input_dropout=0.0,
    dropout=0.0,
    attention_dropout=0.0,
)
GROWTH = {"layers": [2], "epochs": [3]}


def encoder(seed=0, **options):
    torch.manual_seed(seed)
    return StagedConformerEncoder(5, **{**TINY, **options})


def batch(frames=(50, 31)):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(len(frames), max(frames), 5, generator=generator), torch.tensor(
        frames
    )


def output(seed=0, training=True, **options):
    network = encoder(**options).train(training)
    torch.manual_seed(seed)
    return network(*batch())[0]


REGULARISED = dict(
    dropout=0.3,
    attention_dropout=0.3,
    position_dropout=0.3,
    input_dropout=0.3,
    attention_residual_dropout=True,
    weight_noise_std=0.1,
    weight_dropout=0.1,
    stochastic_depth=0.5,
    chunk_size=4,
    attention_gradient_decay=0.1,
    attention_gradient_dropout=0.1,
    attention_gradient_reset=0.1,
)


def test_evaluation_is_deterministic_and_without_any_regularisation():
    first = output(1, training=False, **REGULARISED)
    assert torch.equal(first, output(2, training=False, **REGULARISED))
    assert torch.equal(first, output(training=False))
    assert not torch.equal(output(1, **REGULARISED), output(2, **REGULARISED))


@pytest.mark.parametrize("mask", ["shared", "elementwise"])
@pytest.mark.parametrize("inner", ["whole_module", "shared", "elementwise"])
def test_dropout_in_both_fidelities_runs_and_differs(mask, inner):
    options = dict(dropout=0.3, dropout_mask=mask, feed_forward_dropout=inner)
    y = output(3, **options)
    assert torch.isfinite(y).all() and not torch.equal(y, output(4, **options))


def test_inner_feed_forward_dropout_of_the_original_drops_everything_or_nothing():
    network = encoder(dropout=0.5)
    seen = []
    network.layers[0].ffn1.dropout.register_forward_hook(
        lambda _, args, out: seen.append((out == 0).float().mean())
    )
    torch.manual_seed(0)
    for _ in range(20):
        network(*batch((12, 12)))  # no padding, whose frames are zero anyway
    assert {float(share) for share in seen} == {0.0, 1.0}


def test_the_same_position_mask_serves_all_layers_or_each_has_its_own():
    for form, distinct in (("same", 1), ("per_layer", 4)):
        network = encoder(position_dropout=0.5, position_dropout_mask=form)
        tables = []
        for layer in network.layers:
            layer.register_forward_hook(lambda _, args, out: tables.append(args[2]))
        network(*batch())
        assert len({tuple(table.flatten().tolist()) for table in tables}) == distinct


@pytest.mark.parametrize(
    "options, parameters",
    [
        ({"frontend": {"type": "blstm"}}, 51_716_096),
        ({"frontend": {"type": "conv_blstm"}}, 52_872_544),
        ({"frontend": {"type": "strided_conv"}}, 43_309_504),
        ({"model_size": 512, "feed_forward_size": 2048, "num_heads": 4}, 76_171_648),
        (
            {
                "frontend": {"type": "swish_conv"},
                "input_norm": "layer_norm",
                "conv_kernel_size": 8,
                "conv_norm": "layer_norm",
                "positions": "shaw",
                "block": "double_convolution",
            },
            46_582_752,
        ),
        (
            {
                "frontend": {"type": "blstm"},
                "model_size": 512,
                "feed_forward_size": 2048,
                "num_heads": 8,
                "positions": "shaw",
            },
            81_818_368,
        ),
    ],
    ids=["blstmf2", "cnnblstmf2", "convwei", "conformer", "old_moh", "old_nick"],
)
def test_parameter_counts_are_those_of_the_original(options, parameters):
    """reference/models.md d.7, (c), (h)."""
    options = {
        **dict(model_size=384, feed_forward_size=1536, num_heads=6),
        **options,
    }
    with torch.device("meta"):
        network = StagedConformerEncoder(40, **options)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("kernel, parameters", [(32, 3_563_520), (8, 3_554_304)])
def test_parameter_count_of_one_layer(kernel, parameters):
    with torch.device("meta"):
        network = StagedConformerEncoder(
            40,
            num_layers=1,
            model_size=384,
            feed_forward_size=1536,
            num_heads=6,
            conv_kernel_size=kernel,
        )
    assert sum(p.numel() for p in network.layers[0].parameters()) == parameters


def test_a_growing_stage_equals_a_smaller_network_with_the_same_weights():
    grown = encoder(growth=GROWTH, conv_norm="batch_norm")
    grown.set_epoch(1)
    assert (grown.stage.layers, grown.stage.model) == (2, 6)
    small = encoder(num_layers=2, model_size=6, feed_forward_size=12)
    masks = grown.used_entries()
    state = grown.state_dict()
    small.load_state_dict(
        {
            name: (
                state[name][masks[name]].view(tensor.shape)
                if name in masks
                else state[name]
            )
            for name, tensor in small.state_dict().items()
        }
    )
    x, lengths = batch()
    y, lens, _ = grown(x, lengths)
    expected, expected_lens, _ = small(x, lengths)
    torch.testing.assert_close(y[..., :6], expected)
    assert (y[..., 6:] == 0).all() and torch.equal(lens, expected_lens)


def test_only_what_a_stage_uses_gets_a_gradient():
    network = encoder(growth=GROWTH)
    network.set_epoch(1)
    network(*batch())[0].square().sum().backward()
    masks = network.used_entries()
    for name, parameter in network.named_parameters():
        if name in masks:
            unused = ~masks[name]
            gradient = parameter.grad
            assert gradient is None or (gradient[unused] == 0).all(), name


def test_dropouts_grow_with_the_width_except_that_of_the_input():
    options = dict(dropout=0.2, attention_dropout=0.1, input_dropout=0.1)
    network = encoder(growth=GROWTH, position_dropout=0.4, **options)
    network.set_epoch(1)
    assert network.layers[0].dropout.rate == pytest.approx(0.1)
    assert network.layers[0].attention.dropout.rate == pytest.approx(0.05)
    assert network.position_dropout.rate == pytest.approx(0.2)
    assert network.frontend.dropout.rate == pytest.approx(0.1)
    assert network.input_dropout.rate == 0.1
    network.set_epoch(4)
    assert network.layers[0].dropout.rate == pytest.approx(0.2)


def test_regularisation_can_begin_later_than_growth_ends():
    """prerep6noreg: no dropout up to sub-epoch 25."""
    growth = {**GROWTH, "width": False, "regularise_from_epoch": 6}
    network = encoder(growth=growth, dropout=0.2, input_dropout=0.1)
    for epoch, rate in ((1, 0.0), (5, 0.0), (6, 0.2)):
        network.set_epoch(epoch)
        assert network.layers[0].dropout.rate == rate
        assert network.input_dropout.rate == 0.1


def test_the_stage_is_part_of_the_checkpoint_and_averages_over_stages_are_refused():
    network = encoder(growth=GROWTH)
    network.set_epoch(2)
    restored = encoder(growth=GROWTH)
    restored.load_state_dict(network.state_dict())
    assert restored.stage == network.stage
    state = network.state_dict()
    state["active_layers"] = torch.tensor(3.0)
    with pytest.raises(ValueError, match="3.0 active layers"):
        restored.load_state_dict(state)


def test_outputs_of_layers_are_given_by_number_as_far_as_they_exist():
    network = encoder(growth=GROWTH)
    x, lengths = batch()
    network.set_epoch(1)
    (y, outputs), _, _ = network(x, lengths, aux_layers=[2, 4])
    assert [number for number, _ in outputs] == [2]
    assert torch.equal(outputs[0][1], y)
    network.set_epoch(4)
    (y, outputs), _, _ = network(x, lengths, aux_layers=[2, 4])
    assert [number for number, _ in outputs] == [2, 4]
    assert torch.equal(outputs[1][1], y) and not torch.equal(outputs[0][1], y)


def test_weight_noise_comes_from_its_own_stream_and_renames_nothing():
    network = encoder(weight_noise_std=0.1)
    names = set(network.state_dict())
    streams = Streams(1)
    attach(network, streams)
    assert network.weight_noise.generator is streams.generator("noise")
    x, lengths = batch()

    def run(seed):
        network.weight_noise.generator = torch.Generator().manual_seed(seed)
        return network(x, lengths)[0]

    assert torch.equal(run(1), run(1)) and not torch.equal(run(1), run(2))
    run(1).sum().backward()
    assert set(network.state_dict()) == names == set(encoder().state_dict())
    assert network.layers[0].ffn1.linear_ff.weight.grad is not None


def test_stochastic_depth_skips_upper_layers_at_the_stated_rate():
    network = encoder(stochastic_depth=0.5)
    calls = [0] * 4
    for number, layer in enumerate(network.layers):
        layer.register_forward_hook(
            lambda *_, n=number: calls.__setitem__(n, calls[n] + 1)
        )
    torch.manual_seed(0)
    x, lengths = batch((12,))
    for _ in range(200):
        network(x, lengths)
    for number, count in enumerate(calls, start=1):
        # four standard deviations of 200 draws
        assert abs(count / 200 - (1 - 0.5 * number / 4)) < 4 * 0.0354


def test_a_layer_that_is_kept_has_its_branches_scaled_and_one_that_is_not_no_gradient():
    """Huang et al. 2016: branches by 1 / (probability to be kept)."""
    network = encoder(stochastic_depth=0.6, num_layers=2)
    x, lengths = batch((12,))
    seen = set()
    for seed in range(20):
        network.zero_grad(set_to_none=True)
        torch.manual_seed(seed)
        y, lens, _ = network(x, lengths)
        y.square().sum().backward()
        kept = []
        for layer in network.layers:
            kept.append(layer.ffn1.linear_ff.weight.grad is not None)
        seen.add(tuple(kept))
        inner, _ = network.frontend(x, lengths)
        inner = network.input_projection(inner)
        table = sinusoid_table(inner.size(1), inner.size(2))
        for layer, use, skip in zip(network.layers, kept, (0.3, 0.6)):
            if use:
                inner = layer(inner, lens, table, 1.0 / (1.0 - skip))
        torch.testing.assert_close(y, inner)
    assert len(seen) == 4


def test_squeeze_and_excitation_equals_its_formula_and_finite_differences():
    part = SqueezeExcitation(Axis("model", 4), 2).double()
    lengths = torch.tensor([3, 2])
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    y = part(x, lengths)
    for b, length in enumerate(lengths.tolist()):
        mean = sum(x[b, t] for t in range(length)) / length
        hidden = part.squeeze.weight @ mean + part.squeeze.bias
        hidden = hidden / (1 + (-hidden).exp())
        factor = 1 / (1 + (-(part.excite.weight @ hidden + part.excite.bias)).exp())
        torch.testing.assert_close(y[b], x[b] * factor)
    parameters = list(part.parameters())
    assert torch.autograd.gradcheck(lambda v, *_: part(v, lengths), (x, *parameters))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"conv_norm": "groupnorm"}, "conv_norm 'groupnorm'"),
        ({"residual": "none"}, "residual 'none'"),
        ({"block": "triple"}, "block 'triple'"),
        ({"chunk_tail": "lost"}, "chunk_tail 'lost'"),
        ({"chunk_size": 4, "chunk_stride": 5}, "chunk_size 4 and chunk_stride 5"),
        ({"chunk_size": 0}, "chunk_size 0"),
        ({"stochastic_depth": 1.0}, "stochastic_depth 1.0"),
        ({"squeeze_excitation": 0}, "squeeze_excitation 0"),
        ({"weight_noise_std": -0.1}, "weight_noise_std -0.1"),
        ({"weight_dropout": 1.0}, "weight_dropout 1.0"),
        ({"weight_noise_each": "epoch"}, "weight_noise_each 'epoch'"),
        ({"growth": GROWTH, "model_size": 3}, "leaves nothing for 3 heads"),
        ({"padding": "hidden"}, "padding 'hidden'"),
        ({"feed_forward_dropout": "half"}, "feed_forward_dropout 'half'"),
        ({"position_dropout_mask": "two"}, "position_dropout_mask 'two'"),
        ({"growth": {"layers": [2], "epoch": [1]}}, "no option 'epoch'"),
        ({"growth": {"layers": [5], "epochs": [1]}}, "must rise"),
        ({"model_size": 10}, "not a multiple of 3 heads"),
    ],
    ids=str,
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        encoder(**options)


def test_float64_runs():
    x, lengths = batch()
    assert encoder().double()(x.double(), lengths)[0].dtype is torch.float64


def test_every_dropout_of_the_encoder_follows_the_given_mask():
    network = encoder(dropout_mask="elementwise", feed_forward_dropout="elementwise")
    kinds = {m.mask for m in network.modules() if isinstance(m, FeatureDropout)}
    assert kinds == {"elementwise"}
