"""A population of MLPs: its gradient, and that a member knows no neighbours."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from networks import LOSS, cross_entropy_gradient, draw, labels_of, mlps, named_gradients, train, written_out
from torch import nn

from mlplab.errors import InputError
from mlplab.nn.activations import ACTIVATIONS, Activation
from mlplab.nn.losses import CrossEntropy
from mlplab.nn.mlp import MLP
from mlplab.population import stacking
from mlplab.population.blocks import MemberData
from mlplab.population.engine import PIECE_BYTES, _is_plain, in_pieces
from mlplab.population.member_axis import round_up
from mlplab.population.optimizers import Adam
from mlplab.population.stacking import stack

# The gradient of one minibatch.


def test_each_hidden_layer_may_have_its_own_activation():
    own = ["tanh", {"name": "leaky_relu", "negative_slope": 0.3}, "relu"]
    modules = mlps(2, [5, 3, 6], inputs=3, dtype=torch.float64, activation=own)
    population = stack(modules, [10, 11])
    assert population.is_written_out and stack([population.member(0), modules[1]], [0, 1]).members == 2
    x, y = draw(2, 6, 3, dtype=torch.float64), labels_of(2, 6, classes=4)
    population.backward(slice(None), x, cross_entropy_gradient(y, 4, torch.float64), 0)
    for index, module in enumerate(modules):
        h = x[index]
        for layer, function in zip(module.linear_layers(), [torch.tanh, lambda z: F.leaky_relu(z, 0.3), torch.relu]):
            h = function(layer(h))
        F.cross_entropy(module.layers[-1](h), y[index]).backward()
        torch.testing.assert_close(population.forward(x)[index], module.layers[-1](h))
        gradients = named_gradients(population, index)
        for name, parameter in module.named_parameters():
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-11, atol=1e-13)
    with pytest.raises(ValueError, match="must share"):
        stack([modules[0], *mlps(1, [5, 3, 6], inputs=3, dtype=torch.float64, activation="tanh")], [0, 1])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", ([], [1], [7], [5, 9], [3, 4, 6], [2, 3, 1, 5]), ids=str)
@pytest.mark.parametrize("dropout", (0.0, 0.4))
def test_backward_is_autograd_member_by_member(activation, hidden, dropout):
    modules = mlps(3, hidden, inputs=3, dtype=torch.float64, activation=activation, dropout=dropout)
    population = stack(modules, [10, 11, 12])
    x, y = draw(3, 6, 3, dtype=torch.float64), labels_of(3, 6, classes=4)
    logits = population.backward(slice(None), x, cross_entropy_gradient(y, 4, torch.float64), 5)
    for index, module in enumerate(modules):
        masks = [
            population._dropout_mask(slice(None), x.new_zeros(3, round_up(width, 4), 8), 5, layer)[index, :width, :6].T
            for layer, width in enumerate(hidden)
        ]
        own = written_out(module, x[index], masks)
        torch.testing.assert_close(logits[index], own.detach(), rtol=1e-12, atol=1e-13)
        F.cross_entropy(own, y[index]).backward()
        gradients = named_gradients(population, index)
        assert gradients.keys() == dict(module.named_parameters()).keys()
        for name, parameter in module.named_parameters():
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    "entry", (Activation(nn.Identity), Activation(nn.Identity, lambda g, z, h, m: g)), ids=("autograd", "written")
)
def test_an_activation_may_hand_its_gradient_on_as_it_is(entry, monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "passed_on", entry)
    (module,) = mlps(1, [64] * 4, dtype=torch.float64, activation="passed_on")
    population = stack([module], [0])
    x, y = draw(1, 32, 2, dtype=torch.float64), labels_of(1, 32, classes=4)
    y[0, 0] = 3
    population.backward(slice(None), x, cross_entropy_gradient(y, 4, torch.float64), 0)
    F.cross_entropy(module(x[0]), y[0]).backward()
    own = named_gradients(population, 0)
    for name, parameter in module.named_parameters():
        assert torch.allclose(own[name], parameter.grad, rtol=1e-10, atol=1e-14)


def test_backward_is_the_finite_difference():
    population = stack(mlps(2, [3, 2], dtype=torch.float64, activation="tanh"), [0, 1])
    x, y = draw(2, 5, 2, dtype=torch.float64), labels_of(2, 5, classes=4)
    population.backward(slice(None), x, cross_entropy_gradient(y, 4, torch.float64), 0)
    gradient, step = population.gradient.clone(), 1e-6
    for column in range(population.theta.shape[1]):
        values = []
        for sign in (1, -1):
            population.theta[:, column] += sign * step
            values.append(LOSS.per_batch(population.forward(x), y))
            population.theta[:, column] -= sign * step
        if population.mask is None or population.mask[column]:
            torch.testing.assert_close(gradient[:, column], (values[0] - values[1]) / (2 * step), rtol=1e-6, atol=1e-8)
        else:
            assert not gradient[:, column].any()


def test_a_run_of_members_leaves_the_gradients_of_the_others():
    population = stack(mlps(5, [6]), range(5))
    x, y = draw(5, 4, 2), labels_of(5, 4, classes=4)
    population.backward(slice(None), x, cross_entropy_gradient(y, 4, torch.float32), 0)
    whole = population.gradient.clone()
    population.gradient.fill_(7.0)
    population.backward(slice(1, 3), x[1:3], cross_entropy_gradient(y[1:3], 4, torch.float32), 0)
    assert torch.equal(population.gradient[1:3], whole[1:3])
    assert (population.gradient[[0, 3, 4]] == 7).all()


def test_forward_is_the_module():
    for hidden in ([], [5], [7, 3]):
        modules = mlps(3, hidden, inputs=6, dropout=0.3 if hidden else 0.0)
        population = stack(modules, range(3))
        x = draw(3, 8, 2, 3)
        for index, module in enumerate(modules):
            torch.testing.assert_close(population.forward(x)[index], module.eval()(x[index]))
            torch.testing.assert_close(population.forward(x[:1])[index], module.eval()(x[0]))


def test_dead_units_stay_dead():
    population = stack(mlps(2, [5, 3], activation="sigmoid"), [0, 1])  # a sigmoid's dead unit gives 1/2
    optimizer = Adam([population.theta], lr=0.1, weight_decay=0.1)
    for step in range(5):
        y = labels_of(2, 8, classes=4, seed=step)
        population.backward(slice(None), draw(2, 8, 2, seed=step), cross_entropy_gradient(y, 4, torch.float32), step)
        optimizer.update(slice(None), population.gradient, step, 1.0)
    assert not population.theta[:, population.mask == 0].any()
    assert int(population.mask.sum()) == 2 * 5 + 5 + 5 * 3 + 3 + 3 * 4 + 4


def test_dropout_masks_have_their_rate_and_their_own_streams():
    population = stack(mlps(3, [64], dropout=0.25), [4, 4, 5])
    h = torch.zeros(3, 500, 64)
    mask = population._dropout_mask(slice(None), h, 0, 0)
    assert mask.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (mask == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert torch.equal(mask[0], mask[1]) and not torch.equal(mask[1], mask[2])
    assert torch.equal(population._dropout_mask(slice(2, 3), h[2:], 0, 0)[0], mask[2])
    for step, layer in ((1, 0), (0, 1)):
        assert not torch.equal(population._dropout_mask(slice(None), h, step, layer)[0], mask[0])


SHAPES = [
    ([], 2, 4, 1),
    ([], 2, 4, 33),
    ([5, 47], 2, 1, 33),
    ([1], 1, 2, 1),
    ([5], 2, 3, 7),
    ([7], 2, 4, 128),
    ([16], 3, 5, 16),
    ([11, 9], 2, 4, 33),
    ([128], 2, 4, 128),
    ([32, 32], 2, 4, 128),
    ([6, 7, 5], 5, 10, 12),
    ([64] * 4, 2, 4, 32),
    ([3, 3, 3, 3], 2, 2, 3),
    ([13], 64, 10, 9),
]


@pytest.mark.parametrize(("hidden", "inputs", "classes", "batch"), SHAPES, ids=str)
@pytest.mark.parametrize("dropout", (0.0, 0.5))
def test_a_members_bits_do_not_depend_on_its_neighbours(hidden, inputs, classes, batch, dropout):
    most, steps = 33, 3
    x, y = draw(most, steps, batch, inputs), labels_of(most, steps, batch, classes=classes)
    y[:, :, 0] = classes - 1

    def build(members):
        modules = [MLP(inputs, hidden, classes, seed=seed, dropout=dropout) for seed in members]
        return stack(modules, members)

    alone = {index: train(build([index]), x[index : index + 1], y[index : index + 1], steps) for index in (0, 1, 8, 32)}
    for count in (2, 9, 33):
        population = build(range(count))
        many = train(population, x[:count], y[:count], steps)
        if count == 9:
            whole = build(range(count))
            assert all(map(torch.equal, many, train(whole, x[:count], y[:count], steps, [slice(0, count)])))
        grid = draw(1, 50, inputs, seed=3)
        for index in (i for i in alone if i < count):
            for together, single in zip(many, alone[index]):
                assert torch.equal(together[index], single[0])
            single = build([index])
            single.theta.copy_(alone[index][2])
            assert torch.equal(population.forward(grid)[index], single.forward(grid)[0])
            assert torch.equal(population.forward(grid, slice(index, index + 1))[0], single.forward(grid)[0])


@pytest.fixture(params=(1, 2))
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    ("hidden", "classes", "batch"),
    (([1], 2, 1), ([5], 3, 7), ([8, 8], 3, 100), ([11, 9], 4, 33), ([64] * 3, 4, 32)),
    ids=str,
)
def test_no_activation_and_no_second_thread_lets_a_neighbour_be_felt(hidden, classes, batch, activation, threads):
    x, y = draw(9, 2, batch, 2), labels_of(9, 2, batch, classes=classes)
    y[:, :, 0] = classes - 1

    def trained(members):
        modules = [MLP(2, hidden, classes, seed=seed, activation=activation) for seed in members]
        return train(stack(modules, members), x[members], y[members], 2, [slice(0, len(members))])

    together = trained(list(range(9)))
    for index in (0, 4, 8):  # at both ends, and with neighbours on both sides
        assert all(torch.equal(many[index], alone[0]) for many, alone in zip(together, trained([index])))


def test_chunks_cover_all_members_once():
    population = stack(mlps(7, [128]), range(7))
    for size in (1, 1 << 18, 1 << 30):
        population.cache_bytes = size
        covered = [i for run in population.chunks(128) for i in range(7)[run]]
        assert covered == list(range(7))
    population.cache_bytes = 1
    assert len(population.chunks(128)) == 7
    # Two layers of 4 and one of 128 units and of 2 inputs, and four arrays of the parameters: so many bytes each.
    bytes_each = 4 * (128 * (2 + 128 + 4) + 4 * population.theta.shape[1])
    for fit, count in ((1, 7), (2, 4), (3, 3), (6, 2), (7, 1)):
        population.cache_bytes = fit * bytes_each
        assert len(population.chunks(128)) == count
        population.cache_bytes -= 1
        assert len(population.chunks(128)) == -(-7 // max(1, fit - 1))
    assert population.to(torch.device("meta")).chunks(128) == [slice(0, 7)]  # a GPU takes all at once


def test_a_forward_pass_in_parts_has_the_same_bits():
    population = stack(mlps(5, [9]), range(5))
    x = draw(5, 40, 2)
    whole, shared = population.forward(x), population.forward(x[:1])
    population.forward_bytes = 1
    assert torch.equal(population.forward(x), whole)
    assert torch.equal(population.forward(x[:1]), shared)
    assert torch.equal(population.forward(x[1:3], slice(1, 3)), whole[1:3])


@pytest.mark.parametrize("points", (1, 63, 64, 65, 130, 333))
def test_a_forward_pass_cut_by_points_knows_no_neighbours(points):
    def forward(modules, x):
        population = stack(modules, range(len(modules)))
        population.forward_bytes = 1
        return population.forward(x)

    modules, x = mlps(5, [9, 12]), draw(5, points, 2)
    together = forward(modules, x)
    for index, module in enumerate(modules):
        assert torch.equal(forward([module], x[index : index + 1])[0], together[index])
        with torch.no_grad():
            assert torch.allclose(together[index], module(x[index]), rtol=1e-5, atol=1e-6)


def test_a_members_nan_stays_with_it():
    x, y = draw(4, 3, 16, 2), labels_of(4, 3, 16, classes=4)
    good = train(stack(mlps(4, [9]), range(4)), x, y, 3)
    broken = stack(mlps(4, [9]), range(4))
    broken.theta[2] = math.nan
    bad = train(broken, x, y, 3)
    for a, b in zip(good, bad):
        assert torch.equal(a[[0, 1, 3]], b[[0, 1, 3]])
        assert b[2].isnan().any()


@pytest.mark.parametrize("count", [1, 7, 64])
def test_pieces_are_as_large_as_the_cache_and_make_the_whole(count):
    logits, labels = draw(count, 600, 12), labels_of(count, 600, classes=12)
    seen = []

    def per_member(x, y):
        seen.append(len(x))
        return F.cross_entropy(x.transpose(1, 2), y, reduction="none").mean(1)

    whole = in_pieces(per_member, logits, labels)
    most = PIECE_BYTES // (600 * 12 * 4)
    assert 1 < most < 64 and seen == [most] * (count // most) + [count % most] * (count % most > 0)
    torch.testing.assert_close(whole, per_member(logits, labels))
    seen.clear()
    large = draw(3, PIECE_BYTES // 8, 4), labels_of(3, PIECE_BYTES // 8, classes=4)
    torch.testing.assert_close(
        in_pieces(per_member, *large), torch.stack([F.cross_entropy(*one) for one in zip(*large)])
    )
    assert seen == [1, 1, 1]  # each larger than the cache by itself
    assert in_pieces(per_member, draw(2, 0, 4), labels_of(2, 0, classes=4)).isnan().all()


def test_points_may_be_arrays_of_any_shape():
    modules = mlps(2, [5], inputs=12, dtype=torch.float64)
    population = stack(modules, [0, 1])
    x = draw(2, 7, 12, dtype=torch.float64)
    expected = torch.stack([module(points) for module, points in zip(modules, x)])
    for shape in ((12,), (3, 4), (2, 3, 2)):
        torch.testing.assert_close(population.forward(x.reshape(2, 7, *shape)), expected)


@pytest.mark.parametrize(("members", "width", "points"), [(3, 16, 40), (40, 16, 300), (5, 64, 30_000), (2, 2000, 200)])
def test_the_room_of_an_evaluation_is_bounded_and_used(monkeypatch, members, width, points):
    """Two hidden layers at a time of as many members and points as fit, but never fewer than 64 points of one."""
    population = stack(mlps(members, [width, width], inputs=2), range(members))
    x, sizes, bmm = draw(members, points, 2), [], torch.bmm

    def seen(weight, h, *, out):
        sizes.append(out.numel() * out.element_size())
        return bmm(weight, h, out=out)

    expected = torch.stack([population.member(i)(x[i]) for i in range(members)])
    monkeypatch.setattr(torch, "bmm", seen)
    torch.testing.assert_close(population.forward(x), expected)
    most, whole = stacking.FORWARD_BYTES // 2, 4 * members * width * points
    assert max(sizes) <= max(most, 4 * width * stacking.FORWARD_POINTS_MULTIPLE)
    assert max(sizes) >= min(whole, most) / 3, "and the room is used"


def test_points_of_several_data_modules_are_as_many_and_of_one_shape():
    def member(points, features=2, validation=None):
        part = SimpleNamespace(x=torch.zeros(points, features), y=torch.zeros(points, dtype=torch.long))
        return SimpleNamespace(train=part, validation=validation)

    same = member(5)
    assert MemberData([same, same]).part("train")[0].shape == (1, 5, 2)
    x, y = MemberData([member(5), member(5)]).part("train", torch.float64)
    assert x.shape == (2, 5, 2) and y.shape == (2, 5) and x.dtype == torch.float64
    assert MemberData([member(5), member(6)]).part("validation") is None
    for name, members in (
        ("train", [member(5), member(6)]),
        ("train", [member(5), member(5, features=3)]),
        ("validation", [member(5), member(5, validation=same.train)]),
        ("validation", [member(5, validation=same.train), member(5)]),
    ):
        with pytest.raises(InputError, match=f"the {name} points must be as many, and of one shape"):
            MemberData(members).part(name)


@pytest.mark.parametrize(
    "options", [{"weight": [1.0, 2.0]}, {"label_smoothing": 0.1}, {"reduction": "sum"}, {"ignore_index": 0}], ids=str
)
def test_only_the_plain_mean_is_measured_as_the_nll(options):
    assert _is_plain(CrossEntropy()) and not _is_plain(CrossEntropy(**options))
