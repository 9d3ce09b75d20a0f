"""Few time steps: balanced thresholds, starts, a fitted output layer, and counts that are those of the simulated neurons."""

import numpy as np
import pytest
import torch

from mlplab.nn.mlp import MLP
from mlplab.studies.lif.conversion import TIE, balanced, centred, fitted, rates
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
def test_the_counts_that_are_fitted_to_are_those_of_the_neurons(hidden):
    net, starts = centred(balanced(weights(hidden), X), 12, np.zeros(2))
    own = rates(net, X, 12, starts)[-1] @ net.matrices[-1].T + net.biases[-1]
    for neuron in (RELU_LIMIT, Neuron(resistance_kohm=np.inf, tau_ref_ms=0.0, threshold_v=-0.05, reset_v=-0.065)):
        logits = run_spiking(net, X, neuron, duration_ms=12, max_rate_hz=1000.0, read_ms=[12], start_fraction=starts)[
            1
        ][-1]
        np.testing.assert_allclose(logits, own, atol=1e-9)


@pytest.mark.parametrize("steps", [4, 16])
def test_the_centre_lies_on_the_edge_between_two_counts(steps):
    net, starts = centred(balanced(weights([200]), X), steps, np.zeros(2))
    near = 1e-4 * np.stack([np.cos(angles := np.linspace(0, 2 * np.pi, 9)[:-1]), np.sin(angles)], axis=1)
    counts = rates(net, near, steps, starts)[0] * steps
    live = counts.max(axis=0) > 0
    # Each neuron that fires there says by its count on which side of its line the input lies.
    side = (steps * near @ net.matrices[0].T > TIE)[:, live]
    assert live.sum() > 50 and np.array_equal(counts[:, live] - counts[:, live].min(axis=0), side)
    halves = rates(balanced(weights([200]), X), near, steps, [np.full(200, 0.5)])[0]
    assert (halves == halves[0]).all()  # starts half way see no difference
    # Over many inputs the corrected biases leave the mean of the logits where it was.
    moved = np.random.default_rng(5).normal(size=(4000, 2))
    target, found = (
        relu_logits(net, moved).mean(0),
        (rates(net, moved, 64, starts)[0] @ net.matrices[1].T + net.biases[1]).mean(0),
    )
    assert np.abs(target - found).max() < 0.2


def test_fitting_is_a_minimum_and_repeats():
    even = balanced(weights([24, 16]), X)
    sharp = Weights([*even.matrices[:-1], 8 * even.matrices[-1]], [*even.biases[:-1], 8 * even.biases[-1]])
    moved, starts = centred(sharp, 6, np.zeros(2))
    truth = torch.from_numpy(relu_logits(sharp, X)).log_softmax(1)

    def divergence(chosen):
        logits = run_spiking(
            chosen, X, RELU_LIMIT, duration_ms=6, max_rate_hz=1000.0, read_ms=[6], start_fraction=starts
        )[1][-1]
        return float((truth.exp() * (truth - torch.from_numpy(logits).log_softmax(1))).sum(1).mean())

    after = fitted(moved, sharp, X, 6, starts, seed=3)
    assert divergence(after) < 0.5 * divergence(moved)
    draws = np.random.default_rng(0)
    for _ in range(5):  # no neighbour of the output layer does better
        other = Weights(
            [*after.matrices[:-1], after.matrices[-1] + 0.3 * draws.normal(size=after.matrices[-1].shape)], after.biases
        )
        assert divergence(other) > divergence(after)
    again = fitted(moved, sharp, X, 6, starts, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(after.matrices, again.matrices, strict=True))
