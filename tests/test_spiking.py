"""A ReLU network run as spiking neurons, and one trained through its spikes."""

import numpy as np
import pytest
import torch

from mlplab.errors import InputError
from mlplab.nn.mlp import MLP
from mlplab.studies.lif.neuron import Neuron
from mlplab.studies.lif.spiking import Weights, normalise, relu_logits, run_spiking, settling_time_ms
from mlplab.studies.lif.surrogate import SpikingMLP, spike

RELU_LIMIT = Neuron(resistance_kohm=np.inf, tau_ref_ms=0.0)


def weights(hidden, seed=1, classes=3):
    layers = MLP(2, hidden, classes, seed=seed).linear_layers()
    return Weights([m.weight.detach().numpy() for m in layers], [m.bias.detach().numpy() for m in layers])


def inputs(count=40, seed=2):
    return np.random.default_rng(seed).normal(size=(count, 2))


def test_relu_logits_are_the_networks():
    net = MLP(2, [7, 5], 3, seed=3).double()
    layers = net.linear_layers()
    x = inputs()
    own = relu_logits(
        Weights([m.weight.detach().numpy() for m in layers], [m.bias.detach().numpy() for m in layers]), x
    )
    np.testing.assert_allclose(own, net(torch.from_numpy(x)).detach().numpy(), atol=1e-14)


@pytest.mark.parametrize("hidden", [[], [6], [6, 5, 4]])
def test_normalising_keeps_the_logits_and_scales_activations_to_one(hidden):
    x, before = inputs(500), weights(hidden)
    after = normalise(before, x, quantile=1.0)
    np.testing.assert_allclose(relu_logits(after, x), relu_logits(before, x), atol=1e-12)
    activation = x
    for matrix, bias in list(zip(after.matrices, after.biases, strict=True))[:-1]:
        activation = np.maximum(activation @ matrix.T + bias, 0.0)
        assert activation.max() == pytest.approx(1.0)


def test_a_dead_layer_is_left_as_it_is():
    dead = Weights([np.zeros((3, 2)), np.ones((2, 3))], [-np.ones(3), np.zeros(2)])
    np.testing.assert_array_equal(relu_logits(normalise(dead, inputs()), inputs()), np.zeros((40, 2)))


def test_without_hidden_layers_the_logits_are_there_at_once():
    linear, x = weights([]), inputs()
    _, logits, spikes = run_spiking(linear, x, RELU_LIMIT, duration_ms=10, read_ms=[1, 10])
    np.testing.assert_allclose(logits, np.stack([relu_logits(linear, x)] * 2), atol=1e-12)
    assert spikes == 0


def test_one_layer_counts_the_rounded_product_of_rate_and_time():
    """With constant input and no leak a neuron has fired floor(r t + 1/2) times."""
    net, x = normalise(weights([6]), inputs()), inputs()
    times, logits, _ = run_spiking(net, x, RELU_LIMIT, duration_ms=50, max_rate_hz=150.0, read_ms=[7, 20, 50])
    hidden = np.maximum(x @ net.matrices[0].T + net.biases[0], 0.0)
    for time, read in zip(times, logits, strict=True):
        counts = np.floor(0.15 * time * hidden + 0.5)
        np.testing.assert_allclose(read, counts / (0.15 * time) @ net.matrices[1].T + net.biases[1], atol=1e-9)


@pytest.mark.parametrize("hidden", [[12], [12, 10], [12, 10, 8]])
def test_the_logits_converge_to_the_relu_networks_like_one_over_time(hidden):
    x = inputs(60)
    net = normalise(weights(hidden), x)
    truth = relu_logits(net, x)
    _, logits, _ = run_spiking(net, x, RELU_LIMIT, duration_ms=1600, dt_ms=1.0, read_ms=[100, 400, 1600])
    errors = np.abs(logits - truth).mean(axis=(1, 2))
    assert errors[2] < 0.03 * np.abs(truth).mean() + 2e-3
    assert errors[0] / errors[2] > 6.0, "16 times as long should be about 16 times nearer"


