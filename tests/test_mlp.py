import math

import pytest
import torch
from torch import nn

from mlplab.errors import InputError
from mlplab.nn.mlp import INITIALIZATIONS, MLP, dropout_mask, hidden_widths
from mlplab.population.stacking import stack
from mlplab.seeds import derive


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def layers_by_torch(widths, seed):
    """Weights and biases that torch.manual_seed and plain nn.Linear layers give."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return [nn.Linear(a, b) for a, b in zip(widths, widths[1:])]


def test_reference_shapes_and_counts():
    model = MLP(2, [100, 10, 5], 1, seed=0)
    assert model(torch.zeros(100, 2)).shape == (100, 1)
    assert count(model) == 1371
    assert count(MLP(2, [128], 4, seed=0)) == 900 == count(MLP(2, out_features=4, seed=0))


@pytest.mark.parametrize("widths", ([2, 128, 4], [2, 4], [1, 1, 1], [3, 7, 5, 2], [2, 100, 10, 5, 1]))
@pytest.mark.parametrize("seed", (0, 2021))
def test_init_seed_gives_torchs_own_layers(widths, seed):
    model = MLP(widths[0], widths[1:-1], widths[-1], init_seed=seed)
    linear = model.linear_layers()
    assert len(linear) == len(widths) - 1
    for own, theirs in zip(linear, layers_by_torch(widths, seed)):
        assert torch.equal(own.weight, theirs.weight) and torch.equal(own.bias, theirs.bias)


def test_seed_is_derived_and_zero_is_a_seed():
    first = MLP(2, [8], 3, seed=0)
    assert torch.equal(first.layers[0].weight, MLP(2, [8], 3, init_seed=derive(0, "weights")).layers[0].weight)
    assert torch.equal(first.layers[0].weight, MLP(2, [8], 3, seed=0).layers[0].weight)
    assert not torch.equal(first.layers[0].weight, MLP(2, [8], 3, seed=1).layers[0].weight)
    assert not torch.equal(first.layers[0].weight, MLP(2, [8], 3, init_seed=0).layers[0].weight)


def test_forward_is_the_affine_maps_and_activations():
    model = MLP(3, [5, 4], 2, activation={"name": "leaky_relu", "negative_slope": 0.2}, seed=3).double()
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    h = x
    for layer in model.linear_layers()[:-1]:
        z = h @ layer.weight.T + layer.bias
        h = torch.where(z > 0, z, 0.2 * z)
    expected = h @ model.layers[-1].weight.T + model.layers[-1].bias
    torch.testing.assert_close(model(x), expected)


def test_a_list_of_activations_is_one_a_hidden_layer():
    model = MLP(2, [3, 4], 2, activation=["relu", "tanh"], seed=0)
    assert model.describe() == "MLP 2–3–4–2 (ReLU, tanh)" and model.arguments["activation"] == ["relu", "tanh"]
    assert MLP(2, [3, 4], 2, activation=["tanh", "tanh"], seed=0).arguments["activation"] == "tanh"
    assert MLP(2, [], 2, activation=[], seed=0).describe() == "MLP 2–2"
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    first, second, last = model.linear_layers()
    assert torch.equal(model(x), last(torch.tanh(second(torch.relu(first(x))))))
    with pytest.raises(InputError, match="one for each hidden layer: 2, got 3"):
        MLP(2, [3, 4], 2, activation=["relu"] * 3, seed=0)
    with pytest.raises(InputError, match="did you mean relu"):
        MLP(2, [3], 2, activation=["rleu"], seed=0)


def test_degenerate_shapes():
    assert count(MLP(2, [], 4, seed=0)) == 12 and MLP(2, [], 4, seed=0).layers[0].weight.shape == (4, 2)
    assert MLP(2, depth=0, out_features=4, seed=0).hidden == []
    assert MLP(1, [1], 1, seed=0)(torch.ones(1, 1)).shape == (1, 1)
    assert MLP(2, [3], 4, seed=0)(torch.zeros(0, 2)).shape == (0, 4)
    assert MLP(3 * 4 * 5, [6], 2, seed=0)(torch.zeros(7, 3, 4, 5)).shape == (7, 2)
    assert MLP(1, [6], 2, seed=0)(torch.zeros(7)).shape == (7, 2)


def test_any_input_shape_is_flattened_in_order():
    model = MLP(6, [4], 2, seed=0)
    x = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(model(x), model(x.reshape(5, 6)))
    assert torch.equal(model(x.transpose(1, 2).transpose(1, 2)), model(x))


def test_dropout_stands_after_each_activation_and_only_in_training():
    model = MLP(2, [50, 50], 3, dropout=0.5, seed=0)
    assert [type(layer).__name__ for layer in model.layers] == ["Linear", "ReLU", "Dropout"] * 2 + ["Linear"]
    x = torch.ones(4, 2)
    with torch.random.fork_rng():
        assert not torch.equal(model.train()(x), model(x))
    assert torch.equal(model.eval()(x), model(x))
    assert not any(isinstance(layer, nn.Dropout) for layer in MLP(2, [5], 3, seed=0).layers)


def test_initializations_have_their_variances():
    wide = {name: MLP(400, [600], 3, initialization=name, seed=0).layers[0] for name in INITIALIZATIONS}
    variance = {"default": 1 / (3 * 400), "kaiming": 2 / 400, "xavier": 2 / 1000}
    for name, value in variance.items():
        assert wide[name].weight.var().item() == pytest.approx(value, rel=0.02)
        assert wide[name].weight.mean().item() == pytest.approx(0, abs=4 * math.sqrt(value / 240_000))
    assert wide["default"].weight.abs().max() <= 1 / 20 and wide["default"].bias.abs().max() <= 1 / 20
    assert wide["default"].bias.any()
    for name in ("kaiming", "xavier", "orthogonal"):
        assert not wide[name].bias.any()
    product = wide["orthogonal"].weight.T @ wide["orthogonal"].weight
    torch.testing.assert_close(product, torch.eye(400), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("kaiming", lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu")),
        ("xavier", nn.init.xavier_uniform_),
        ("orthogonal", nn.init.orthogonal_),
    ],
)
def test_initializations_are_torchs_draws(name, function):
    model = MLP(3, [5], 2, initialization=name, init_seed=9)
    with torch.random.fork_rng():
        torch.manual_seed(9)
        expected = [function(torch.empty(5, 3)), function(torch.empty(2, 5))]
    assert torch.equal(model.layers[0].weight, expected[0])
    assert torch.equal(model.layers[2].weight, expected[1])


def test_weights_start_trainable_and_without_gradient():
    for parameter in MLP(2, [3], 2, seed=0).parameters():
        assert parameter.requires_grad and parameter.grad is None and parameter.is_leaf


def test_describe():
    assert MLP(2, [64, 32], 4, seed=0).describe() == "MLP 2–64–32–4 (ReLU)"
    assert MLP(2, [], 4, activation="tanh", seed=0).describe() == "MLP 2–4"
    assert MLP(2, [3], 4, activation="tanh", seed=0).describe() == "MLP 2–3–4 (tanh)"


def test_hidden_widths():
    assert hidden_widths(None, 7, 3) == [7, 7, 7]
    assert hidden_widths(None, 7, 0) == [] == hidden_widths([], 7, 3)
    assert hidden_widths((5, 1), 7, 3) == [5, 1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"hidden": [0]}, r"model.hidden must be null, or a list, each entry an integer >= 1, got \[0\]"),
        ({"hidden": [4, -1]}, r"got \[4, -1\]"),
        ({"hidden": [2.5]}, r"got \[2.5\]"),
        ({"hidden": [True]}, r"got \[True\]"),
        ({"hidden": 5}, "model.hidden must be null, or a list"),
        ({"hidden": "128"}, "model.hidden must be null, or a list"),
        ({"width": 0}, "model.width must be an integer >= 1, got 0"),
        ({"width": 1.0}, "model.width"),
        ({"depth": -1}, "model.depth must be an integer from 0 to 10000, got -1"),
        ({"depth": 1.5}, "model.depth"),
        ({"depth": True}, "model.depth"),
        ({"in_features": 0}, "model.in_features must be an integer >= 1, got 0"),
        ({"out_features": 0}, "model.out_features must be an integer >= 1, got 0"),
        ({"dropout": 1.0}, "model.dropout must be a number >= 0 and < 1, got 1.0"),
        ({"dropout": -0.1}, "model.dropout"),
        ({"dropout": math.nan}, "model.dropout"),
        ({"dropout": "0.5"}, "model.dropout"),
        ({"initialization": "he"}, "default, kaiming, xavier, orthogonal, got 'he'"),
        ({"activation": "nope"}, "model.activation"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments, words):
    with pytest.raises(InputError, match=words) as caught:
        MLP(**{"in_features": 2, "out_features": 2} | arguments)
    assert "\n" not in str(caught.value)


def test_a_wrong_input_shape_is_refused():
    with pytest.raises(RuntimeError):
        MLP(2, [3], 2, seed=0)(torch.zeros(4, 3))


@pytest.mark.parametrize(("width", "points"), [(1, 1), (4, 8), (5, 9), (12, 16)])
def test_a_mask_is_drawn_for_widths_in_fours_and_points_in_eights(width, points):
    """As recorded runs with dropout have drawn it: a change would give them other bits."""
    room = torch.empty(-(-width // 4) * 4, -(-points // 8) * 8, dtype=torch.float64)
    room.bernoulli_(0.75, generator=torch.Generator().manual_seed(derive(3, "dropout", 5, 1)))
    found = dropout_mask(width, points, 0.25, 3, 5, 1, torch.float64)
    assert torch.equal(found, room[:width, :points] / 0.75)


def test_the_parameters_of_a_population_begin_at_multiples_of_sixteen_numbers():
    population = stack([MLP(2, [5], 4, seed=0)], [0])
    # Five units in eight rows: weights 8 x 2, biases 8; weights 4 x 8, biases 4.
    assert [where[-1] for where in population.layout] == [0, 16, 32, 64] and population.theta.shape == (1, 80)
