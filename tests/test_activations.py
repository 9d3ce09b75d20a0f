import itertools

import pytest
import torch
from torch import nn

from mlplab.errors import InputError
from mlplab.nn.activations import ACTIVATIONS, Activation, activation_gradient, activation_module, parse_activation

# Away from zero, where relu and its kin have no derivative to difference.
POINTS = torch.cat([-torch.logspace(-2, 1.3, 40), torch.logspace(-2, 1.3, 40)]).double()
VARIANTS = [
    *ACTIVATIONS,
    {"name": "leaky_relu", "negative_slope": 0.3},
    {"name": "leaky_relu", "negative_slope": -0.2},
    {"name": "elu", "alpha": 0.4},
    {"name": "gelu", "approximate": "tanh"},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_gradient_is_autograd_bit_for_bit(variant, dtype):
    module, name = activation_module(variant), parse_activation(variant)[0]
    z = torch.cat([POINTS, torch.zeros(1), torch.tensor([-0.0, 700.0, -700.0])]).to(dtype)
    flow = torch.linspace(-2, 3, len(z), dtype=dtype)
    probed = z.clone().requires_grad_()
    (auto,) = torch.autograd.grad(module(probed), probed, flow)
    assert torch.equal(activation_gradient(name)(flow, z, module(z), module), auto)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_gradient_is_the_finite_difference(variant):
    module, name = activation_module(variant), parse_activation(variant)[0]
    step = 1e-6
    slope = (module(POINTS + step) - module(POINTS - step)) / (2 * step)
    exact = activation_gradient(name)(torch.ones_like(POINTS), POINTS, module(POINTS), module)
    torch.testing.assert_close(exact, slope, rtol=1e-6, atol=1e-8)


def test_an_activation_without_a_formula_takes_autograd(monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "softplus", Activation(nn.Softplus))
    module = activation_module({"name": "softplus", "beta": 2.0})
    with torch.no_grad():  # as in the hot loop
        gradient = activation_gradient("softplus")(torch.ones_like(POINTS), POINTS, module(POINTS), module)
    torch.testing.assert_close(gradient, torch.sigmoid(2 * POINTS))


def test_known_values():
    z = torch.tensor([-2.0, 0.0, 3.0])
    expected = {
        "relu": [0, 0, 3],
        "leaky_relu": [-0.2, 0, 3],
        "identity": [-2, 0, 3],
        "tanh": z.tanh().tolist(),
        "sigmoid": z.sigmoid().tolist(),
        "elu": [z[0].expm1().item(), 0, 3],
        "lif_rate": [0.0004710147, 0.0081250528, 2.5705915495],
        "silu": (z * z.sigmoid()).tolist(),
        "gelu": [-0.0455003, 0, 2.9959502],
    }
    assert set(expected) == set(ACTIVATIONS)
    for name, values in expected.items():
        torch.testing.assert_close(activation_module(name)(z), torch.tensor(values, dtype=torch.float32))


def test_the_slope_is_the_tutorials_unless_given():
    assert parse_activation("leaky_relu") == ("leaky_relu", {"negative_slope": 0.1})
    assert parse_activation({"name": "leaky_relu"}) == ("leaky_relu", {"negative_slope": 0.1})
    assert parse_activation({"name": "leaky_relu", "negative_slope": 0.5})[1] == {"negative_slope": 0.5}
    assert parse_activation("tanh") == ("tanh", {})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("rleu", "got 'rleu'; did you mean relu?"),
        ("", "must be one of relu"),
        ("nn.ReLU()", "must be one of relu"),
        (None, "a name or a mapping"),
        (3, "a name or a mapping"),
        ({}, "a name or a mapping"),
        ({"name": 3}, "a name or a mapping"),
        ({"name": "nope"}, "got 'nope'"),
        ({"name": "relu", "inplace": True}, "no arguments, got the argument 'inplace'"),
        ({"name": "leaky_relu", "slope": 0.1}, "takes negative_slope, got the argument 'slope'"),
        ({"name": "identity", "anything": 1}, "no arguments, got the argument 'anything'"),
        ({"name": "tanh", "alpha": 1}, "no arguments, got the argument 'alpha'"),
    ],
)
def test_bad_activations_are_refused_in_one_line(given, words):
    for function in (parse_activation, activation_module):
        with pytest.raises(InputError) as caught:
            function(given)
        assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {"name": "gelu", "approximate": "nonsense"},
        {"name": "elu", "alpha": "x"},
        {"name": "leaky_relu", "negative_slope": None},
    ],
)
def test_wrong_argument_values_are_refused_when_built(given):
    with pytest.raises(InputError, match=f"model.activation: {given['name']} refuses"):
        activation_module(given)


def test_modules_are_fresh_and_leave_their_input():
    for name in ACTIVATIONS:
        z = torch.tensor([-1.0, 2.0])
        activation_module(name)(z)
        assert z.tolist() == [-1.0, 2.0]
    assert all(activation_module(n) is not activation_module(n) for n, _ in itertools.product(ACTIVATIONS, range(2)))
