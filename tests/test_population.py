import itertools
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mlplab.core import stacked_mlp
from mlplab.core.activations import ACTIVATIONS
from mlplab.core.losses import CrossEntropy, gradient_at_logits
from mlplab.core.member_axis import round_up
from mlplab.core.mlp import MLP
from mlplab.core.population import ModulePopulation, StackedMLP, can_stack, stack
from mlplab.core.seeds import derive
from mlplab.training.optimizers import Adam

LOSS = CrossEntropy()


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def labels_of(*shape, classes, seed=0):
    return torch.randint(classes, shape, generator=torch.Generator().manual_seed(seed))


def mlps(count, hidden, *, inputs=2, classes=4, dtype=torch.float32, **options):
    return [MLP(inputs, hidden, classes, seed=seed, **options).to(dtype) for seed in range(count)]


def cross_entropy_gradient(labels, classes, dtype):
    q, a = LOSS.targets(labels, classes, dtype)
    return partial(gradient_at_logits, q=q, a=a)


def quiet(build):
    """Build modules whose constructors draw from torch's global generator, which is put back."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build()


def named_gradients(population, index):
    return population.split(population.gradient[index])


def written_out(module, x, masks):
    """The MLP with given dropout masks, one a hidden layer, by plain torch operations under autograd."""
    h, masks = x.reshape(len(x), -1), iter(masks)
    for layer in module.layers:
        h = h * next(masks) if isinstance(layer, nn.Dropout) else layer(h)
    return h


# The gradient of one minibatch.


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


# A member's bits do not depend on its neighbours.


def train(population, x, y, steps, chunks=None):
    """Train all members for some steps; give logits, gradients, parameters and moments, each (P, ...)."""
    optimizer = Adam([population.theta], lr=0.05, weight_decay=0.01)
    shown = []
    for step in range(steps):
        for run in chunks or population.chunks(x.shape[2]):
            labels = y[run, step]
            classes = cross_entropy_gradient(labels, y.max() + 1, population.theta.dtype)
            logits = population.backward(run, x[run, step], classes, step)
            optimizer.update(run, population.gradient, step, 0.9)
            if step == steps - 1:
                shown.append(logits)
    return [torch.cat(shown), population.gradient, population.theta, *optimizer.moments.values()]


SHAPES = [
    ([], 2, 4, 1), ([], 2, 4, 33), ([5, 47], 2, 1, 33), ([1], 1, 2, 1), ([5], 2, 3, 7), ([7], 2, 4, 128), ([16], 3, 5, 16),
    ([11, 9], 2, 4, 33), ([128], 2, 4, 128), ([32, 32], 2, 4, 128), ([6, 7, 5], 5, 10, 12), ([64] * 4, 2, 4, 32),
    ([3, 3, 3, 3], 2, 2, 3), ([13], 64, 10, 9),
]  # fmt: skip


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


def test_chunks_cover_all_members_once(monkeypatch):
    population = stack(mlps(7, [128]), range(7))
    for size in (1, 1 << 18, 1 << 30):
        monkeypatch.setattr(stacked_mlp, "CACHE_BYTES", size)
        covered = [i for run in population.chunks(128) for i in range(7)[run]]
        assert covered == list(range(7))
    monkeypatch.setattr(stacked_mlp, "CACHE_BYTES", 1)
    assert len(population.chunks(128)) == 7


def test_a_forward_pass_in_parts_has_the_same_bits(monkeypatch):
    population = stack(mlps(5, [9]), range(5))
    x = draw(5, 40, 2)
    whole, shared = population.forward(x), population.forward(x[:1])
    monkeypatch.setattr(stacked_mlp, "FORWARD_BYTES", 1)
    assert torch.equal(population.forward(x), whole)
    assert torch.equal(population.forward(x[:1]), shared)
    assert torch.equal(population.forward(x[1:3], slice(1, 3)), whole[1:3])


@pytest.mark.parametrize("points", (1, 63, 64, 65, 130, 333))
def test_a_forward_pass_cut_by_points_knows_no_neighbours(points, monkeypatch):
    monkeypatch.setattr(stacked_mlp, "FORWARD_BYTES", 1)
    modules, x = mlps(5, [9, 12]), draw(5, points, 2)
    together = stack(modules, range(5)).forward(x)
    for index, module in enumerate(modules):
        assert torch.equal(stack([module], [index]).forward(x[index : index + 1])[0], together[index])
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


# Cutting rows into named arrays and back.


@pytest.mark.parametrize("kind", ("mlp", "module"))
def test_split_and_join_are_inverse(kind):
    def plain():
        return nn.Sequential(nn.Linear(2, 5), nn.Linear(5, 4))

    modules = mlps(3, [5, 2]) if kind == "mlp" else quiet(lambda: [plain() for _ in range(3)])
    population = stack(modules, range(3))
    named = population.split(population.theta[1])
    assert [(name, tuple(value.shape)) for name, value in named.items()] == population.names()
    for name, parameter in modules[1].named_parameters():
        assert torch.equal(named[name], parameter)
    before = population.theta.clone()
    population.join({name: value + 1 for name, value in named.items()}, population.theta[1])
    assert torch.equal(population.theta[[0, 2]], before[[0, 2]])
    assert all(torch.equal(population.split(population.theta[1])[name], value + 1) for name, value in named.items())
    named["layers.0.weight" if kind == "mlp" else "0.weight"].fill_(9.0)
    assert not (population.theta == 9).any()


@pytest.mark.parametrize("kind", ("mlp", "module"))
def test_a_member_is_a_copy(kind):
    def plain():
        return nn.Sequential(nn.Linear(2, 4), nn.Dropout())

    modules = mlps(2, [5], dropout=0.5) if kind == "mlp" else quiet(lambda: [plain(), plain()])
    population = stack(modules, range(2))
    member, x = population.member(1), draw(6, 2)
    assert not member.training
    torch.testing.assert_close(member(x), population.forward(x[None])[1])
    with torch.no_grad():
        for parameter in member.parameters():
            parameter.zero_()
    assert population.theta[1].any()
    assert all(p.untyped_storage().nbytes() == 4 * p.numel() for p in population.member(0).parameters())


@pytest.mark.parametrize("kind", ("mlp", "module"))
def test_looking_at_other_parameters_puts_its_own_back(kind):
    def build():
        norm = nn.BatchNorm1d(3)
        return nn.Sequential(nn.Linear(2, 3), norm)

    population = stack(mlps(2, [3]) if kind == "mlp" else quiet(lambda: [build(), build()]), range(2))
    own, x = population.theta.clone(), draw(1, 4, 2)
    buffers = {1: {k: v + 1 for k, v in population.buffers(1).items()}}
    before = population.forward(x)
    with pytest.raises(KeyError), population.at(torch.zeros_like(own), buffers):
        assert not population.theta.any()
        assert not torch.equal(population.forward(x), before)
        raise KeyError
    assert torch.equal(population.theta, own)
    assert torch.equal(population.forward(x), before)


# Modules of a user's own.


class Convolution(nn.Module):
    """An image classifier with everything that could make members depend on one another."""

    def __init__(self, seed):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.features = nn.Conv2d(1, 3, 3, padding=1)
            self.norm = nn.BatchNorm2d(3)
            self.drop = nn.Dropout(0.3)
            self.head = nn.Linear(3 * 4 * 4, 3)

    def forward(self, x):
        return self.head(self.drop(torch.relu(self.norm(self.features(x)))).flatten(1))


def test_a_module_with_dropout_and_norm_is_autograd_on_itself():
    seeds, x, y = [5, 6, 7], draw(3, 6, 1, 4, 4), labels_of(3, 6, classes=3)
    population = stack([Convolution(seed) for seed in seeds], seeds)
    assert isinstance(population, ModulePopulation)
    logits = population.backward(slice(None), x, cross_entropy_gradient(y, 3, torch.float32), 2)
    for index, seed in enumerate(seeds):
        reference = Convolution(seed)
        with torch.random.fork_rng():
            torch.manual_seed(derive(seed, "module", 2))
            own = reference(x[index])
        F.cross_entropy(own, y[index]).backward()
        assert torch.equal(logits[index], own)
        for name, parameter in reference.named_parameters():
            torch.testing.assert_close(named_gradients(population, index)[name], parameter.grad, rtol=1e-5, atol=1e-7)
        for name, buffer in reference.named_buffers():
            assert torch.equal(population.buffers(index)[name], buffer)
        assert torch.equal(population.forward(x)[index], population.member(index)(x[index]))


def test_a_modules_bits_do_not_depend_on_its_neighbours():
    x, y = draw(5, 3, 6, 1, 4, 4), labels_of(5, 3, 6, classes=3)
    many = stack([Convolution(seed) for seed in range(5)], range(5))
    together = train(many, x, y, 3)
    for index in range(5):
        one = stack([Convolution(index)], [index])
        for a, b in zip(together, train(one, x[index : index + 1], y[index : index + 1], 3)):
            assert torch.equal(a[index], b[0])
        for name, buffer in one.buffers(0).items():
            assert torch.equal(many.buffers(index)[name], buffer)


def test_buffers_are_read_and_written_by_member():
    population = stack([Convolution(0), Convolution(1)], [0, 1])
    named = population.buffers(0)
    assert set(named) == {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}
    named["norm.running_mean"] += 3
    assert not population.buffers(0)["norm.running_mean"].any()
    population.load_buffers(0, named)
    assert (population.buffers(0)["norm.running_mean"] == 3).all()
    assert not population.buffers(1)["norm.running_mean"].any()
    assert stack(mlps(2, [3]), [0, 1]).buffers(0) == {}


def test_a_modules_frozen_parameters_are_left_alone():
    def build():
        module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
        module[0].requires_grad_(False)
        return module

    modules = quiet(lambda: [build(), build()])
    before = modules[0][0].weight.clone()
    population = stack(modules, [0, 1])
    assert [name for name, _ in population.names()] == ["1.weight", "1.bias"]
    x, y = draw(2, 2, 4, 2), labels_of(2, 2, 4, classes=2)
    train(population, x, y, 2)
    assert torch.equal(population.member(0)[0].weight, before)
    assert set(population.buffers(0)) == {"0.weight", "0.bias"}


def test_a_module_without_parameters_or_of_no_use_in_part():
    population = stack([nn.Flatten(), nn.Flatten()], [0, 1])
    assert population.theta.shape == (2, 0)
    population.backward(slice(None), draw(2, 3, 2), lambda logits: logits, 0)
    modules = quiet(lambda: [nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)]) for _ in range(2)])
    for module in modules:
        module.forward = module[0].forward
    population = stack(modules, [0, 1])
    population.backward(slice(None), draw(2, 3, 2), lambda logits: logits, 0)
    assert not named_gradients(population, 0)["1.weight"].any()
    assert named_gradients(population, 0)["0.weight"].any()


# What may share a population.


def test_what_stacks():
    base = MLP(2, [5], 3)
    assert can_stack(base, MLP(2, [5], 3, seed=7, initialization="kaiming"))
    others = [
        MLP(2, [6], 3), MLP(2, [5, 5], 3), MLP(1, [5], 3), MLP(2, [5], 4), MLP(2, [5], 3, activation="tanh"),
        MLP(2, [5], 3, dropout=0.1), MLP(2, [5], 3).double(), quiet(lambda: nn.Linear(2, 3)),
    ]  # fmt: skip
    assert not any(can_stack(base, other) or can_stack(other, base) for other in others)
    slope = {"name": "leaky_relu", "negative_slope": 0.3}
    assert not can_stack(MLP(2, [5], 3, activation="leaky_relu"), MLP(2, [5], 3, activation=slope))
    small, same, wide, frozen = quiet(lambda: [nn.Linear(2, outputs) for outputs in (3, 3, 4, 3)])
    frozen.requires_grad_(False)
    assert can_stack(small, same) and not can_stack(small, wide) and not can_stack(small, frozen)


def test_a_subclass_of_mlp_keeps_its_own_forward_pass():
    class Doubled(MLP):
        def forward(self, x):
            return 2 * super().forward(x)

    population = stack([Doubled(2, [3], 2)], [0])
    assert isinstance(population, ModulePopulation) and isinstance(stack([MLP(2, [3], 2)], [0]), StackedMLP)
    x = draw(1, 4, 2)
    torch.testing.assert_close(population.forward(x)[0], 2 * MLP(2, [3], 2)(x[0]))


@pytest.mark.parametrize(
    ("modules", "seeds"),
    [
        ([], []),
        ([MLP(2, [3], 2)], []),
        ([MLP(2, [3], 2), MLP(2, [4], 2)], [0, 1]),
        ([MLP(2, [3], 2), nn.Flatten()], [0, 1]),
    ],
)
def test_what_does_not_stack_is_refused(modules, seeds):
    with pytest.raises(ValueError, match="population"):
        stack(modules, seeds)


def test_mixed_types_are_refused():
    module = quiet(lambda: nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double()))
    with pytest.raises(ValueError, match="one floating type"):
        stack([module], [0])


def test_round_up():
    assert [round_up(value, 4) for value, _ in itertools.product((0, 1, 4, 5), "a")] == [0, 4, 4, 8]
