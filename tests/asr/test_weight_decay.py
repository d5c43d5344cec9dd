"""Weight decay: on which parameters, with which gradient, and when not."""

import numpy as np
import pytest
import torch
from espnet2.asr.ctc import CTC

from espnet_ext.asr.attention_model import AttentionModel
from espnet_ext.asr.ctc_model import CtcModel
from espnet_ext.asr.decoder.extended_transducer import ExtendedTransducerDecoder
from espnet_ext.asr.decoder.lstm_transducer import LstmTransducerDecoder
from espnet_ext.asr.decoder.mlp_attention import MlpAttentionDecoder
from espnet_ext.asr.encoder.conv_blstm import ConvBlstmEncoder
from espnet_ext.asr.encoder.staged_conformer import StagedConformerEncoder
from espnet_ext.asr.transducer_model import TransducerModel
from espnet_ext.asr.weight_decay import WeightDecay, WeightDecayOptions
from espnet_ext.interop.without_dropout import disable_dropout

TOKENS = ["<blank>", "a", "b", "c", "<sos/eos>"]
# factors that tell apart where each one goes
L2 = {
    "encoder": 1.0,
    "frontend": 2.0,
    "attention_key": 3.0,
    "prediction_network": 4.0,
    "readout": 5.0,
}


def conformer(**options):
    torch.manual_seed(0)
    options = {"growth": None, "frontend": {"type": "blstm"}, **options}
    options["frontend"] = {"hidden_size": 3, **options["frontend"]}
    if options["frontend"]["type"] == "conv":
        options["frontend"] = {"type": "conv", "conv_channels": [2, 2]}
    return StagedConformerEncoder(
        6,
        num_layers=3,
        model_size=8,
        feed_forward_size=16,
        num_heads=2,
        conv_kernel_size=4,
        **options,
    )


def blstm(**growth):
    torch.manual_seed(0)
    return ConvBlstmEncoder(
        6, [2], [2], num_layers=3, hidden_size=4, time_pooling=[2], **growth
    )


def model(encoder=None, kind=TransducerModel, l2=None, **options):
    torch.manual_seed(1)
    encoder = encoder or conformer()
    decoder = None
    if kind is TransducerModel:
        joint = {"readout_size": 8, "attention": {"key_size": 3}}
        decoder = LstmTransducerDecoder(
            5, encoder.output_size(), embedding_size=3, hidden_size=4, joint=joint
        )
    elif kind is AttentionModel:
        decoder = MlpAttentionDecoder(
            5,
            encoder.output_size(),
            embedding_size=3,
            hidden_size=4,
            key_size=3,
            readout_size=8,
        )
    built = kind(
        vocab_size=5,
        token_list=TOKENS,
        frontend=None,
        specaug=None,
        normalize=None,
        preencoder=None,
        encoder=encoder,
        postencoder=None,
        decoder=decoder,
        ctc=CTC(5, encoder.output_size()),
        l2=L2 if l2 is None else l2,
        loss_reduction="sum",
        **options,
    )
    return disable_dropout(built.train())


def batch():
    generator = torch.Generator().manual_seed(2)
    return {
        "speech": torch.randn(2, 40, 6, generator=generator),
        "speech_lengths": torch.tensor([40, 31]),
        "text": torch.tensor([[1, 2, 3], [2, 1, -1]]),
        "text_lengths": torch.tensor([3, 2]),
    }


def factors(built):
    return built.weight_decay.factors()


def names(built, *starts):
    return {n for n, _ in built.named_parameters() if n.startswith(starts)}


def test_the_default_sets_of_a_transducer():
    """reference/parts.md 1: encoder with frontend, enc_ctx, decoder LM; nothing else.

    Not the query, the readout, any output layer or the auxiliary outputs.
    """
    built = model(
        aux_ctc={"layers": [2], "form": "ff"},
        l2={n: f for n, f in L2.items() if n != "readout"},
    )
    found = factors(built)
    expected = {}
    for name in names(built, "encoder."):
        expected[name] = 2.0 if name.startswith("encoder.frontend.") else 1.0
    for name in names(built, "decoder.joint_network.attention.key."):
        expected[name] = 3.0
    for name in names(built, "decoder.embedding", "decoder.lstm."):
        expected[name] = 4.0
    assert found == expected
    key = "decoder.joint_network.attention.key"
    assert {f"{key}.weight", f"{key}.bias"} <= set(found)
    assert {"decoder.embedding", "decoder.embedding_bias"} <= set(found)


