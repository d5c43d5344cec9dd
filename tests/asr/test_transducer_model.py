"""Training and evaluation of the model as ESPnet calls it."""

import logging

import pytest
import torch

from espnet_ext.asr.loss import full_sum_loss
from tests.asr.tiny import tiny_batch, tiny_model


def test_loss_is_the_full_sum_of_the_joint_log_probabilities():
    model, batch = tiny_model().eval(), tiny_batch()
    loss, stats, weight = model(**batch)
    am, lens = model.encode(batch["speech"], batch["speech_lengths"])
    labels = batch["text"].clamp(min=0)
    lm = model.decoder(torch.nn.functional.pad(labels, (1, 0)))
    log_probs = model.joint_network(am.unsqueeze(2), lm.unsqueeze(1))
    expected = full_sum_loss(log_probs, labels, lens, batch["text_lengths"]).mean()
    torch.testing.assert_close(loss.squeeze(), expected)
    assert int(weight) == 2
    assert 0.0 <= float(stats["ter"]) < 20.0


def test_sum_reduction_scales_the_loss_by_the_batch_but_not_the_report():
    batch = tiny_batch()
    mean, stats_mean, _ = tiny_model(ctc_weight=0.3)(**batch)
    total, stats_sum, _ = tiny_model(ctc_weight=0.3, loss_reduction="sum")(**batch)
    torch.testing.assert_close(total, 2 * mean)
    torch.testing.assert_close(stats_sum["loss"], stats_mean["loss"])


def test_only_ctc_is_trained_before_the_transducer_starts():
    model = tiny_model(ctc_weight=0.5, transducer_start_epoch=3)
    model.set_epoch(2)
    loss, stats, _ = model(**tiny_batch())
    torch.testing.assert_close(loss, 0.5 * stats["loss_ctc"])
    loss.backward()
    assert all(p.grad is None for p in model.decoder.parameters())
    # evaluation includes it, or these epochs would seem to have the lowest loss
    assert "loss_transducer" in model.eval()(**tiny_batch())[1]
    model.train().set_epoch(3)
    assert "loss_transducer" in model(**tiny_batch())[1]


def test_features_are_normalised_before_they_are_masked():
    order = []

    class Step(torch.nn.Module):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def forward(self, features, lengths):
            order.append(self.name)
            return features, lengths

    model, batch = tiny_model(), tiny_batch()
    model.normalize, model.specaug = Step("normalise"), Step("mask")
    model.encode(batch["speech"], batch["speech_lengths"])
    assert order == ["normalise", "mask"]
    model.eval().encode(batch["speech"], batch["speech_lengths"])
    assert order == ["normalise", "mask", "normalise"]


def test_an_impossible_utterance_is_named_and_left_out(caplog):
    model, batch = tiny_model(), tiny_batch()
    batch["speech_lengths"] = torch.tensor([14, 2])
    with caplog.at_level(logging.WARNING):
        loss, stats, _ = model(**batch)
    assert "left out of the loss: b" in caplog.text
    assert torch.isfinite(loss) and float(stats["impossible"]) == 1.0
    loss.backward()
    assert all(
        torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None
    )


def test_scores_do_not_depend_on_the_batch_when_padding_is_hidden():
    """Pooling offsets depend on the padded length, so both have the same parity."""
    model, batch = tiny_model().eval(), tiny_batch()
    batch["speech_lengths"] = torch.tensor([14, 8])
    am, lens = model.encode(batch["speech"], batch["speech_lengths"])
    conv_sees_zero = batch["speech"][1:, :8].clone()
    batch["speech"][1, 8:] = 0.0
    am, lens = model.encode(batch["speech"], batch["speech_lengths"])
    alone, _ = model.encode(conv_sees_zero, torch.tensor([8]))
    torch.testing.assert_close(am[1, : int(lens[1])], alone[0])


def test_joint_weights_are_stored_once():
    names = list(tiny_model().state_dict())
    assert not any(name.startswith("joint_network") for name in names)
    assert any(name.startswith("decoder.joint_network") for name in names)


def test_a_start_epoch_without_ctc_is_refused():
    with pytest.raises(ValueError, match="needs ctc_weight"):
        tiny_model(transducer_start_epoch=2)


@pytest.mark.parametrize("smoothing", [None, {"type": "lsxx", "scale": 0.1}])
def test_both_loss_backends_give_the_same_loss_and_gradients(smoothing):
    results = []
    for backend in ("fused", "torch"):
        model = tiny_model(loss_backend=backend, label_smoothing=smoothing).double()
        batch = tiny_batch()
        batch["speech"] = batch["speech"].double()
        loss, _, _ = model(**batch)
        loss.backward()
        gradients = {name: p.grad for name, p in model.named_parameters()}
        results.append((loss.detach(), gradients))
    (fused_loss, fused), (dense_loss, dense) = results
    torch.testing.assert_close(fused_loss, dense_loss, rtol=1e-10, atol=0)
    for name, gradient in dense.items():
        torch.testing.assert_close(fused[name], gradient, rtol=1e-8, atol=1e-10)


def test_an_unknown_loss_backend_is_refused():
    with pytest.raises(ValueError, match="loss_backend 'fast'"):
        tiny_model(loss_backend="fast")
