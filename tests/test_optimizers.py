import copy
import functools
import itertools

import pytest
import torch

from mlplab.population.optimizers import (
    SGD,
    Adam,
    AdamW,
    MemberOptimizer,
    MuonAndAdamW,
    moments_of,
    moments_of_members,
    optimizer_over,
)

KINDS = {
    "adam": (Adam, torch.optim.Adam, {"lr": 0.01}),
    "adam with decay": (Adam, torch.optim.Adam, {"lr": 0.01, "weight_decay": 0.1, "betas": (0.8, 0.95), "eps": 1e-5}),
    "adamw": (AdamW, torch.optim.AdamW, {"lr": 0.01}),
    "adamw with decay": (AdamW, torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.3, "betas": (0.0, 0.5)}),
    "sgd": (SGD, torch.optim.SGD, {"lr": 0.1}),
    "sgd with momentum": (SGD, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    "nesterov": (SGD, torch.optim.SGD, {"lr": 0.1, "momentum": 0.5, "nesterov": True}),
}
# What may differ from member to member, as lists of one value a member.
VARIED = {
    Adam: {
        "lr": [0.1, 0.01, 0.01, 0.0],
        "weight_decay": [0.0, 0.5, 0.5, 0.1],
        "eps": [1e-8, 1e-8, 1e-8, 1e-3],
        "betas": [(0.9, 0.999), (0.9, 0.999), (0.9, 0.999), (0.5, 0.5)],
    },
    AdamW: {"lr": [0.1, 0.01, 0.01, 0.3], "weight_decay": [0.0, 0.5, 0.5, 0.1]},
    SGD: {
        "lr": [0.1, 0.2, 0.2, 0.3],
        "momentum": [0.0, 0.9, 0.9, 0.5],
        "weight_decay": [0.0, 0.1, 0.1, 0.0],
        "nesterov": [False, True, True, False],
    },
}


# Rows of a population are multiples of 16 numbers long: a kernel's vectors then never straddle two members.
ROW = 48


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def steps(optimizer, theta, gradients, factors=None, runs=(slice(None),)):
    for count, gradient in enumerate(gradients):
        for run in runs:
            optimizer.update(run, gradient, count, 1.0 if factors is None else factors[count])
    return theta


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
@pytest.mark.parametrize("shape", ((1, 1), (1, 900), (3, 37), (5, 64)))
def test_bits_are_those_of_torchs_fused_optimizer(kind, dtype, shape):
    own_class, torch_class, settings = KINDS[kind]
    start, gradients = draw(*shape, dtype=dtype), [draw(*shape, seed=i + 1, dtype=dtype) for i in range(6)]
    factors = [1.0, 0.5, 0.25, 1.0, 0.1, 0.0]
    theta = start.clone()
    own = own_class([theta], **settings)
    steps(own, theta, gradients, factors)
    reference = torch.nn.Parameter(start.clone())
    theirs = torch_class([reference], fused=True, **settings)
    for gradient, factor in zip(gradients, factors):
        theirs.param_groups[0]["lr"] = settings["lr"] * factor
        reference.grad = gradient.clone()
        theirs.step()
    assert torch.equal(theta, reference.detach())
    for name, moment in own.moments.items():
        expected = theirs.state[reference].get(name)
        assert torch.equal(moment, torch.zeros_like(moment) if expected is None else expected)


@pytest.mark.parametrize("kind", KINDS)
def test_step_is_what_torchs_optimizers_offer(kind):
    own_class, _, settings = KINDS[kind]
    start, gradients = draw(2, 8), [draw(2, 8, seed=i + 1) for i in range(4)]
    first = torch.nn.Parameter(start.clone(), requires_grad=False)
    optimizer = own_class([first], **settings)
    assert isinstance(optimizer, torch.optim.Optimizer)
    for gradient in gradients:
        first.grad = gradient
        assert optimizer.step(lambda: 3.0) == 3.0
    second = start.clone()
    assert torch.equal(first.detach(), steps(own_class([second], **settings), second, gradients))


