"""Few time steps: balanced thresholds, calibration, and counts that are those of the simulated neurons."""

import numpy as np
import pytest
import torch

from mlplab.nn.mlp import MLP
from mlplab.studies.lif.conversion import balanced, calibrated, perfect_rates
from mlplab.studies.lif.neuron import Neuron
from mlplab.studies.lif.spiking import Weights, relu_activations, relu_logits, run_spiking

RELU_LIMIT = Neuron(resistance_kohm=np.inf, tau_ref_ms=0.0)


def weights(hidden, seed=1):
    layers = MLP(2, hidden, 3, seed=seed).linear_layers()
    return Weights([m.weight.detach().numpy() for m in layers], [m.bias.detach().numpy() for m in layers])


X = np.random.default_rng(2).normal(size=(400, 2))


@pytest.mark.parametrize("hidden", [[], [6], [6, 5, 4]])
def test_balancing_keeps_the_logits_and_gives_each_neuron_its_range(hidden):
    before, after = weights(hidden), balanced(weights(hidden), X, quantile=1.0)
    np.testing.assert_allclose(relu_logits(after, X), relu_logits(before, X), atol=1e-12)
    for layer in relu_activations(after, X):
        assert set(np.round(layer.max(axis=0), 9)) <= {0.0, 1.0}


@pytest.mark.parametrize("hidden", [[6], [6, 5, 4]])
def test_the_counts_of_the_calibration_are_those_of_the_neurons(hidden):
    net = balanced(weights(hidden), X)
    matrices, biases = ([torch.from_numpy(v) for v in part] for part in (net.matrices, net.biases))
    rates = perfect_rates(matrices, biases, torch.from_numpy(X), 12)
    for neuron in (RELU_LIMIT, Neuron(resistance_kohm=np.inf, tau_ref_ms=0.0, threshold_v=-0.05, reset_v=-0.065)):
        logits = run_spiking(net, X, neuron, duration_ms=12, max_rate_hz=1000.0, read_ms=[12])[1][-1]
        own = rates[-1].numpy() @ net.matrices[-1].T + net.biases[-1]
        np.testing.assert_allclose(logits, own, atol=1e-9)


def test_calibrating_brings_few_steps_nearer_and_repeats():
    net, steps = balanced(weights([24, 16]), X), 6
    truth = torch.from_numpy(relu_logits(net, X) * 8).log_softmax(1)
    sharp = Weights([*net.matrices[:-1], 8 * net.matrices[-1]], [*net.biases[:-1], 8 * net.biases[-1]])

    def divergence(chosen):
        logits = run_spiking(chosen, X, RELU_LIMIT, duration_ms=steps, max_rate_hz=1000.0, read_ms=[steps])[1][-1]
        return float((truth.exp() * (truth - torch.from_numpy(logits).log_softmax(1))).sum(1).mean())

    after = calibrated(sharp, X, steps, updates=150, seed=3)
    assert divergence(after) < 0.7 * divergence(sharp)
    again = calibrated(sharp, X, steps, updates=150, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(after.matrices, again.matrices, strict=True))
    assert calibrated(sharp, X, steps, updates=0) is sharp
