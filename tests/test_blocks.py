from types import SimpleNamespace

import pytest
import torch

from mlplab.population.blocks import BlockLoader, MemberData, Serving, WholeLoader, count_minibatches, limited
from mlplab.seeds import generator


def order_of(seed, count):
    return lambda epoch: torch.randperm(count, generator=generator(seed, "order", epoch))


def make(points=10, batch_size=3, members=1, shared=True, shape=(), drop_last=True, block=2, operations=0, **bounds):
    """Points whose feature is their number, plus 1000 for each member's own copy."""
    data = 1 if shared else members
    number = torch.arange(points).expand(data, -1) + 1000 * torch.arange(data).unsqueeze(1)
    x = number.float().reshape(data, points, *[1] * len(shape)).expand(data, points, *shape).clone()
    return BlockLoader(
        x,
        number.clone(),
        [order_of(seed, points) for seed in range(members)],
        batch_size=batch_size,
        drop_last=drop_last,
        operations=operations,
        serving=Serving(block, **bounds),
    )


def epoch_of(loader):
    """The minibatches of an epoch as lists of point numbers, of the first member."""
    return [row.tolist() for block in loader for row in block.y[0]]


def test_minibatches_are_counted():
    assert [count_minibatches(n, 3, True) for n in (0, 2, 3, 10)] == [0, 0, 1, 3]
    assert [count_minibatches(n, 3, False) for n in (0, 2, 3, 10)] == [0, 1, 1, 4]


@pytest.mark.parametrize("limit", (1.0, 0.0, 0.5, 0.99, 0, 1, 7, 100))
def test_limits_mean_what_lightning_means(limit):
    expected = int(10 * limit) if isinstance(limit, float) else min(10, limit)
    assert limited(10, limit) == expected


@pytest.mark.parametrize("drop_last", (True, False))
@pytest.mark.parametrize(("points", "batch_size"), ((1, 1), (10, 3), (12, 3), (5, 5), (7, 1), (4, 3)))
@pytest.mark.parametrize("block", (1, 2, 100))
def test_an_epoch_is_its_order_cut_into_minibatches(points, batch_size, drop_last, block):
    loader = make(points, batch_size, drop_last=drop_last, block=block)
    for epoch in range(3):
        order = order_of(0, points)(epoch).tolist()
        expected = [order[i : i + batch_size] for i in range(0, points, batch_size)]
        if drop_last and len(expected[-1]) < batch_size:
            expected.pop()
        assert loader.served == epoch * loader.per_epoch
        assert epoch_of(loader) == expected
        if not drop_last:
            assert sorted(sum(expected, [])) == list(range(points))


def test_blocks_carry_their_place_and_their_shapes():
    loader = make(points=11, batch_size=2, members=3, shape=(2, 4), drop_last=False, block=2)
    blocks = list(loader)
    assert [block.first for block in blocks] == [0, 2, 4, 5]
    assert [tuple(block.x.shape) for block in blocks] == [
        (3, 2, 2, 2, 4),
        (3, 2, 2, 2, 4),
        (3, 1, 2, 2, 4),
        (3, 1, 1, 2, 4),
    ]
    assert len(loader) == len(blocks)
    for block in blocks:
        assert block.y.shape == block.x.shape[:3]
        assert torch.equal(block.x[..., 1, 3], block.y.float())


@pytest.mark.parametrize("shared", (True, False))
def test_each_member_has_its_own_order_and_data(shared):
    loader = make(points=8, batch_size=4, members=3, shared=shared)
    for epoch in range(2):
        (block,) = loader
        for member in range(3):
            expected = order_of(member, 8)(epoch) + (0 if shared else 1000 * member)
            assert torch.equal(block.y[member].flatten(), expected)
            assert torch.equal(block.x[member], block.y[member].float())


