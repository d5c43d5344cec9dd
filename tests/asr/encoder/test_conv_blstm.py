"""Shapes, growth and padding of the BLSTM encoder."""

import pytest
import torch

from espnet_ext.asr.decoder.lstm_transducer import LstmTransducerDecoder
from espnet_ext.asr.encoder.conv_blstm import ConvBlstmEncoder, pooling_of_layers


def start_encoder(**options):
    return ConvBlstmEncoder(
        10, [3, 3], [2, 2], num_layers=6, hidden_size=4, dropout=0.0, **options
    )


@pytest.mark.parametrize(
    "layers, expected",
    [(2, [6, 1]), (3, [3, 2, 1]), (4, [3, 2, 1, 1]), (6, [3, 2, 1, 1, 1, 1])],
)
def test_total_reduction_is_six_in_every_growing_stage(layers, expected):
    assert pooling_of_layers([3, 2], layers) == expected


@pytest.mark.parametrize("frames", [1, 5, 6, 7, 97])
def test_number_of_frames_is_a_sixth_rounded_up(frames):
    encoder = start_encoder()
    y, lengths, _ = encoder(torch.randn(2, frames, 10), torch.tensor([frames, 1]))
    assert lengths.tolist() == [-(-frames // 6), 1]
    assert y.shape == (2, -(-frames // 6), 8)
    assert (y[1, 1:] == 0).all()


def test_pooling_in_the_convolutions_multiplies_the_reduction():
    encoder = start_encoder(conv_time_pooling=[2, 1])
    y, lengths, _ = encoder(torch.randn(2, 25, 10), torch.tensor([25, 13]))
    assert y.size(1) == 3 and lengths.tolist() == [3, 2]


@pytest.mark.parametrize("time_pooling", [(3, 2), ()])
@pytest.mark.parametrize("frames", [13, 24])
def test_evaluation_is_the_same_without_a_gradient(time_pooling, frames):
    """Bounds: the order of additions; some rounding steps of bfloat16 at 4."""
    torch.manual_seed(2)
    encoder = start_encoder(time_pooling=time_pooling, layer_norm=True).eval()
    x, lengths = torch.randn(3, frames, 10), torch.tensor([frames, frames - 4, 2])
    expected, expected_lengths, _ = encoder(x, lengths)
    assert expected.requires_grad
    with torch.no_grad():
        found, found_lengths, _ = encoder(x, lengths)
        assert found.is_contiguous() and torch.equal(found_lengths, expected_lengths)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(
                encoder(x, lengths)[0].float(), expected, atol=0.25, rtol=0
            )


def test_layer_norm_gives_frames_of_mean_zero():
    x, lengths = torch.randn(1, 12, 10), torch.tensor([12])

    def output(**options):
        torch.manual_seed(0)
        return start_encoder(**options)(x, lengths)[0]

    normalised = output(layer_norm=True)
    torch.testing.assert_close(
        normalised.mean(2), torch.zeros_like(normalised[..., 0]), atol=1e-6, rtol=0
    )


def test_time_can_be_reduced_in_the_convolutions_alone():
    encoder = start_encoder(conv_time_pooling=[2, 2], time_pooling=[])
    _, lengths, _ = encoder(torch.randn(1, 13, 10), torch.tensor([13]))
    assert lengths.tolist() == [4]


def test_unknown_activation_is_named():
    with pytest.raises(ValueError, match="conv_activation 'rlu'"):
        start_encoder(conv_activation="rlu")


def test_start_grows_from_two_layers_by_one_every_two_epochs():
    encoder = start_encoder(growth_start_layers=2, growth_epochs_per_layer=2)
    grown = [encoder.layers_at_epoch(epoch) for epoch in range(1, 13)]
    assert grown == [2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 6, 6]


def test_only_active_layers_get_a_gradient_and_depth_is_in_the_checkpoint():
    encoder = start_encoder(growth_start_layers=2)
    encoder.set_epoch(3)
    y, _, _ = encoder(torch.randn(1, 12, 10), torch.tensor([12]))
    y.sum().backward()
    has_gradient = [
        layer.forward_lstm.bias.grad is not None for layer in encoder.layers
    ]
    assert has_gradient == [True] * 3 + [False] * 3
    restored = start_encoder(growth_start_layers=2)
    restored.load_state_dict(encoder.state_dict())
    assert int(restored.active_layers) == 3


def test_an_average_over_growing_stages_is_refused():
    encoder = start_encoder(growth_start_layers=2)
    encoder.active_layers.fill_(2.5)
    with pytest.raises(ValueError, match="different depth"):
        encoder(torch.randn(1, 12, 10), torch.tensor([12]))


def test_parameter_count_of_the_full_model_is_that_of_the_original():
    """reference/models.md (b): 148,865,731 with 1,030 labels; ours has one embedding
    row more, for blank."""
    with torch.device("meta"):
        encoder = ConvBlstmEncoder(40)
        decoder = LstmTransducerDecoder(1031, 2048, joint={"attention": {}})
    count = sum(p.numel() for m in (encoder, decoder) for p in m.parameters())
    assert count - 256 == 148_865_731


@pytest.mark.parametrize(
    "layers, expected",
    [(2, 48_169_667), (3, 73_343_683), (4, 98_517_699), (5, 123_691_715)],
)
def test_parameter_count_of_each_growing_stage(layers, expected):
    with torch.device("meta"):
        encoder = ConvBlstmEncoder(40, num_layers=layers)
        decoder = LstmTransducerDecoder(1031, 2048, joint={"attention": {}})
    count = sum(p.numel() for m in (encoder, decoder) for p in m.parameters())
    assert count - 256 == expected
