"""Rows and named arrays, modules of a user's own in a population, and what may share one."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from networks import cross_entropy_gradient, draw, labels_of, mlps, named_gradients, quiet, train
from torch import nn

from mlplab.errors import InputError
from mlplab.nn.mlp import MLP
from mlplab.population.member_axis import ModulePopulation, round_up
from mlplab.population.stacking import StackedMLP, can_stack, stack
from mlplab.seeds import derive

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
    with pytest.raises(InputError, match="1.weight has no part in its output"):
        stack(modules, [0, 1]).backward(slice(None), draw(2, 3, 2), lambda logits: logits, 0)


def test_what_stacks():
    base = MLP(2, [5], 3, seed=0)
    assert can_stack(base, MLP(2, [5], 3, seed=7, initialization="kaiming"))
    others = [
        MLP(2, [6], 3, seed=0),
        MLP(2, [5, 5], 3, seed=0),
        MLP(1, [5], 3, seed=0),
        MLP(2, [5], 4, seed=0),
        MLP(2, [5], 3, activation="tanh", seed=0),
        MLP(2, [5], 3, dropout=0.1, seed=0),
        MLP(2, [5], 3, seed=0).double(),
        quiet(lambda: nn.Linear(2, 3)),
    ]
    assert not any(can_stack(base, other) or can_stack(other, base) for other in others)
    slope = {"name": "leaky_relu", "negative_slope": 0.3}
    assert not can_stack(MLP(2, [5], 3, activation="leaky_relu", seed=0), MLP(2, [5], 3, activation=slope, seed=0))
    small, same, wide, frozen = quiet(lambda: [nn.Linear(2, outputs) for outputs in (3, 3, 4, 3)])
    frozen.requires_grad_(False)
    assert can_stack(small, same) and not can_stack(small, wide) and not can_stack(small, frozen)


def test_a_subclass_of_mlp_keeps_its_own_forward_pass():
    class Doubled(MLP):
        def forward(self, x):
            return 2 * super().forward(x)

    population = stack([Doubled(2, [3], 2, seed=0)], [0])
    assert isinstance(population, ModulePopulation) and isinstance(stack([MLP(2, [3], 2, seed=0)], [0]), StackedMLP)
    x = draw(1, 4, 2)
    torch.testing.assert_close(population.forward(x)[0], 2 * MLP(2, [3], 2, seed=0)(x[0]))


@pytest.mark.parametrize(
    ("modules", "seeds"),
    [
        ([], []),
        ([MLP(2, [3], 2, seed=0)], []),
        ([MLP(2, [3], 2, seed=0), MLP(2, [4], 2, seed=0)], [0, 1]),
        ([MLP(2, [3], 2, seed=0), nn.Flatten()], [0, 1]),
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