@pytest.mark.parametrize("own_class", VARIED, ids=lambda c: c.__name__)
def test_settings_of_each_member_are_those_of_separate_runs(own_class):
    varied = VARIED[own_class]
    start, gradients = draw(4, ROW), [draw(4, ROW, seed=i + 1) for i in range(5)]
    together = start.clone()
    optimizer = own_class([together], **varied)
    steps(optimizer, together, gradients, [1, 0.5, 1, 0.7, 1])
    for index in range(4):
        alone = start[index : index + 1].clone()
        settings = {name: column[index] for name, column in varied.items()}
        single = own_class([alone], **settings)
        steps(single, alone, [g[index : index + 1] for g in gradients], [1, 0.5, 1, 0.7, 1])
        assert torch.equal(together[index], alone[0])
        for name, moment in optimizer.moments.items():
            assert torch.equal(moment[index], single.moments[name][0])


@pytest.mark.parametrize("own_class", VARIED, ids=lambda c: c.__name__)
def test_runs_of_members_in_turn_are_one_step(own_class):
    start, gradients = draw(4, ROW), [draw(4, ROW, seed=i + 1) for i in range(5)]
    whole, parts = start.clone(), start.clone()
    steps(own_class([whole], **VARIED[own_class]), whole, gradients)
    runs = (slice(0, 1), slice(1, 3), slice(3, 4))
    steps(own_class([parts], **VARIED[own_class]), parts, gradients, runs=runs)
    assert torch.equal(whole, parts)


def test_members_of_equal_settings_are_one_call():
    optimizer = Adam([torch.zeros(5, 4)], lr=[1.0, 1.0, 2.0, 2.0, 1.0])
    runs = [(run.start, run.stop, settings["lr"]) for run, settings in optimizer.runs(slice(None))]
    assert runs == [(0, 2, 1.0), (2, 4, 2.0), (4, 5, 1.0)]
    assert [run for run, _ in optimizer.runs(slice(1, 3))] == [slice(1, 2), slice(2, 3)]


def test_a_members_nan_stays_with_it():
    for own_class in (Adam, AdamW, SGD):
        gradients = [draw(3, 16, seed=i) for i in range(3)]
        clean, dirty = draw(3, 16, seed=9), draw(3, 16, seed=9)
        settings = {"momentum": 0.9} if own_class is SGD else {}
        steps(own_class([clean], lr=0.1, **settings), clean, gradients)
        gradients[1][1] = torch.nan
        steps(own_class([dirty], lr=0.1, **settings), dirty, gradients)
        assert torch.equal(clean[[0, 2]], dirty[[0, 2]]) and dirty[1].isnan().all()


def test_a_betas_list_of_a_config_is_one_value():
    pair = Adam([torch.zeros(2, 3)], betas=[0.8, 0.9])
    assert [settings["betas"] for settings in pair.settings] == [(0.8, 0.9)] * 2
    each = Adam([torch.zeros(2, 3)], betas=[[0.8, 0.9], [0.1, 0.2]])
    assert [settings["betas"] for settings in each.settings] == [(0.8, 0.9), (0.1, 0.2)]


def test_a_wrong_number_of_settings_is_refused():
    for own_class, count in itertools.product((Adam, AdamW, SGD), (1, 3)):
        with pytest.raises(ValueError, match="optimizer.lr must be one value or one for each of 2 members"):
            own_class([torch.zeros(2, 3)], lr=[0.1] * count)


def test_moments_start_at_zero_and_no_state_is_shared():
    one, two = Adam([torch.zeros(2, 3)]), Adam([torch.zeros(2, 3)])
    assert set(one.moments) == {"exp_avg", "exp_avg_sq"} and set(SGD([torch.zeros(1, 1)]).moments) == {
        "momentum_buffer"
    }
    one.update(slice(None), torch.ones(2, 3), 0, 1.0)
    assert one.moments["exp_avg"].all() and not two.moments["exp_avg"].any()