@pytest.mark.parametrize("served", range(0, 13))
def test_a_resumed_epoch_goes_on_where_it_was(served):
    whole = make(points=19, batch_size=3, members=2, drop_last=True, block=2)
    minibatches = [row for _ in range(3) for block in whole for row in block.y.unbind(1)]
    again = make(points=19, batch_size=3, members=2, drop_last=True, block=2)
    again.served = served
    found = []
    for _ in range(-(-(18 - served) // 6)):
        blocks = list(again)
        assert len(blocks) == len(again)  # Lightning counts them
        found += [row for block in blocks for row in block.y.unbind(1)]
    assert len(found) == 18 - served
    assert all(torch.equal(a, b) for a, b in zip(found, minibatches[served:]))


def test_a_resumed_short_last_minibatch():
    whole = make(points=10, batch_size=4, drop_last=False, block=1)
    expected = epoch_of(whole)
    again = make(points=10, batch_size=4, drop_last=False, block=1)
    again.served = 2
    blocks = list(again)
    assert [block.y.shape[1] for block in blocks] == [0, 0, 1] and blocks[-1].first == 2
    assert blocks[-1].y[0].tolist() == expected[2:]


def test_limit_takes_the_first_minibatches_of_each_order():
    for limit in (2, 0.5):
        loader = make(points=12, batch_size=3)
        loader.restrict(limit=limit)
        assert loader.per_epoch == 2 == sum(block.y.shape[1] for block in loader)
        for epoch in (1, 2):
            assert sum(epoch_of(loader), []) == order_of(0, 12)(epoch)[:6].tolist()
    loader.restrict()
    assert loader.per_epoch == 4 and loader.shuffle


def test_a_limit_of_nothing_is_an_empty_epoch():
    for limit in (0, 0.0, 0.1):
        loader = make(points=12, batch_size=3)
        loader.restrict(limit=limit)
        assert list(loader) == [] and len(loader) == 0


def test_overfitting_repeats_the_first_points_unshuffled():
    for overfit in (2, 0.5):
        loader = make(points=12, batch_size=3)
        loader.restrict(limit=1, overfit=overfit)
        for _ in range(2):
            assert epoch_of(loader) == [[0, 1, 2], [3, 4, 5]]


def test_a_limit_keeps_the_short_minibatch_out_until_it_is_reached():
    loader = make(points=10, batch_size=3, drop_last=False)
    for limit, sizes in ((3, [3, 3, 3]), (4, [3, 3, 3, 1]), (9, [3, 3, 3, 1])):
        loader.restrict(limit=limit)
        loader.served = 0
        assert [len(row) for row in epoch_of(loader)] == sizes


def test_blocks_are_bounded_in_bytes_and_operations():
    assert make(points=12, batch_size=3, block=1000, most_bytes=100).block == 2  # 12 bytes each point
    assert make(points=12, batch_size=3, most_bytes=1).block == 1
    busy = make(points=12, batch_size=3, block=1000, operations=20, most_bytes=1000, most_operations=70)
    assert busy.block == 3
    # On another device than the CPU a block is as large as the memory there allows.
    elsewhere = make(points=12, batch_size=3, block=1000).to(torch.device("meta"))
    assert elsewhere.block == 1000 and len(elsewhere) == 1


def test_whole_loader_gives_everything_once():
    x, y = torch.zeros(2, 5, 3), torch.zeros(2, 5)
    loader = WholeLoader(x, y).to(torch.device("cpu"))
    assert len(loader) == 1
    ((a, b),) = loader
    assert a is x and b is y


def test_the_loader_of_several_data_modules_is_bounded_by_the_work_of_all_parameters():
    """Forward, and backward for weights and inputs: each a product and a sum for every parameter and point."""
    part = SimpleNamespace(x=torch.zeros(9, 2), y=torch.zeros(9, dtype=torch.long))
    own = {"order": order_of(0, 9), "batch_size": 4, "drop_last": False, "drawn_order_seed": 7}
    modules = [SimpleNamespace(train=part, validation=None, **own) for _ in range(2)]
    serving = Serving(minibatches=2)
    loader = MemberData(modules, serving).train_loader(torch.float64, parameters=100)
    assert loader.operations == 3 * 2 * 100 * 4 and loader.serving is serving and loader.x.dtype == torch.float64
    assert (loader.batch_size, loader.whole, loader.order_seeds, len(loader.orders)) == (4, 3, [7, 7], 2)
    assert MemberData(modules).train_loader().operations == 0 and MemberData(modules).validation_loader() is None


def test_seeds_are_drawn_from_where_the_device_draws_and_every_member_has_one():
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert Serving().draws(cuda, [0, 1]) and not Serving().draws(cpu, [0, 1]) and not Serving().draws(cuda, [0, None])
    assert Serving(drawing_devices=("cpu",)).draws(cpu, [3])
    loader = make(points=6, batch_size=2)
    assert not loader.draws and loader.order_seeds == [None]
