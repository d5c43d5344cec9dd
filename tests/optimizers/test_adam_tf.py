"""Adam and Nadam of TensorFlow 1 against its formula, in numpy float64."""

import copy

import numpy as np
import pytest
import torch

from espnet_ext.errors import OptionError
from espnet_ext.optimizers.adam_tf import AdamTf, NadamTf

BETAS, EPS, RATE = (0.8, 0.95), 1e-3, 0.1  # large enough to see where each goes
GRADIENTS = np.random.default_rng(0).normal(0.0, 0.01, (7, 3))
START = np.array([1.0, -2.0, 0.5])


def by_hand(nesterov, gradients=GRADIENTS, start=START, noise=0.0):
    """reference/training.md 5."""
    b1, b2 = BETAS
    w, m, v = start.copy(), np.zeros(3), np.zeros(3)
    for t, g in enumerate(gradients, start=1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        lr_t = RATE * np.sqrt(1 - b2**t) / (1 - b1**t)
        numerator = b1 * m + (1 - b1) * g if nesterov else m
        w = w - lr_t * numerator / (np.sqrt(v) + EPS)
    return w


def new(kind, start=START, **options):
    weight = torch.nn.Parameter(torch.tensor(start))
    return weight, kind([weight], lr=RATE, betas=BETAS, eps=EPS, **options)


def run(weight, optimizer, gradients=GRADIENTS):
    for gradient in gradients:
        weight.grad = torch.tensor(gradient)
        optimizer.step()
    return weight.detach().numpy()


@pytest.mark.parametrize("kind, nesterov", [(AdamTf, False), (NadamTf, True)])
def test_seven_updates_are_those_of_the_formula(kind, nesterov):
    found = run(*new(kind))
    np.testing.assert_allclose(found, by_hand(nesterov), rtol=1e-12)


@pytest.mark.parametrize("other", [torch.optim.Adam, torch.optim.NAdam])
@pytest.mark.parametrize("kind", [AdamTf, NadamTf])
def test_it_is_not_the_form_of_torch(kind, other):
    theirs = run(*new(other))
    assert np.abs(run(*new(kind)) - theirs).max() > 1e-3


def test_a_cleared_state_counts_from_one_again():
    weight, optimizer = new(NadamTf)
    middle = run(weight, optimizer, GRADIENTS[:4]).copy()
    optimizer.state.clear()
    found = run(weight, optimizer, GRADIENTS[4:])
    expected = by_hand(True, GRADIENTS[4:], middle)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_parameter_without_gradient_does_not_move():
    weight, optimizer = new(NadamTf, gradient_noise_std=0.1, decoupled_l2_factor=1.0)
    weight.l2_factor = 0.1
    optimizer.step()
    assert weight.detach().numpy().tolist() == START.tolist()
    assert not optimizer.state


def test_a_restored_optimizer_goes_on_to_the_last_bit():
    weight, optimizer = new(NadamTf)
    run(weight, optimizer, GRADIENTS[:3])
    other, restored = new(NadamTf, weight.detach().numpy().copy())
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    first, second = (
        run(w, o, GRADIENTS[3:]) for w, o in ((weight, optimizer), (other, restored))
    )
    assert first.tolist() == second.tolist()


def noisy_step(seed, std, size=20000):
    """The gradient that the optimizer saw, from its average after one step."""
    weight = torch.nn.Parameter(torch.zeros(size))
    optimizer = AdamTf([weight], betas=(0.0, 0.999), gradient_noise_std=std)
    optimizer.generator = torch.Generator().manual_seed(seed)
    weight.grad = torch.full((size,), 3.0)
    optimizer.step()
    assert weight.grad.eq(3.0).all()
    return optimizer.state[weight]["m"].numpy() - 3.0


def test_noise_is_a_normal_cut_at_two_deviations():
    """Its deviation is 0.8796 of the uncut one's (scipy: truncnorm(-2, 2).std())."""
    noise = noisy_step(0, 0.1)
    assert np.abs(noise).max() < 0.2 + 1e-6
    assert (np.abs(noise) > 0.19).any()
    # standard errors over 20,000 values: 0.0006 and 0.0004
    assert abs(noise.mean()) < 0.003
    assert noise.std() == pytest.approx(0.08796, abs=0.002)


def test_noise_comes_from_its_own_generator():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    assert noisy_step(5, 0.1).tolist() == noisy_step(5, 0.1).tolist()
    assert noisy_step(5, 0.1).tolist() != noisy_step(6, 0.1).tolist()
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    "uses_factor, decay", [(False, 2 * 0.01), (True, 2 * 0.01 * 0.5 * 0.3)]
)
def test_decoupled_decay_as_it_was_and_as_it_was_meant(uses_factor, decay):
    """reference/parts.md 2.4, decwd: the code of that date ignored factor and rate."""
    weight, optimizer = new(
        AdamTf, decoupled_l2_factor=0.5, decoupled_l2_uses_factor=uses_factor
    )
    weight.l2_factor = 0.01
    optimizer.param_groups[0]["lr"] = 0.3 * RATE  # what a scheduler does
    weight.grad = torch.zeros(3, dtype=torch.float64)
    optimizer.step()
    np.testing.assert_allclose(weight.detach().numpy(), START * (1 - decay))


def test_entries_not_in_use_get_neither_decay_nor_noise():
    weight, optimizer = new(AdamTf, decoupled_l2_factor=1.0, gradient_noise_std=0.1)
    weight.l2_factor, weight.used_mask = 0.1, torch.tensor([True, False, True])
    weight.grad = torch.zeros(3, dtype=torch.float64)
    optimizer.step()
    moved = weight.detach().numpy() != START
    assert moved.tolist() == [True, False, True]


@pytest.mark.parametrize(
    "options",
    [
        {"betas": (1.0, 0.9)},
        {"eps": -1e-8},
        {"gradient_noise_std": -1.0},
        {"decoupled_l2_factor": -1.0},
    ],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(OptionError):
        AdamTf([torch.nn.Parameter(torch.zeros(1))], **options)
