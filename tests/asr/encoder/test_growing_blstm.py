"""The BLSTM encoder that grows in width: stages, equality with the small network."""

import pytest
import torch
from espnet2.asr.ctc import CTC

from espnet_ext.asr.decoder.lstm_transducer import LstmTransducerDecoder
from espnet_ext.asr.encoder.conv_blstm import ConvBlstmEncoder, blstm_stages
from espnet_ext.asr.transducer_model import TransducerModel
from tests.asr.tiny import tiny_batch

SIZES = {2: 4, 3: 6, 4: 8}  # layers to units a direction


def encoder(copy="blocks", layers=4, units=8, grows=True):
    growth = {"growth_start_layers": 2, "growth_epochs_per_layer": 5}
    return ConvBlstmEncoder(
        8,
        [2],
        [2],
        num_layers=layers,
        hidden_size=units,
        time_pooling=[2],
        dropout=0.3,
        growth_copy=copy,
        **({"growth_start_fraction": 0.5, **growth} if grows else {}),
    )


def model(encoder, **joint):
    decoder = LstmTransducerDecoder(
        6,
        encoder.output_size(),
        embedding_size=3,
        hidden_size=4,
        joint={"readout_size": 8, "attention": {"key_size": 3}, **joint},
    )
    return TransducerModel(
        vocab_size=6,
        token_list=["<blank>", "a", "b", "c", "d", "<sos/eos>"],
        frontend=None,
        specaug=None,
        normalize=None,
        preencoder=None,
        encoder=encoder,
        postencoder=None,
        decoder=decoder,
        ctc=CTC(6, encoder.output_size()),
    )


def test_stages_are_those_of_the_table_of_orig():
    """reference/models.md (a), growth pretraining."""
    stages = blstm_stages(6, 1024, 2, 0.5)
    assert [(s.layers, s.units, 0.3 * s.fraction) for s in stages] == [
        (2, 512, 0.15),
        (3, 640, 0.1875),
        (4, 768, pytest.approx(0.225)),
        (5, 896, 0.2625),
        (6, 1024, 0.3),
    ]


def test_dropout_follows_the_stage_and_the_output_keeps_its_size():
    grown = encoder().eval()
    for epoch, layers in ((1, 2), (5, 2), (6, 3), (11, 4), (99, 4)):
        grown.set_epoch(epoch)
        assert grown.stage.layers == layers and grown.stage.units == SIZES[layers]
        assert grown.dropout.rate == pytest.approx(0.3 * SIZES[layers] / 8)
        y, _, _ = grown(torch.randn(1, 6, 8), torch.tensor([6]))
        assert y.shape == (1, 3, 16)
        assert (y != 0).sum() == 3 * 2 * SIZES[layers]


@pytest.mark.parametrize("copy, zeros", [("blocks", [12, 16]), ("halves", [6, 8])])
def test_unused_features_are_behind_all_or_behind_each_direction(copy, zeros):
    grown = encoder(copy).eval()
    grown.set_epoch(6)
    y, _, _ = grown(torch.randn(1, 6, 8), torch.tensor([6]))
    assert (y[..., slice(*zeros)] == 0).all() and (y[..., 0] != 0).all()


def copied(large, small):
    """Put the small model's parameters where the stage of the large one uses them."""
    masks, source = large.used_entries(), dict(small.named_parameters())
    joint = "decoder.joint_network.readout_{}.weight"
    both = [joint.format(part) for part in ("am", "lm")]
    with torch.no_grad():
        target = dict(large.named_parameters())
        if large.encoder.growth_copy == "blocks":
            whole = torch.cat([target[name] for name in both], 1)
            used = torch.cat([masks[name] for name in both], 1)
            whole[used] = torch.cat([source[name] for name in both], 1).flatten()
            width = target[both[0]].size(1)
            target[both[0]].copy_(whole[:, :width])
            target[both[1]].copy_(whole[:, width:])
        for name, parameter in source.items():
            if name in both and large.encoder.growth_copy == "blocks":
                continue
            mask = masks.get(name, torch.ones(parameter.shape, dtype=torch.bool))
            target[name][mask] = parameter.flatten()


@pytest.mark.parametrize("copy", ["blocks", "halves"])
@pytest.mark.parametrize("epoch, layers", [(1, 2), (6, 3)])
def test_a_stage_computes_what_the_small_network_did(copy, epoch, layers):
    """Loss, and gradients of everything in use; what is not has none."""
    torch.manual_seed(0)
    joint = {"readout_matrix": "single"}
    large = model(encoder(copy), **joint).eval()
    small = model(encoder(copy, layers, SIZES[layers], False), **joint).eval()
    large.set_epoch(epoch)
    copied(large, small)
    losses = []
    for part in (large, small):
        loss, _, _ = part(**tiny_batch())
        loss.backward()
        losses.append(loss.detach())
    torch.testing.assert_close(*losses)
    masks = large.used_entries()
    ours, theirs = (
        sum(
            float(p.grad.double().square().sum())
            for p in m.parameters()
            if p.grad is not None
        )
        for m in (large, small)
    )
    assert ours == pytest.approx(theirs, rel=1e-5)
    for name, parameter in large.named_parameters():
        if name in masks and parameter.grad is not None:
            assert (parameter.grad[~masks[name]] == 0).all(), name


def test_the_stage_comes_back_with_a_checkpoint():
    torch.manual_seed(0)
    first = model(encoder()).eval()
    first.set_epoch(6)
    expected = first(**tiny_batch())[0]
    second = model(encoder()).eval()
    second.load_state_dict(first.state_dict())
    assert second.encoder.stage.layers == 3
    torch.testing.assert_close(second(**tiny_batch())[0], expected)


def test_impossible_growth_options_are_refused():
    with pytest.raises(ValueError, match="growth_copy 'rows'"):
        encoder("rows")
    with pytest.raises(ValueError, match="growth_start_fraction 0.0"):
        ConvBlstmEncoder(8, growth_start_fraction=0.0)


@pytest.mark.parametrize("option", ["std", "dropout"])
def test_noise_on_weights_acts_in_training_alone_and_leaves_the_parameters(option):
    noisy = ConvBlstmEncoder(8, [2], [2], num_layers=2, hidden_size=3, dropout=0.0)
    before = {n: p.clone() for n, p in noisy.state_dict().items()}
    batch = torch.randn(1, 8, 8), torch.tensor([8])
    plain = noisy.train()(*batch)[0]
    setattr(noisy.weight_noise, option, 0.3)
    noisy.weight_noise.generator = torch.Generator().manual_seed(1)
    first, second = noisy(*batch)[0], noisy(*batch)[0]
    noisy.weight_noise.generator.manual_seed(1)
    torch.testing.assert_close(noisy(*batch)[0], first)
    assert not torch.allclose(first, second) and not torch.allclose(first, plain)
    torch.testing.assert_close(noisy.eval()(*batch)[0], plain)
    assert all(torch.equal(p, before[n]) for n, p in noisy.state_dict().items())
