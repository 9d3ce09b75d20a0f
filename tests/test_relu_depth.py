"""Deep constructions against their exact errors, and every construction as a torch network."""

import numpy as np
import pytest
import torch

from mlplab.errors import InputError
from mlplab.studies.relu.depth import deep, fold
from mlplab.studies.relu.minimax import minimax
from mlplab.studies.relu.network import centred, to_mlp, to_sequential
from mlplab.studies.relu.sampling import errors, sample
from mlplab.studies.relu.sawtooth import blancmange, compose, layered, polynomial, product, sawtooth_sum, square
from mlplab.studies.relu.sums import from_units
from mlplab.studies.relu.targets import make_target


@pytest.mark.parametrize("m", range(1, 11))
def test_yarotskys_square_is_off_by_exactly_its_bound(m):
    x = np.arange(2 ** (m + 1) + 1) / 2 ** (m + 1)
    network = square(m)
    assert network.n == 3 * m - 1 and network.depth == m
    error = network(x) - x**2
    # Zero at the knots, the bound at every midpoint, all in binary fractions.
    assert np.array_equal(error[1::2], np.full(2**m, 2.0 ** -(2 * m + 2))) and np.array_equal(
        error[::2], np.zeros(2**m + 1)
    )
    assert np.abs(square(m, centered=True)(x) - x**2).max() == 2.0 ** -(2 * m + 3)
    assert np.abs(network(x.astype(np.float32)) - network(x)).max() < 1e-6


def test_takagis_function_and_tents():
    for m in (1, 2, 5, 9):
        x = np.linspace(0, 1, 3 * 2**m + 1)
        assert blancmange(m).n == 3 * m - 1
        assert np.abs(blancmange(m)(x) - make_target("takagi")(x)).max() == pytest.approx(2 / 3 * 2.0**-m, rel=1e-9)
    x = np.linspace(0, 1, 1001)
    assert np.allclose(sawtooth_sum(0.0, [0.0, 0.0, 1.0])(x), make_target("sawtooth")(x), atol=1e-12)


@pytest.mark.parametrize("m", [1, 3, 6])
def test_products(m):
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 81), np.linspace(0, 1, 81)), -1).reshape(-1, 2)
    assert np.abs(product(m)(grid) - grid.prod(1)).max() <= 3 * 2.0 ** -(2 * m + 3) + 1e-15


def test_polynomials_gain_a_factor_of_four_a_layer():
    x = np.linspace(0, 1, 2001)
    right = 1 - 3 * x + 2 * x**2 + 0.5 * x**4
    off = [np.abs(polynomial([1, -3, 2, 0, 0.5], m)(x) - right).max() for m in (3, 5, 7)]
    assert off[0] > 8 * off[1] > 64 * off[2] and off[2] < 2e-3


def test_folding_wins_over_the_best_single_layer():
    target = make_target("sin")
    network = deep(target, 64)
    assert network.n == 64 and network.depth == 2
    assert errors(target, network, sample(target, 600).x)[0] < 1e-4 < minimax(target, 65).lower_bound
    layer, low, high = fold(make_target("cos"))
    assert layer.n == 2 and (low, high) == (0, np.pi) and fold(make_target("exp")) is None
    x = np.linspace(0, 2 * np.pi, 50)
    assert np.allclose(np.cos(layer(x)), np.cos(x), atol=1e-12)


@pytest.mark.parametrize("name", ["x2", "takagi", "sawtooth", "sin", "cos", "runge", "exp", "cubic"])
@pytest.mark.parametrize("n", [8, 40])
def test_deep_networks_keep_to_their_units(name, n):
    target = make_target(name)
    try:
        network = deep(target, n)
    except InputError as error:
        assert "n must be at least" in str(error) and n == 8
        return
    assert network.n <= n and np.isfinite(network(np.linspace(target.low, target.high, 100))).all()


@pytest.mark.parametrize(
    ("name", "n", "word"),
    [
        ("x2", 1, "at least 2"),
        ("sin", 3, "at least 4"),
        ("step", 9, None),
        ("abs", 9, "symmetry"),
        ("sawtooth", 7, "at least 8"),
    ],
)
def test_what_depth_does_not_suit(name, n, word):
    if word is None:
        with pytest.raises(InputError, match="symmetry"):
            deep(make_target(name, -1, 2), n)
    else:
        with pytest.raises(InputError, match=word):
            deep(make_target(name), n)


def test_compose_is_composition():
    inner, outer = square(2), square(3)
    x = np.linspace(0, 1, 100)
    assert np.allclose(compose(outer, inner)(x), outer(inner(x)), atol=1e-14)


@pytest.mark.parametrize("name", ["sin", "exp", "sqrt", "runge", "abs"])
@pytest.mark.parametrize("n", [1, 2, 9, 256])
def test_constructions_export_to_torch_within_a_millionth(name, n):
    target = make_target(name)
    fit = minimax(target, n).fit
    interval = target.low, target.high
    x = np.linspace(*interval, 4001).astype(np.float32)
    right = fit(x.astype(np.float64))
    column = torch.from_numpy(x)[:, None]
    with torch.no_grad():
        for network in (to_sequential(fit, interval), to_mlp(fit, interval)):
            assert np.abs(network(column)[:, 0].numpy() - right).max() < 1e-6
        double = to_sequential(fit, interval, torch.float64)(column.double())[:, 0].numpy()
    assert np.abs(double - right).max() < 1e-12
    assert centred(fit, *interval).n == n
    assert [tuple(p.shape) for p in to_sequential(fit).state_dict().values()] == [(n, 1), (n,), (1, n), (1,)]


def test_deep_constructions_and_linear_terms_export_too():
    x = torch.linspace(0, 1, 513)[:, None]
    with torch.no_grad():
        for network in (square(5), deep(make_target("x2"), 20)):
            for module in (to_sequential(network), to_mlp(network)):
                assert np.abs(module(x)[:, 0].numpy() - network(x[:, 0].double().numpy())).max() < 1e-6
        left = from_units(np.array([-1.0, 2.0]), np.array([0.5, -1.0]), np.array([1.5, 1.0]), 0.25)
        assert left.linear and layered(left).n == left.n + 2
        assert np.abs(to_sequential(left, (0, 1))(x)[:, 0].numpy() - left(x[:, 0].double().numpy())).max() < 1e-6


def test_an_exported_network_loads_and_trains():
    fit = minimax(make_target("sin"), 9).fit
    mlp = to_mlp(fit)
    other = to_mlp(minimax(make_target("cos"), 9).fit)
    other.load_state_dict(mlp.state_dict())
    x = torch.linspace(0, 6, 100)[:, None]
    assert torch.equal(other(x), mlp(x))
    before = ((mlp(x) - torch.sin(x)) ** 2).mean()
    optimizer = torch.optim.SGD(mlp.parameters(), lr=1e-3)
    before.backward()
    optimizer.step()
    assert ((mlp(x) - torch.sin(x)) ** 2).mean() < before
