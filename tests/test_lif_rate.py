"""The LIF rate as activation: its limits, its gradient, and a network that trains with it."""

import numpy as np
import pytest
import torch

from mlplab.errors import InputError
from mlplab.nn.activations import LIFRate, activation_module, lif_rate_gradient
from mlplab.nn.mlp import MLP
from mlplab.studies.lif.neuron import Neuron, rate_hz


def test_a_sharp_threshold_gives_the_exact_rate():
    x = torch.linspace(-1, 4, 501, dtype=torch.float64)
    for resistance, tau_ref in ((1.0, 0.1), (5.0, 0.0), (50.0, 0.3)):
        soft = LIFRate(resistance, tau_ref, softness=1e-3)(x)
        # In units of C = Vth = 1 the core's kOhm, uF and ms give a rate per ms.
        neuron = Neuron(resistance_kohm=resistance, capacitance_uf=1.0, tau_ref_ms=tau_ref)
        exact = rate_hz(neuron, x.numpy()) / 1000.0
        far = np.abs(resistance * x.numpy() - 1.0) > 0.05
        above = far & (x.numpy() > 1 / resistance)
        np.testing.assert_allclose(soft.numpy()[above], exact[above], rtol=1e-9)
        # Below the threshold the softened rate falls off like 1/distance, which keeps a gradient there.
        assert (soft.numpy()[far & ~above] < 0.05 / resistance).all()


def test_the_relu_is_its_limit():
    x = torch.linspace(-2, 3, 101, dtype=torch.float64)
    gaps = [
        (LIFRate(r, t, s)(x) - x.clamp_min(0)).abs().max().item()
        for r, t, s in ((1, 0.1, 0.1), (10, 0.01, 0.1), (1e3, 1e-4, 0.1), (1e6, 0, 0.01))
    ]
    assert gaps == sorted(gaps, reverse=True) and gaps[-1] < 1e-4


@pytest.mark.parametrize("arguments", [{}, {"resistance": 1.0, "tau_ref": 0.0, "softness": 0.02}, {"tau_ref": 2.0}])
def test_the_written_gradient_is_the_gradient(arguments):
    module = LIFRate(**arguments)
    x = torch.linspace(-30, 30, 2001, dtype=torch.float64, requires_grad=True)
    y = module(x)
    (auto,) = torch.autograd.grad(y.sum(), x)
    # The formula once more, for autograd to take apart.
    j = module.softness * torch.nn.functional.softplus((module.resistance * x - 1.0) / module.softness)
    plain = 1.0 / (module.tau_ref + module.resistance * torch.log1p(1.0 / j))
    (expected,) = torch.autograd.grad(plain.sum(), x)
    seen = j.detach() > 1e-100
    torch.testing.assert_close(y[seen], plain[seen], rtol=1e-6, atol=0)
    torch.testing.assert_close(auto[seen], expected[seen], rtol=1e-6, atol=1e-12)
    assert torch.equal(lif_rate_gradient(torch.ones_like(x), x.detach(), y.detach(), module), auto)
    step = 1e-6
    finite = (module(x + step) - module(x - step)) / (2 * step)
    torch.testing.assert_close(auto, finite.detach(), rtol=1e-4, atol=1e-8)


def test_extreme_inputs_stay_finite_in_float32():
    x = torch.tensor([-1e30, -1e4, -1.0, 0.0, 0.1, 1.0, 1e4, 1e30])
    module = LIFRate()
    y = module(x)
    gradient = lif_rate_gradient(torch.ones_like(x), x, y, module)
    assert y.isfinite().all() and (y >= 0).all() and (y.diff() >= 0).all()
    assert gradient.isfinite().all() and (gradient >= 0).all()
    assert y[-1] == pytest.approx(20.0), "the ceiling is 1 / tau_ref"


@pytest.mark.parametrize("tau_ref", [0.0, 0.05])
def test_every_float32_has_a_rate_and_a_slope(tau_ref):
    x = torch.tensor([0.2, 1e10, 1e36, 1e37, 1e38, 3.4e38])
    module = LIFRate(tau_ref=tau_ref)
    y = module(x)
    gradient = lif_rate_gradient(torch.ones_like(x), x, y, module)
    assert y.isfinite().all() and gradient.isfinite().all()
    torch.testing.assert_close(y[1:], torch.full((5,), 20.0) if tau_ref else x[1:])
    torch.testing.assert_close(gradient[1:], torch.full((5,), float(tau_ref == 0)))


def test_a_rest_moves_the_threshold():
    x = torch.linspace(-1, 4, 101, dtype=torch.float64)
    for rest in (-0.5, 0.7, 1.5):
        neuron = Neuron(resistance_kohm=5.0, capacitance_uf=1.0, tau_ref_ms=0.2, rest_v=rest)
        exact = rate_hz(neuron, x.numpy()) / 1000.0
        far = np.abs(x.numpy() - (1 - rest) / 5) > 0.02
        soft = LIFRate(5.0, 0.2, softness=1e-4, rest=rest)(x).numpy()
        np.testing.assert_allclose(soft[far & (exact > 0)], exact[far & (exact > 0)], rtol=1e-9)


def test_it_is_an_activation_by_name():
    net = MLP(2, [8], 3, activation={"name": "lif_rate", "resistance": 5.0}, seed=0)
    assert net(torch.zeros(4, 2)).shape == (4, 3)
    with pytest.raises(
        InputError, match="lif_rate takes resistance, tau_ref, softness, rest, got the argument 'slope'"
    ):
        activation_module({"name": "lif_rate", "slope": 1.0})
    for wrong in ({"resistance": 0.0}, {"tau_ref": -1.0}, {"softness": 0.0}, {"resistance": float("inf")}):
        with pytest.raises(InputError, match="model.activation.*must be a finite number"):
            activation_module({"name": "lif_rate", **wrong})


@pytest.mark.parametrize("tau_ref", [1e-20, 1e-9, 1e-8, 1e-7, 1e-3])
def test_far_above_the_threshold_both_terms_of_the_period_count(tau_ref):
    """a = 1/(tau_ref + R ln(1 + 1/(R v))), where float32 has no digit of the logarithm left."""
    x = torch.tensor([10.0, 1e4, 3e6, 1e7, 1e8, 1e9])
    v = x.double() - 0.1
    exact = 1 / (tau_ref + 10 * torch.log1p(1 / (10 * v)))
    torch.testing.assert_close(LIFRate(tau_ref=tau_ref)(x).double(), exact, rtol=3e-6, atol=0)
