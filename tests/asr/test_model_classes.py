"""What holds for every model class: one token, an update, strict loading, precision."""

import copy

import pytest
import torch
from espnet2.tasks import asr

from espnet_ext.asr.decoder.lstm_transducer import JOINTS
from espnet_ext.asr.encoder import frontends
from espnet_ext.interop.without_dropout import disable_dropout
from tests.asr.every_model import CASES, batch_of, build

TABLES = {
    "encoder": asr.encoder_choices,
    "decoder": asr.decoder_choices,
    "model": asr.model_choices,
}

every_model = pytest.mark.parametrize("name", CASES)


@pytest.mark.parametrize("kind", TABLES)
def test_no_registered_class_is_left_out(kind):
    ours = {
        name
        for name, plugin in TABLES[kind].classes.items()
        if plugin is not None and plugin.__module__.startswith("espnet_ext.")
    }
    assert ours == {case[kind] for case in CASES.values()} - {None}


def test_no_joint_and_no_frontend_of_an_encoder_is_left_out():
    joints = {
        case["decoder_conf"]["joint"].get("type", "maxout_readout")
        for case in CASES.values()
        if "joint" in case["decoder_conf"]
    }
    assert joints == set(JOINTS)
    used = {
        case["encoder_conf"]["frontend"]["type"]
        for case in CASES.values()
        if "frontend" in case["encoder_conf"]
    }
    assert used == {*frontends.CONV_LAYERS, *frontends.BLSTM_TYPES}


def update(model, batch):
    """One step of SGD; the loss before it."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss, stats, weight = model(**batch)
    loss.backward()
    for parameter in model.parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()
    optimizer.step()
    return loss.detach()


@every_model
def test_one_token_is_enough_for_an_update_and_strict_loading(name, tmp_path):
    """Upstream checks each configuration with a vocabulary of blank alone."""
    model = build(name, ["<blank>"])
    batch = batch_of(model, labels=0)
    assert torch.isfinite(update(model, batch))
    torch.save(model.state_dict(), tmp_path / "model.pth")
    state = torch.load(tmp_path / "model.pth", weights_only=True)
    other = build(name, ["<blank>"])
    other.load_state_dict(state)
    for key, value in other.state_dict().items():
        assert torch.equal(value, model.state_dict()[key]), key


@every_model
def test_an_update_a_file_and_strict_loading_give_the_same_model(name, tmp_path):
    model = build(name)
    batch = batch_of(model)
    assert torch.isfinite(update(model, batch))
    torch.save(model.state_dict(), tmp_path / "model.pth")
    expected = model.eval()(**batch)[0]
    other = build(name)
    state = torch.load(tmp_path / "model.pth", weights_only=True)
    other.load_state_dict(state)
    assert torch.equal(other.eval()(**batch)[0], expected)
    if name != "old_nick":  # its batch normalisation learns in evaluation as well
        assert torch.equal(other(**batch)[0], expected)  # evaluation is deterministic
    with pytest.raises(RuntimeError, match="Unexpected key.*more"):
        other.load_state_dict({**state, "more": torch.zeros(1)}, strict=False)
    missing = list(state)[-1]
    del state[missing]
    with pytest.raises(RuntimeError, match="Missing key.*" + missing):
        other.load_state_dict(state, strict=False)


@every_model
def test_bfloat16_autocast_keeps_shapes_and_comes_close(name):
    model = disable_dropout(build(name))
    batch = batch_of(model)
    expected = model(**batch)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(**batch)[0]
    assert loss.shape == expected.shape
    loss.float().sum().backward()
    torch.testing.assert_close(loss.float(), expected, rtol=0.1, atol=0.1)
    for parameter in model.parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()


# one of each model class and of each encoder: a capture takes a second or more
COMPILED = [
    *("BLSTM", "attention, zoneout", "framewise, CTC", "extended"),
    *("E-Branchformer, blstm, CTC", "Conformer, blstm"),
]


def test_each_model_class_and_encoder_is_compiled():
    for kind in ("model", "encoder"):
        kinds = {CASES[name][kind] for name in COMPILED}
        assert kinds == {case[kind] for case in CASES.values()}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILED)
def test_losses_and_gradients_stay_under_compilation(name):
    """What torch.compile captures, run by its ``eager`` backend."""
    torch.compiler.reset()
    model = disable_dropout(build(name))
    # loops over frames and labels are unrolled
    batch = batch_of(model, labels=1, samples=(1000, 900))
    results = []
    for network in (model, torch.compile(model, backend="eager")):
        model.zero_grad()
        loss, stats, _ = network(**batch)
        loss.backward()
        gradients = {
            key: p.grad for key, p in model.named_parameters() if p.grad is not None
        }
        results.append((loss.detach(), stats.keys(), gradients))
    (loss, stats, gradients), (again, stats_again, gradients_again) = results
    assert stats == stats_again
    torch.testing.assert_close(again, loss)
    assert gradients.keys() == gradients_again.keys()
    for key, gradient in gradients.items():
        torch.testing.assert_close(gradients_again[key], gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["BLSTM", "Conformer, conv", "E-Branchformer"])
def test_encoders_keep_outputs_and_lengths_under_compilation(name):
    """Capture and its autograd part (``aot_eager``), which need no compiler of C++."""
    torch.compiler.reset()
    encoder = build(name).encoder.eval()
    x = torch.randn(2, 12, 10, generator=torch.Generator().manual_seed(1))
    arguments = x, torch.tensor([12, 7])
    compiled = torch.compile(copy.deepcopy(encoder), backend="aot_eager")
    frames, lengths, _ = encoder(*arguments)
    again, lengths_again, _ = compiled(*arguments)
    torch.testing.assert_close(again, frames)
    assert torch.equal(lengths_again, lengths)
