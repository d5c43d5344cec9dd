"""What holds for every model class: save, load strictly, determinism, compilation."""

import copy

import pytest
import torch
from espnet2.torch_utils.load_pretrained_model import load_pretrained_model

from espnet_ext.asr.encoder.staged_conformer import StagedConformerEncoder
from tests.asr.test_transducer_options import branchformer, model_of
from tests.asr.tiny import tiny_batch


def conformer():
    """Two layers behind convolutions, without randomness."""
    torch.manual_seed(0)
    frontend = {"type": "vgg", "conv_channels": [2, 2, 2]}
    rates = {"dropout": 0.0, "attention_dropout": 0.0, "input_dropout": 0.0}
    sizes = {"model_size": 8, "feed_forward_size": 8, "num_heads": 2, "num_layers": 2}
    norm = {"conv_kernel_size": 3, "conv_norm": "layer_norm", "padding": "zero"}
    return StagedConformerEncoder(8, frontend=frontend, **rates, **sizes, **norm)


MODELS = {
    "BLSTM": {},
    "Conformer": {"encoder": conformer},
    "E-Branchformer": {"encoder": branchformer},
    "stateless": {"context_size": 2},
    "RNN-T, one softmax": {"topology": "rnnt", "emission": "softmax"},
}


def built(name, **more):
    options = {**MODELS[name], **more}
    if "encoder" in options:
        options["encoder"] = options["encoder"]()
    return model_of(**options)


@pytest.mark.parametrize("name", list(MODELS))
def test_an_update_a_file_and_strict_loading_give_the_same_model(name, tmp_path):
    model, batch = built(name), tiny_batch()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(**batch)[0].backward()
    optimizer.step()
    expected = model.eval()(**batch)[0]
    torch.save(model.state_dict(), tmp_path / "model.pth")
    other = built(name)
    state = torch.load(tmp_path / "model.pth", weights_only=True)
    other.load_state_dict(state)
    assert torch.equal(other.eval()(**batch)[0], expected)
    assert torch.equal(other(**batch)[0], expected)  # evaluation is deterministic
    state.pop(next(iter(state)))
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict(state, strict=False)


@pytest.mark.parametrize("name", list(MODELS))
def test_one_token_is_enough_for_an_update(name):
    model, batch = built(name, vocab_size=1), tiny_batch(3)
    batch["text"] = torch.zeros_like(batch["text"])
    loss, _, _ = model(**batch)
    assert not loss.isnan().any()


@pytest.mark.parametrize("name", ["BLSTM", "Conformer", "E-Branchformer"])
def test_encoders_keep_their_outputs_under_compilation(name):
    """Graph capture and its autograd part; no compiler of C++ is needed for these."""
    encoder, batch = built(name).encoder.eval(), tiny_batch()
    arguments = batch["speech"], batch["speech_lengths"]
    compiled = torch.compile(copy.deepcopy(encoder), backend="aot_eager")
    frames, lengths, _ = encoder(*arguments)
    again, lengths_again, _ = compiled(*arguments)
    torch.testing.assert_close(again, frames)
    assert torch.equal(lengths_again, lengths)


@pytest.mark.parametrize("name", list(MODELS))
def test_bfloat16_autocast_keeps_shapes_and_comes_close(name):
    model, batch = built(name), tiny_batch()
    expected = model(**batch)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(**batch)[0]
    loss.float().sum().backward()
    torch.testing.assert_close(loss.float(), expected, rtol=0.1, atol=0.1)
    for parameter in model.parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()


def test_the_encoder_of_another_model_is_imported_by_init_param(tmp_path):
    """``--init_param FILE:encoder:encoder``, whatever decoder the other one had."""
    source, target = built("Conformer"), built("Conformer", context_size=2)
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(1.0)
    torch.save(source.state_dict(), tmp_path / "other.pth")
    kept = {k: v.clone() for k, v in target.state_dict().items()}
    load_pretrained_model(f"{tmp_path}/other.pth:encoder:encoder", target, False)
    for name, value in target.state_dict().items():
        wanted = source.state_dict() if name.startswith("encoder.") else kept
        assert torch.equal(value, wanted[name]), name
