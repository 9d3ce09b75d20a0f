"""Orders drawn for many networks at once, and a population that trains in them."""

import itertools

import pytest
import torch
from small_runs import base, changed  # noqa: F401 (fixtures among them)

from mlplab.data.modules import SpiralDataModule
from mlplab.population.blocks import GOLDEN, MemberData, Serving, draw_orders, splitmix64
from mlplab.training.fit import fit_members

WORD = 2**64


def plain_splitmix64(state):
    """The generator in Python's whole numbers."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) % WORD
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
        yield z ^ (z >> 31)


@pytest.mark.parametrize("seed", (0, 1, 1234567, 2**63 - 1))
def test_splitmix64_is_the_generator(seed):
    states = seed + torch.arange(1, 9) * GOLDEN
    own = [number % WORD for number in splitmix64(states).tolist()]
    assert own == list(itertools.islice(plain_splitmix64(seed), 8))
    if seed == 1234567:  # the numbers that implementations are checked with
        assert own[:3] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("points", (1, 2, 3, 4, 5, 64, 65, 1000))
def test_orders_are_permutations_of_their_seed_and_epoch(points):
    seeds = torch.tensor([0, 1, 2**62, 2**63 - 1])
    for epoch in (0, 1, 99):
        orders = draw_orders(seeds, epoch, points)
        assert orders.shape == (4, points) and orders.dtype == torch.int64
        assert torch.equal(orders.sort(1).values, torch.arange(points).expand(4, -1))
        for index in range(4):
            assert torch.equal(draw_orders(seeds[index : index + 1], epoch, points)[0], orders[index])


@pytest.mark.parametrize(
    ("seed", "epoch", "points"), [(0, 0, 1), (5, 0, 9), (5, 3, 16), (2**63 - 1, 7, 17), (1, 2, 64)]
)
def test_an_order_is_that_of_the_generators_numbers_in_whole_numbers(seed, epoch, points):
    """A stream for each seed and epoch; of its numbers the low bits are replaced by the places, which are then sorted."""

    def mixed(state):
        return next(plain_splitmix64((state - 0x9E3779B97F4A7C15) % WORD))

    start = mixed((seed + (epoch + 1) * next(plain_splitmix64(seed))) % WORD)
    bits = max(1, (points - 1).bit_length())
    keys = [
        (number >> bits << bits) + place for place, number in zip(range(points), plain_splitmix64(start), strict=False)
    ]
    signed = [key - WORD if key >= WORD // 2 else key for key in keys]
    expected = sorted(range(points), key=signed.__getitem__)
    assert draw_orders(torch.tensor([seed]), epoch, points)[0].tolist() == expected


def test_each_order_is_as_likely_as_any_other():
    orders = torch.cat([draw_orders(torch.arange(4000), epoch, 4) for epoch in range(6)])
    counts = torch.unique(orders, dim=0, return_counts=True)[1].double()
    assert len(counts) == 24
    # Chi squared with 23 degrees of freedom: its 99.99 % quantile.
    assert ((counts - 1000) ** 2 / 1000).sum() < 56.6


def test_neighbouring_seeds_and_epochs_share_nothing():
    one = draw_orders(torch.arange(100), 0, 500)
    for other in (draw_orders(torch.arange(100), 1, 500), draw_orders(torch.arange(1, 101), 0, 500)):
        # Two unrelated permutations agree in one place on average.
        assert (one == other).sum(1).double().mean() == pytest.approx(1, abs=0.5)


def test_a_population_draws_its_orders_and_no_member_knows_its_neighbours(base):  # noqa: F811
    configs = [changed(base, seed=seed, data__order_seed=seed, trainer__max_epochs=2) for seed in (3, 4, 5)]
    by_host = [result["state_sha256"] for result in fit_members(configs, [None] * 3)]
    drawn = {"serving": Serving(drawing_devices=("cpu",))}
    together = [result["state_sha256"] for result in fit_members(configs, [None] * 3, **drawn)]
    alone = [fit_members([config], [None], **drawn)[0]["state_sha256"] for config in configs]
    assert together == alone and not set(together) & set(by_host)


class OwnOrder(SpiralDataModule):
    def order(self, epoch):
        return torch.arange(len(self.train.y))


@pytest.mark.parametrize(
    ("kind", "options", "drawn"),
    ((SpiralDataModule, {}, True), (SpiralDataModule, {"seeding": "tutorial"}, False), (OwnOrder, {}, False)),
)
def test_orders_that_mean_something_are_kept(kind, options, drawn):
    data = kind(points_per_arm=40, batch_size=16, **options)
    data.setup()
    with_others = SpiralDataModule(points_per_arm=40, batch_size=16)
    with_others.setup()
    for loader in (MemberData([data]).train_loader(), MemberData([with_others, data]).train_loader()):
        assert Serving().draws(torch.device("cuda"), loader.order_seeds) == drawn
        assert not loader.draws  # on a CPU