def test_wdro_adds_both_readout_matrices_and_the_bias():
    """reference/parts.md 2.4."""
    built = model()
    joint = "decoder.joint_network.readout"
    found = {n for n, f in factors(built).items() if f == 5.0}
    assert found == {f"{joint}_am.weight", f"{joint}_lm.weight", f"{joint}_bias"}


def test_wdf_keeps_matrices_and_what_a_frontend_has_of_its_own():
    """reference/parts.md 2.4: no bias, norm or convolution of encoder and enc_ctx.

    The BLSTM frontend's class default stays for its biases; the decoder's LM keeps all.
    """
    built = model(l2={**L2, "encoder_parameters": "weights"})
    found = factors(built)
    encoder = {n for n in found if n.startswith("encoder.layers.")}
    assert encoder and all(n.endswith(".weight") for n in encoder)
    assert not any("norm" in n or "depthwise" in n for n in encoder)
    assert any(".attention.qkv.weight" in n for n in encoder)
    assert not any("pos_bias" in n or "bias" in n for n in encoder)
    assert "encoder.input_projection.weight" in found
    frontend = {n for n in found if n.startswith("encoder.frontend.")}
    assert frontend == names(built, "encoder.frontend.")
    assert "decoder.joint_network.attention.key.weight" in found
    assert "decoder.joint_network.attention.key.bias" not in found
    assert "decoder.lstm.bias" in found and "decoder.embedding_bias" in found


def test_another_factor_of_the_attention_s_projection():
    built = model(l2={**L2, "attention_qkv": 0.0})
    assert names(built, "encoder.layers.0.attention.proj") < set(factors(built))
    assert not any(".qkv." in name for name in factors(built))
    assert any(".qkv." in name for name in factors(model()))


def test_the_extended_decoder_has_factors_of_its_own():
    """Reference: models.md "2020 extended transducer", where the slow LSTM has none."""
    sizes = {"embedding_size": 3, "hidden_size": 4, "fast_size": 4, "readout_size": 8}
    decoder = ExtendedTransducerDecoder(
        5, 6, bottleneck_size=4, attention={"key_size": 3}, **sizes
    )
    options = WeightDecayOptions(attention_key=3.0, fast_network=6.0)
    found = WeightDecay(torch.nn.ModuleDict({"decoder": decoder}), options).full
    fast = {f"decoder.fast.{name}" for name, _ in decoder.fast.named_parameters()}
    assert found == {"decoder.attention.key.weight": 3.0, **dict.fromkeys(fast, 6.0)}
    options = WeightDecayOptions(prediction_network=4.0)
    found = WeightDecay(torch.nn.ModuleDict({"decoder": decoder}), options).full
    assert {name.split(".")[1] for name in found} == {"embedding", "slow"}


@pytest.mark.parametrize("kind", [TransducerModel, CtcModel, AttentionModel])
def test_objective_and_gradient_are_those_of_a_sum_of_squares(kind):
    """For all three models: the loss alone against loss plus the explicit term."""
    plain, decaying = model(kind=kind, l2={}), model(kind=kind)
    loss = plain(**batch())[0]
    term = 0.0
    for name, parameter in plain.named_parameters():
        term = term + factors(decaying).get(name, 0.0) * parameter.square().sum()
    (loss.sum() + term).backward()
    ours, stats, _ = decaying(**batch())
    ours.sum().backward()
    assert "l2" not in plain(**batch())[1]
    statistics = sum(  # corrections.md 7; the factor of the encoder is 1
        float(buffer.double().square().sum())
        for name, buffer in decaying.named_buffers()
        if name.endswith(("running_mean", "running_var"))
    )
    assert float(stats["loss"]) == pytest.approx(loss.item() / 2, rel=1e-6)
    assert float(stats["l2"]) == pytest.approx(term.item() + statistics, rel=1e-6)
    for (name, one), (_, other) in zip(
        plain.named_parameters(), decaying.named_parameters()
    ):
        if one.grad is not None:
            np.testing.assert_allclose(other.grad, one.grad, rtol=1e-4, atol=1e-5)


def test_the_trainer_s_gradients_are_those_of_the_objective():
    inside, outside = model(), model()
    outside.trainer_adds_decay = True
    for built in (inside, outside):
        for _ in range(3):  # three batches of one update
            built(**batch())[0].sum().backward()
    outside.weight_decay.add_gradients(3)
    for (name, one), (_, other) in zip(
        inside.named_parameters(), outside.named_parameters()
    ):
        if one.grad is not None:
            np.testing.assert_allclose(other.grad, one.grad, rtol=1e-4, atol=1e-4)


