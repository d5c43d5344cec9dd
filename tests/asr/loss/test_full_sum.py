"""RNA full sum against path enumeration, stored vectors and numeric gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_ext.asr.loss import full_sum_loss
from espnet_ext.asr.loss.full_sum import feasible
from espnet_ext.asr.loss.rna import rna_occupancies
from tests.asr.loss.paths import enumerated_nll
from tests.shared import shared_file

VECTORS = [
    "rna_basic",
    "rna_blank_first",
    "rna_s_equals_t",
    "rna_s_zero",
    "rna_t_one",
    "rna_padded_batch",
    "rna_repeated_labels",
    "rna_unnormalised_scores",
    "rna_infeasible",
    "rna_large_dp",
]


def random_case(seed, batch, frames, positions, vocabulary, blank):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(
        batch, frames, positions, vocabulary, dtype=torch.float64, generator=generator
    ).log_softmax(-1)
    labels = torch.randint(
        0, vocabulary - 1, (batch, positions - 1), generator=generator
    )
    labels += (labels >= blank).long()
    frame_lens = torch.randint(0, frames + 1, (batch,), generator=generator)
    label_lens = torch.randint(0, positions, (batch,), generator=generator)
    return scores, labels, frame_lens, label_lens


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 4),
    frames=st.integers(1, 6),
    positions=st.integers(1, 5),
    vocabulary=st.integers(2, 5),
    data=st.data(),
)
def test_loss_equals_the_sum_over_all_paths(
    seed, batch, frames, positions, vocabulary, data
):
    blank = data.draw(st.integers(0, vocabulary - 1))
    case = random_case(seed, batch, frames, positions, vocabulary, blank)
    scores, labels, frame_lens, label_lens = case
    nll = full_sum_loss(*case, blank=blank)
    for b in range(batch):
        expected = enumerated_nll(
            scores[b], int(frame_lens[b]), labels[b, : label_lens[b]].tolist(), blank
        )
        assert float(nll[b]) == pytest.approx(expected, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("name", VECTORS)
def test_loss_and_gradient_equal_the_reference_vectors(name):
    arrays = np.load(shared_file(f"reference/vectors/{name}.npz"))
    scores = torch.tensor(arrays["log_probs"]).double().requires_grad_()
    nll = full_sum_loss(
        scores,
        torch.tensor(arrays["labels"]).long(),
        torch.tensor(arrays["input_lens"]).long(),
        torch.tensor(arrays["label_lens"]).long(),
        blank=int(arrays["blank"]),
    )
    nll.sum().backward()
    np.testing.assert_allclose(nll.detach(), arrays["loss"], rtol=1e-10)
    np.testing.assert_allclose(scores.grad, arrays["grad_log_probs"], atol=1e-10)


def test_gradient_equals_finite_differences():
    scores, labels, _, _ = random_case(3, 2, 4, 3, 4, 0)
    lengths = torch.tensor([4, 3]), torch.tensor([2, 1])
    scores.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda s: full_sum_loss(s, labels, *lengths, blank=0), scores
    )


def test_posteriors_of_each_frame_sum_to_one():
    scores, labels, frame_lens, label_lens = random_case(5, 6, 6, 4, 4, 0)
    blank_scores, label_scores = scores[..., 0], scores[..., 1]
    result = rna_occupancies(blank_scores, label_scores, frame_lens, label_lens)
    mass_BT = (result.blank_BTS + result.label_BTS).sum(2)
    valid = torch.arange(6) < frame_lens.unsqueeze(1)
    valid &= feasible(frame_lens, label_lens).unsqueeze(1)
    torch.testing.assert_close(mass_BT, valid.double())


def test_more_labels_than_frames_cost_inf_without_gradient():
    scores = torch.randn(2, 2, 4, 3).log_softmax(-1).requires_grad_()
    labels = torch.ones(2, 3, dtype=torch.long)
    nll = full_sum_loss(scores, labels, torch.tensor([2, 2]), torch.tensor([3, 1]))
    assert torch.isinf(nll[0]) and torch.isfinite(nll[1])
    nll.sum().backward()
    assert (scores.grad[0] == 0).all() and (scores.grad[1] != 0).any()
    assert torch.isfinite(scores.grad).all()


def test_padding_of_any_content_changes_nothing():
    scores, labels, frame_lens, label_lens = random_case(7, 4, 5, 4, 4, 0)
    nll = full_sum_loss(scores, labels, frame_lens, label_lens)
    for b in range(4):
        scores[b, frame_lens[b] :] = 3.25
        scores[b, :, label_lens[b] + 1 :] = 3.25
        labels[b, label_lens[b] :] = 1
    torch.testing.assert_close(
        full_sum_loss(scores, labels, frame_lens, label_lens), nll, rtol=0, atol=0
    )


def test_an_empty_batch_has_an_empty_loss():
    nll = full_sum_loss(
        torch.zeros(0, 3, 2, 4),
        torch.zeros(0, 1, dtype=torch.long),
        torch.zeros(0, dtype=torch.long),
        torch.zeros(0, dtype=torch.long),
    )
    assert nll.shape == (0,)


def test_single_precision_gradient_is_exact_to_its_rounding():
    scores, labels, _, _ = random_case(1, 2, 40, 12, 7, 0)
    lengths = torch.tensor([40, 33]), torch.tensor([11, 9])
    double = scores.clone().requires_grad_()
    full_sum_loss(double, labels, *lengths).sum().backward()
    single = scores.float().requires_grad_()
    full_sum_loss(single, labels, *lengths).sum().backward()
    error = (single.grad.double() - double.grad).abs().max()
    assert float(error) < 1e-6


def test_lengths_beyond_the_lattice_are_named():
    scores = torch.zeros(1, 3, 2, 4)
    labels = torch.ones(1, 1, dtype=torch.long)
    with pytest.raises(ValueError, match=r"frame lengths \[4\]: expected 0 to 3"):
        full_sum_loss(scores, labels, torch.tensor([4]), torch.tensor([1]))
    with pytest.raises(ValueError, match="topology 'rnat'"):
        full_sum_loss(scores, labels, torch.tensor([3]), torch.tensor([1]), "rnat")
