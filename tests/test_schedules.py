import itertools
import math

import pytest
import torch

from mlplab.population.schedules import Constant, Cosine, OneCycle, Step

LENGTHS = ((1, 1), (7, 7), (100, 10), (2500, 25))  # steps, steps of an epoch


def rates(make, steps):
    """Learning rates that a scheduler of torch gives to each of so many steps, starting from 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler, found = make(optimizer), []
    for index in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if index + 1 < steps:
            scheduler.step()
    return found


def factors(schedule, steps, per_epoch):
    return [schedule.at(step, steps, per_epoch) for step in range(steps)]


@pytest.mark.parametrize(("steps", "per_epoch"), LENGTHS)
@pytest.mark.parametrize("final", (0.0, 0.1, 1.0))
def test_cosine_is_torchs(steps, per_epoch, final):
    expected = rates(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=steps, eta_min=final), steps)
    assert factors(Cosine(final_fraction=final), steps, per_epoch) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("steps", (4, 10, 100, 2500))
@pytest.mark.parametrize("warmup", (0.3, 0.5, 0.9))
def test_one_cycle_is_torchs(steps, warmup):
    def make(optimizer):
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=1.0,
            total_steps=steps,
            pct_start=warmup,
            anneal_strategy="cos",
            div_factor=25.0,
            final_div_factor=1e4,
            cycle_momentum=False,
        )

    expected = rates(make, steps)
    own = OneCycle(warmup_fraction=warmup, initial_fraction=1 / 25, final_fraction=1 / 25e4)
    assert factors(own, steps, 1) == pytest.approx(expected, abs=1e-9)
    if warmup == 0.3:
        assert factors(OneCycle(), steps, 1) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("every", "factor"), ((1, 0.5), (3, 0.1), (30, 0.9)))
def test_step_is_torchs(every, factor):
    epochs, per_epoch = 40, 5
    per_epoch_rates = rates(lambda o: torch.optim.lr_scheduler.StepLR(o, step_size=every, gamma=factor), epochs)
    expected = [rate for rate in per_epoch_rates for _ in range(per_epoch)]
    own = factors(Step(every_epochs=every, factor=factor), epochs * per_epoch, per_epoch)
    assert own == pytest.approx(expected, rel=1e-12)


def test_constant():
    assert set(factors(Constant(), 50, 5)) == {1.0}


def test_warmup_rises_by_equal_parts_and_then_falls():
    own = factors(Cosine(warmup_epochs=2), 100, 10)
    assert own[:20] == pytest.approx([(k + 1) / 20 for k in range(20)])
    assert own[20] == 1.0 and all(a > b for a, b in zip(own[20:], own[21:]))
    assert own[60] == pytest.approx(0.5)
    assert factors(Cosine(warmup_epochs=0.25), 8, 4)[0] == 1.0


@pytest.mark.parametrize(("steps", "per_epoch"), LENGTHS)
def test_all_factors_are_finite_and_between_0_and_1(steps, per_epoch):
    schedules = (
        Constant(),
        Cosine(),
        Cosine(warmup_epochs=1),
        Cosine(warmup_epochs=1000),
        OneCycle(),
        OneCycle(0.01),
        OneCycle(0.99),
        Step(),
        Step(1, 1.0),
    )
    for schedule, step in itertools.product(schedules, range(steps)):
        value = schedule.at(step, steps, per_epoch)
        assert math.isfinite(value) and 0 <= value <= 1