def test_running_statistics_are_counted_as_the_original_does():
    """reference/corrections.md 7; not with matrices alone, where norms do not decay."""
    built = model()
    before = float(built.weight_decay.value())
    norm = built.encoder.layers[1].conv.norm
    squares = float(norm.running_mean.square().sum() + norm.running_var.square().sum())
    with torch.no_grad():
        norm.running_mean.fill_(2.0)
        norm.running_var.fill_(3.0)
    size = norm.running_mean.numel()
    change = size * (4.0 + 9.0) - squares
    assert float(built.weight_decay.value()) == pytest.approx(before + change)
    matrices = model(l2={**L2, "encoder_parameters": "weights"})
    value = float(matrices.weight_decay.value())
    with torch.no_grad():
        matrices.encoder.layers[1].conv.norm.running_mean.fill_(2.0)
    assert float(matrices.weight_decay.value()) == value


GROWTH = {"layers": [1, 2], "epochs": [2, 2]}


@pytest.mark.parametrize("epoch, layers", [(1, 1), (3, 2), (5, 3)])
def test_what_is_not_in_use_yet_neither_counts_nor_decays(epoch, layers):
    """The value is that of a network that has only the entries in use."""
    built = model(conformer(growth=GROWTH))
    built.set_epoch(epoch)
    masks = built.used_entries()
    expected = 0.0
    state = {**dict(built.named_parameters()), **dict(built.named_buffers())}
    for name, value in state.items():
        decays = name in factors(built) or "running_" in name
        if decays:
            factor = factors(built).get(name, 1.0)
            used = value[masks[name]] if name in masks else value
            expected += factor * float(used.detach().double().square().sum())
    assert float(built.weight_decay.value()) == pytest.approx(expected)
    built.trainer_adds_decay = True
    built(**batch())[0].sum().backward()
    plain = {
        n: p.grad.clone() for n, p in built.named_parameters() if p.grad is not None
    }
    built.weight_decay.add_gradients(1)
    for name, parameter in built.named_parameters():
        if parameter.grad is None:
            continue
        unused = ~masks.get(name, torch.ones_like(parameter, dtype=torch.bool))
        assert torch.equal(parameter.grad[unused], plain[name][unused]), name
        assert not parameter.grad[unused].any(), name
    above = [n for n in masks if f"encoder.layers.{layers}." in n]
    assert bool(above) == (layers < 3)
    for name in above:
        parameter = state[name]
        assert getattr(parameter, "grad", None) is None or not parameter.grad.any()


def test_layers_of_a_blstm_above_the_active_ones_do_not_decay():
    built = model(blstm(growth_start_layers=2, growth_epochs_per_layer=2))
    built.set_epoch(1)
    two = float(built.weight_decay.value())
    with torch.no_grad():
        for parameter in built.encoder.layers[2].parameters():
            parameter.add_(100.0)
    assert float(built.weight_decay.value()) == two
    built.set_epoch(3)
    assert float(built.weight_decay.value()) > two + 100.0


def test_decay_begins_with_its_sub_epoch():
    built = model(l2={**L2, "regularise_from_epoch": 26})
    built.set_epoch(25)
    assert factors(built) == {} and float(built.weight_decay.value()) == 0.0
    built.set_epoch(26)
    assert factors(built) and float(built.weight_decay.value()) > 0.0


def test_decay_scaled_by_growth_is_zero_in_the_first_stage():
    """old_nick: times the growth fraction, of the encoder alone."""
    growing = {"layers": [1, 2], "epochs": [2, 2]}
    built = model(conformer(growth=growing), l2={**L2, "scaled_by_growth": True})
    name, other = "encoder.layers.0.attention.qkv.weight", "decoder.lstm.bias"
    for epoch, fraction in ((1, 0.0), (3, 0.5), (5, 1.0)):
        built.set_epoch(epoch)
        assert factors(built)[name] == fraction
        assert factors(built)[other] == 4.0


def test_evaluation_reports_no_decay():
    built = model().eval()
    assert "l2" not in built(**batch())[1]


@pytest.mark.parametrize(
    "l2, options, message",
    [
        ({"encodr": 1.0}, {}, "encodr"),
        ({"encoder": -1.0}, {}, "encoder -1.0"),
        ({"encoder_parameters": "norms"}, {}, "norms"),
    ],
)
def test_impossible_options_are_refused(l2, options, message):
    with pytest.raises(ValueError, match=message):
        model(l2=l2, **options)