def test_a_leak_and_a_refractory_time_take_from_the_rate():
    net, x = normalise(weights([12]), inputs()), inputs()

    def count(**kwargs):
        return run_spiking(net, x, Neuron(**kwargs), duration_ms=300)[2]

    free = count(resistance_kohm=np.inf, tau_ref_ms=0.0)
    assert 0 < count(resistance_kohm=1.0, tau_ref_ms=0.0) < count(resistance_kohm=10.0, tau_ref_ms=0.0) < free
    assert count(resistance_kohm=np.inf, tau_ref_ms=10.0) < count(resistance_kohm=np.inf, tau_ref_ms=2.0) < free


def test_settling_times():
    times = np.array([1.0, 2.0, 3.0, 4.0])
    assert settling_time_ms(times, [0.9, 0.9, 0.9, 0.9], 0.9) == 1.0
    assert settling_time_ms(times, [0.9, 0.1, 0.9, 0.9], 0.9) == 3.0
    assert settling_time_ms(times, [0.9, 0.9, 0.9, 0.1], 0.9) == np.inf


def test_what_is_refused():
    for options in ({"max_rate_hz": 0.0}, {"start_fraction": 1.0}):
        with pytest.raises(InputError, match="simulation"):
            run_spiking(weights([3]), inputs(), RELU_LIMIT, duration_ms=5, **options)
    with pytest.raises(
        InputError, match="simulation.duration_ms must be from 1 to 1,000,000,000 steps of dt_ms=1e-300"
    ):
        run_spiking(weights([3]), inputs(), RELU_LIMIT, duration_ms=5, dt_ms=1e-300)
    for options in ({"steps": 0}, {"steepness": 0.0}, {"resistance_kohm": -1.0}):
        with pytest.raises(InputError):
            SpikingMLP(2, [3], 2, **options)


def test_a_spike_is_a_step_with_a_soft_gradient():
    v = torch.tensor([-1.0, -0.1, 0.0, 0.1, 2.0], dtype=torch.float64, requires_grad=True)
    s = spike(v, 5.0)
    assert s.tolist() == [0, 0, 0, 1, 1]
    s.sum().backward()
    torch.testing.assert_close(v.grad, 1 / (1 + 5.0 * v.detach().abs()) ** 2)


def test_the_spiking_perceptron_counts_what_the_simulator_counts():
    """Its hidden layer is the Euler neuron of the core: same counts for the same currents."""
    from mlplab.studies.lif.grid import spike_count

    net = SpikingMLP(2, [9], 9, steps=40, seed=5).double()
    with torch.no_grad():
        first, last = net.network.linear_layers()
        last.weight.copy_(torch.eye(9))
        last.bias.zero_()
        x = torch.from_numpy(inputs(30))
        rates = net(3 * x)
        currents = first(3 * x).numpy()
    neuron = Neuron(resistance_kohm=5.0, capacitance_uf=2.0, tau_ref_ms=0.0)
    np.testing.assert_allclose(rates.numpy() * 40, spike_count(neuron, currents, steps=40, dt_ms=1.0), atol=1e-9)
    assert rates.max() > 0


@pytest.mark.parametrize("hidden", [[], [16], [12, 12]])
def test_the_surrogate_gradient_trains(hidden):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(128, 2, generator=generator)
    y = (x[:, 0] + 0.5 * x[:, 1] > 0).long()
    net = SpikingMLP(2, hidden, 2, steps=10, seed=0)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_the_spiking_perceptron_has_a_name_and_any_input_shape():
    net = SpikingMLP(6, [5], 2, steps=3)
    assert net(torch.zeros(4, 2, 3)).shape == (4, 2)
    assert net.describe() == "spiking MLP 6–5–2 (3 ms)"


def test_a_run_of_no_step_is_refused():
    for duration in (0.1, 0.6):
        with pytest.raises(
            InputError, match=f"duration_ms must be from 1 to 1,000,000,000 steps of dt_ms=1, got {duration}"
        ):
            run_spiking(normalise(weights([12]), inputs()), inputs(), Neuron(), duration_ms=duration)