def test_a_step_takes_a_closure_that_computes_the_gradient():
    theta = torch.nn.Parameter(torch.ones(1, 16))
    optimizer = SGD([theta], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (theta**2).sum() / 2
        loss.backward()
        return loss

    assert [optimizer.step(closure).item() for _ in range(3)] == [8, 2, 0.5]
    assert theta.eq(0.125).all()


def test_an_update_finds_arrays_that_were_moved():
    theta = torch.nn.Parameter(torch.ones(2, 16), requires_grad=False)
    optimizer, gradient = SGD([theta], lr=1.0), torch.ones(2, 16)
    optimizer.update(slice(0, 1), gradient, 0, 1.0)
    theta.data = theta.data.clone()
    optimizer.update(slice(0, 1), gradient, 1, 1.0)
    optimizer.update(slice(0, 1), 3 * gradient, 2, 1.0)
    assert theta[0].eq(-4).all() and theta[1].eq(1).all()


def test_one_members_own_betas_are_a_list_of_one_pair():
    assert Adam([torch.zeros(1, 3)], betas=[[0.8, 0.9]]).settings[0]["betas"] == (0.8, 0.9)
    assert Adam([torch.zeros(1, 3)], lr=[0.5]).param_groups[0]["lr"] == 0.5


def parameters():
    draws = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(*shape, generator=draws)) for shape in ((3, 2), (3,), (2, 3), (2,))]


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
def test_muon_takes_the_matrices_and_adamw_the_rest():
    make = functools.partial(torch.optim.Muon, lr=0.01)
    own, theirs = parameters(), parameters()
    both = optimizer_over(make, own)
    parts = make([theirs[0], theirs[2]]), torch.optim.AdamW([theirs[1], theirs[3]], lr=0.01)
    assert isinstance(both, MuonAndAdamW) and [len(group["params"]) for group in both.param_groups] == [2, 2]

    def step(parameters, optimizers, scale):
        for parameter in parameters:
            parameter.grad = parameter.detach() * scale
        return [optimizer.step() for optimizer in optimizers]

    for scale in (1.0, 0.5):
        step(own, [both], scale)
        step(theirs, parts, scale)
    assert all(map(torch.equal, own, theirs)) and both.step(lambda: 5) == 5 and torch.is_grad_enabled()
    again_of = [torch.nn.Parameter(parameter.detach().clone()) for parameter in own]
    again = optimizer_over(make, again_of)
    again.load_state_dict(copy.deepcopy(both.state_dict()))
    again.param_groups[1]["lr"] = both.param_groups[1]["lr"] = 0.5  # a schedule's hand reaches the parts
    for parameters_of, optimizer in ((own, both), (again_of, again)):
        step(parameters_of, [optimizer], 2.0)
    assert all(map(torch.equal, own, again_of))
    seen = []
    both.step(lambda: seen.append(torch.is_grad_enabled()))
    with torch.no_grad():
        both.step(lambda: seen.append(torch.is_grad_enabled()))
    assert seen == [True, True]


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
def test_matrices_alone_need_no_adamw_and_other_optimisers_take_all():
    matrices = parameters()[::2]
    for make in (torch.optim.Muon, functools.partial(torch.optim.Muon, lr=0.1)):
        assert type(optimizer_over(make, iter(matrices))) is torch.optim.Muon
    for make in (torch.optim.SGD, functools.partial(torch.optim.Adam, lr=0.1)):
        made = optimizer_over(make, iter(parameters()))
        assert type(made) in (torch.optim.SGD, torch.optim.Adam) and len(made.param_groups[0]["params"]) == 4


def test_what_an_optimiser_keeps_of_each_member():
    theta = torch.nn.Parameter(torch.ones(2, 3))
    own, theirs = Adam([theta]), torch.optim.Adam([theta])
    assert moments_of(own, theta) is own.moments and moments_of_members(own, theta).keys() == own.moments.keys()
    theta.grad = torch.ones(2, 3)
    theirs.step()
    assert moments_of(theirs, theta) is theirs.state[theta]
    assert moments_of_members(theirs, theta).keys() == {"exp_avg", "exp_avg_sq"}  # not the number of steps
    with pytest.raises(TypeError, match="use Adam, AdamW or SGD"):
        MemberOptimizer([theta], lr=0.1).update(slice(None), theta.grad, 0, 1.0)
