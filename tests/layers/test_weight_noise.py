"""Noise and dropout on weights: which ones, how much, and where gradients go."""

import torch

from espnet_ext.layers.growing import GrowingLayerNorm, GrowingLinear, fixed
from espnet_ext.layers.lstm import Lstm
from espnet_ext.layers.weight_noise import matrices, perturbed


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


def test_the_gradient_of_noisy_weights_goes_to_the_parameter():
    network = Network()
    weights = perturbed(network, 0.1, 0.0)
    y = torch.func.functional_call(network, weights, (torch.ones(1, 2, 4),))
    y.sum().backward()
    assert all(p.grad is not None for _, p in matrices(network))
