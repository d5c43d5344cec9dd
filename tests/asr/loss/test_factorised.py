"""The factorised loss against the plain one on composed log-probabilities."""

import numpy as np
import torch
import torch.nn.functional as F

from espnet_ext.asr.loss import factorised_rna_loss, full_sum_loss
from tests.shared import shared_file


def random_inputs():
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(3, 6, 4, 5, dtype=torch.float64, generator=generator)
    emission = torch.randn(3, 6, 4, dtype=torch.float64, generator=generator)
    labels = torch.randint(0, 5, (3, 3), generator=generator)
    return logits, emission, labels, torch.tensor([6, 4, 2]), torch.tensor([3, 0, 2])


def composed_log_probs(logits, emission):
    """[labels, blank] log-probabilities by the definition, differentiable."""
    labels = F.logsigmoid(emission).unsqueeze(-1) + logits.log_softmax(-1)
    return torch.cat([labels, F.logsigmoid(-emission).unsqueeze(-1)], dim=-1)


def test_value_and_gradients_equal_the_composition():
    logits, emission, labels, frame_lens, label_lens = random_inputs()
    ours = logits.clone().requires_grad_(), emission.clone().requires_grad_()
    plain = logits.clone().requires_grad_(), emission.clone().requires_grad_()
    nll = factorised_rna_loss(*ours, labels, frame_lens, label_lens)
    expected = full_sum_loss(
        composed_log_probs(*plain), labels, frame_lens, label_lens, blank=5
    )
    torch.testing.assert_close(nll, expected, rtol=1e-12, atol=0)
    weights = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    (nll * weights).sum().backward()
    (expected * weights).sum().backward()
    for a, b in zip(ours, plain):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-10, atol=1e-12)


def test_gradient_equals_finite_differences():
    logits, emission, labels, frame_lens, label_lens = random_inputs()
    inputs = logits.requires_grad_(), emission.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z, e: factorised_rna_loss(z, e, labels, frame_lens, label_lens), inputs
    )


def test_reference_vectors_of_the_emission_factorisation():
    arrays = np.load(shared_file("reference/vectors/factorised_lsxx.npz"))
    logits = torch.tensor(arrays["label_logits"]).double().requires_grad_()
    emission = torch.tensor(arrays["emit_logit"]).double().requires_grad_()
    lens = [name for name in ("input_lens", "frame_lens") if name in arrays]
    nll = factorised_rna_loss(
        logits,
        emission,
        torch.tensor(arrays["labels"]).long(),
        torch.tensor(arrays[lens[0]]).long(),
        torch.tensor(arrays["label_lens"]).long(),
    )
    nll.sum().backward()
    np.testing.assert_allclose(nll.detach(), arrays["loss"], rtol=1e-9)
    np.testing.assert_allclose(logits.grad, arrays["grad_label_logits"], atol=1e-9)
    np.testing.assert_allclose(emission.grad, arrays["grad_emit_logit"], atol=1e-9)
