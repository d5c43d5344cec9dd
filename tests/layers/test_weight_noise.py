"""Noise and dropout on weights: which ones, how much, and where gradients go."""

import itertools

import torch

from espnet_ext.layers.growing import GrowingLayerNorm, GrowingLinear, fixed
from espnet_ext.layers.lstm import Lstm
from espnet_ext.layers.weight_noise import WeightNoise, matrices, perturbed


class Network(torch.nn.Module):
    def __init__(self, size=4):
        super().__init__()
        self.linear = GrowingLinear(fixed(size), fixed(size))
        self.norm = GrowingLayerNorm(fixed(size))
        self.conv = torch.nn.Conv1d(size, size, 3)
        self.lstm = Lstm(size, 3)

    def forward(self, x):
        return self.lstm(self.norm(self.linear(x)))[0]


def test_only_matrices_of_linear_layers_and_lstms_are_perturbed():
    names = [name for name, _ in matrices(Network())]
    assert names == ["linear.weight", "lstm.weight_ih", "lstm.weight_hh"]


def test_noise_has_the_stated_deviation_and_leaves_the_parameter_alone():
    network = Network(100)
    before = network.linear.weight.clone()
    generator = torch.Generator().manual_seed(0)
    noise = perturbed(network, 0.5, 0.0, generator)["linear.weight"] - before
    # 10,000 normal draws: four standard errors of the deviation are 0.015
    assert abs(float(noise.std()) - 0.5) < 0.015
    assert abs(float(noise.mean())) < 0.02
    assert torch.equal(network.linear.weight, before)


def test_dropped_weights_are_zero_and_the_others_scaled():
    network = Network(100)
    generator = torch.Generator().manual_seed(0)
    weight = perturbed(network, 0.0, 0.2, generator)["linear.weight"]
    kept = weight != 0
    torch.testing.assert_close(weight[kept], network.linear.weight[kept] / 0.8)
    # four standard deviations of 10,000 draws are 0.016
    assert abs(float(kept.float().mean()) - 0.8) < 0.016


def test_one_seed_repeats_and_two_differ():
    network = Network()

    def draw(seed):
        generator = torch.Generator().manual_seed(seed)
        return perturbed(network, 0.1, 0.0, generator)["lstm.weight_hh"]

    assert torch.equal(draw(1), draw(1)) and not torch.equal(draw(1), draw(2))


def test_the_gradient_is_that_at_the_noisy_weights_by_finite_differences():
    """Noise: the slope at w + n. Dropout: at the masked weight, through the mask."""
    x = torch.randn(1, 3, 4, dtype=torch.float64)
    for std, dropout in ((0.3, 0.0), (0.0, 0.4)):
        network = Network().double()

        def loss():
            noise = WeightNoise(std, dropout)
            noise.generator = torch.Generator().manual_seed(5)  # the same each time
            weights = noise.weights(network)
            return torch.func.functional_call(network, weights, (x,)).square().sum()

        loss().backward()
        for name, weight in matrices(network):
            expected = torch.zeros_like(weight)
            with torch.no_grad():
                for place in itertools.product(*map(range, weight.shape)):
                    sides = []
                    for change in (1e-6, -2e-6):
                        weight[place] += change
                        sides.append(loss())
                    weight[place] += 1e-6
                    expected[place] = (sides[0] - sides[1]) / 2e-6
            torch.testing.assert_close(weight.grad, expected, rtol=1e-5, atol=1e-7)


def draws(each, batches):
    """First noisy weight of each batch; at ``update`` gradients are dropped."""
    torch.manual_seed(0)
    network, noise = Network(), WeightNoise(0.1, 0.0, each)
    noise.generator = torch.Generator().manual_seed(1)
    found = []
    for batch in batches:
        if batch == "update":
            network.zero_grad(set_to_none=True)
            continue
        weights = noise.weights(network)
        torch.func.functional_call(
            network, weights, (torch.ones(1, 2, 4),)
        ).sum().backward()
        found.append(float(weights["linear.weight"][0, 0].detach()))
    return found


def test_noise_is_new_in_each_batch_or_in_each_update():
    """reference/parts.md 2.4 ``vn``: fresh per training step, and a step is a batch."""
    group = ("batch", "batch", "update", "batch", "batch")
    first, second, third, fourth = draws("batch", group)
    assert len({first, second, third, fourth}) == 4
    first, second, third, fourth = draws("update", group)
    assert first == second != third == fourth


def test_noise_of_an_update_goes_on_after_a_resumption_in_its_middle():
    network = Network()
    noise, resumed = WeightNoise(0.1, each="update"), WeightNoise(0.1, each="update")
    before = noise.weights(network)
    network.linear.weight.grad = torch.zeros(4, 4)  # as the checkpoint puts it back
    resumed.load_state_dict(noise.state_dict())
    after = resumed.weights(network)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not WeightNoise(0.1).state_dict()  # the original's form has no buffer
