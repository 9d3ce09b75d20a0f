from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from lightning.pytorch import LightningDataModule
from omegaconf import OmegaConf
from torch.utils.data import DataLoader, TensorDataset

from mlplab.data import datasets
from mlplab.data.arrays import EpochSampler, whole_loader
from mlplab.data.bayes import log_posterior, score
from mlplab.data.file_module import FileDataModule
from mlplab.data.modules import (
    BlobsDataModule,
    CirclesDataModule,
    MoonsDataModule,
    SpiralDataModule,
    SyntheticDataModule,
    XorDataModule,
)
from mlplab.errors import InputError

CONF = Path(__file__).parents[1] / "conf" / "data"
SYNTHETIC = [SpiralDataModule, CirclesDataModule, MoonsDataModule, XorDataModule, BlobsDataModule]
SMALL = {"validation_points": 10, "fresh_points": 20, "batch_size": 8}


def ready(kind, **options):
    module = kind(**options)
    module.setup()
    return module


@pytest.fixture
def table(tmp_path):
    """A CSV file of 50 rows, three features and two classes."""
    rows = np.random.default_rng(0).normal(size=(50, 3))
    lines = [",".join(map(str, row)) + f",{i % 2}" for i, row in enumerate(rows)]
    path = tmp_path / "rows.csv"
    path.write_text("a,b,c,label\n" + "\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("kind", SYNTHETIC)
def test_default_parts(kind):
    module = ready(kind)
    assert isinstance(module, LightningDataModule)
    total = len(module.train.y) + len(module.test.y)
    assert len(module.test.y) == total // 5
    assert len(module.validation.y) == 800 and len(module.fresh.y) == 20000
    for points in (module.train, module.validation, module.test, module.fresh):
        assert points.x.dtype == torch.float32 and points.y.dtype == torch.int64
        assert points.x.shape == (len(points.y), 2)
        assert points.y.unique().tolist() == list(range(module.classes))
    assert module.input_shape == (2,)
    low, high = module.training_box
    assert torch.equal(low, module.train.x.min(dim=0).values)
    assert torch.equal(high, module.train.x.max(dim=0).values)
    # The density belongs to the data: its NLL on a sample estimates the conditional entropy, so it is small.
    figures = score(log_posterior(module.fresh.x, module.density), module.fresh.y)
    assert figures["accuracy"] > 0.95 and figures["nll"] < 0.1


def test_the_default_spirals_leave_3200_points_to_train_on():
    assert len(ready(SpiralDataModule).train.y) == 3200


def test_bayes_posterior_is_calibrated_on_fresh_points():
    # A wrong density could still classify well: what has probability p must happen with frequency p.
    module = ready(SpiralDataModule, noise=0.5)
    posterior = log_posterior(module.fresh.x, module.density).exp()
    hit = torch.nn.functional.one_hot(module.fresh.y, 4)
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        inside = (posterior >= low) & (posterior < low + 0.2)
        p, count = posterior[inside], inside.sum()
        spread = (p * (1 - p)).sum().sqrt() / count
        assert abs(hit[inside].double().mean() - p.mean()) < 4.5 * spread


@pytest.mark.parametrize("kind", SYNTHETIC)
def test_data_are_a_function_of_the_data_seed_alone(kind):
    same = [ready(kind, **SMALL, order_seed=seed) for seed in (0, 1)]
    other = ready(kind, **SMALL, seed=0)
    assert same[0].sha256 == same[1].sha256 != other.sha256
    assert torch.equal(same[0].train.x, same[1].train.x)


def test_the_digest_sees_every_part():
    plain = ready(SpiralDataModule, **SMALL).sha256
    for change in ({"validation_points": 0}, {"fresh_points": 0}, {"noise": 0.17}, {"test_fraction": 0.3}):
        assert ready(SpiralDataModule, **{**SMALL, **change}).sha256 != plain
    assert len(plain) == 64


def test_setup_twice_changes_nothing():
    module = ready(SpiralDataModule, **SMALL)
    train = module.train
    module.setup("fit")
    assert module.train is train


def test_parts_are_drawn_from_different_streams():
    module = ready(SpiralDataModule, validation_points=4000, fresh_points=4000)
    whole = torch.cat([module.test.x, module.train.x])
    assert not torch.equal(module.validation.x, module.fresh.x)
    for part in (module.validation, module.fresh):
        assert not (part.x[:, None, :] == whole[None]).all(dim=2).any()
        # No point lies at the origin, where nobody can tell the arms apart; the tutorial's own points have four.
        assert part.x.norm(dim=1).min() > 0
    assert (whole.norm(dim=1) == 0).sum() == 4


def test_polar_inputs_describe_the_same_points():
    plane, polar = ready(SpiralDataModule, **SMALL), ready(SpiralDataModule, **SMALL, inputs="polar")
    for part in ("train", "validation", "test", "fresh"):
        x, features = getattr(plane, part).x.double(), getattr(polar, part).x.double()
        r = x.norm(dim=1).clamp_min(1e-4)
        expected = torch.stack([x[:, 0] / r, x[:, 1] / r, r.log(), r], dim=1)
        torch.testing.assert_close(features, expected, rtol=1e-6, atol=1e-6)
        assert torch.equal(getattr(plane, part).y, getattr(polar, part).y)
        assert torch.equal(plane.log_posterior(part), polar.log_posterior(part))
    assert polar.input_shape == (4,) and polar.sha256 != plane.sha256
    with pytest.raises(InputError, match="data.inputs must be one of plane, polar, got 'log'"):
        SpiralDataModule(inputs="log")


def test_bayes_posteriors_by_part():
    module = ready(SpiralDataModule, **SMALL)
    assert torch.equal(module.log_posterior("test"), log_posterior(module.test.x, module.density))
    assert module.log_posterior("test") is module.log_posterior("test")
    assert ready(SpiralDataModule, **SMALL, noise=0.0).log_posterior("test") is None


def test_parts_can_be_left_out():
    module = ready(SpiralDataModule, validation_points=0, fresh_points=0)
    assert module.log_posterior("fresh") is None
    assert module.validation is None and module.fresh is None
    assert list(module.val_dataloader()) == []


def test_tutorial_seeding_repeats_the_tutorials_points_and_split():
    module = ready(SpiralDataModule, seeding="tutorial", validation_points=0)
    x, y = datasets.spirals(generator=torch.Generator().manual_seed(2021))
    shuffled = torch.randperm(4000, generator=torch.Generator().manual_seed(2021))
    assert torch.equal(module.test.x, x[shuffled][:800]) and torch.equal(module.test.y, y[shuffled][:800])
    assert torch.equal(module.train.x, x[shuffled][800:]) and torch.equal(module.train.y, y[shuffled][800:])
    figures = score(log_posterior(module.test.x, module.density), module.test.y)
    assert round((1 - figures["accuracy"]) * 800) == 13 and figures["nll"] == pytest.approx(0.0455, abs=5e-5)


def test_tutorial_orders_are_those_of_a_data_loader():
    module = ready(SpiralDataModule, seeding="tutorial", validation_points=0, order_seed=5)
    loader = DataLoader(
        TensorDataset(module.train.x, module.train.y),
        batch_size=128,
        drop_last=True,
        shuffle=True,
        generator=torch.Generator().manual_seed(2021),
    )
    epochs = [list(loader) for _ in range(5)]
    # Out of turn and twice, as a resumed run asks for them.
    for epoch in (0, 1, 4, 2, 2, 0, 3):
        order = module.order(epoch)
        for k, (x, y) in enumerate(epochs[epoch]):
            rows = order[128 * k : 128 * (k + 1)]
            assert torch.equal(module.train.x[rows], x) and torch.equal(module.train.y[rows], y)


@pytest.mark.parametrize("seeding", ["derived", "tutorial"])
def test_orders_are_permutations_and_functions_of_seed_and_epoch(seeding):
    module = ready(XorDataModule, **SMALL, seeding=seeding)
    again = ready(XorDataModule, **SMALL, seeding=seeding)
    orders = [module.order(epoch) for epoch in range(4)]
    for epoch in (3, 0, 2, 1):
        assert torch.equal(again.order(epoch), orders[epoch])
        assert orders[epoch].sort().values.tolist() == list(range(len(module.train.y)))
    assert len({tuple(order.tolist()) for order in orders}) == 4


def test_orders_follow_the_order_seed_and_not_the_data():
    one, two = ready(XorDataModule, **SMALL, order_seed=1), ready(XorDataModule, **SMALL, order_seed=2)
    moved = ready(XorDataModule, **SMALL, order_seed=1, noise=0.9, seed=3)
    assert torch.equal(one.order(7), moved.order(7))
    assert not torch.equal(one.order(7), two.order(7))


@pytest.mark.parametrize("drop_last, steps", [(True, 6), (False, 7)])
def test_the_train_loader_hands_over_an_epoch_in_its_order(drop_last, steps):
    module = ready(XorDataModule, **{**SMALL, "batch_size": 26}, points_per_class=100, drop_last=drop_last)
    loader = module.train_dataloader()
    batches = list(loader)
    assert len(batches) == len(loader) == steps and all(x.shape == (len(y), 2) for x, y in batches)
    served = torch.cat([x for x, _ in batches])
    assert torch.equal(served, module.train.x[module.order(0)][: len(served)])
    assert len(served) == (156 if drop_last else 160)


def test_each_pass_of_a_sampler_is_the_next_epoch_unless_it_is_told_which():
    asked = []
    sampler = EpochSampler(lambda epoch: asked.append(epoch) or torch.arange(epoch, epoch + 3), 3)
    assert [list(sampler) for _ in range(3)] == [[0, 1, 2], [1, 2, 3], [2, 3, 4]] and len(sampler) == 3
    sampler.set_epoch(7)
    assert list(sampler) == [7, 8, 9] and list(sampler) == [8, 9, 10] and asked == [0, 1, 2, 7, 8]


def test_validation_and_test_loaders_hand_over_all_points():
    module = ready(MoonsDataModule, **SMALL)
    loaders = {"validation": module.val_dataloader(), "test": module.test_dataloader()}
    for name, loader in loaders.items():
        points = getattr(module, name)
        ((x, y),) = loader
        assert torch.equal(x, points.x) and torch.equal(y, points.y)


DEGENERATE = [{"arms": 1}, {"points_per_arm": 2}, {"t_min": 1.0, "t_max": 1.0}, {"t_min": 0.9, "t_max": 0.9}]


@pytest.mark.parametrize("options", DEGENERATE)
def test_degenerate_spirals(options):
    module = ready(SpiralDataModule, **{**SMALL, "batch_size": 1}, **options)
    assert torch.isfinite(module.train.x).all()
    if module.density is not None:
        assert torch.isfinite(log_posterior(module.fresh.x, module.density)).all()


def test_without_noise_the_density_is_unknown():
    assert ready(SpiralDataModule, **SMALL, noise=0.0).density is None


REFUSED = [
    (SpiralDataModule, {"noise": -0.1}, "data.noise must be a number from 0 to 1000, got -0.1"),
    (SpiralDataModule, {"noise": float("nan")}, "data.noise must be a number from 0 to 1000, got nan"),
    (SpiralDataModule, {"arms": 0}, "data.arms must be an integer from 1 to 1000, got 0"),
    (SpiralDataModule, {"arms": 2.5}, "data.arms must be an integer from 1 to 1000, got 2.5"),
    (SpiralDataModule, {"points_per_arm": 0}, "data.points_per_arm must be an integer >= 1, got 0"),
    (SpiralDataModule, {"t_min": -1}, "data.t_min must be a number >= 0, got -1"),
    (SpiralDataModule, {"t_min": 1, "t_max": 0.5}, "data.t_min must be at most data.t_max=0.5, got 1"),
    (SpiralDataModule, {"t_max": 0}, "data.t_max must be a number > 0 and <= 100, got 0"),
    (SpiralDataModule, {"rotation_degrees": "x"}, "data.rotation_degrees must be a number, got 'x'"),
    (CirclesDataModule, {"classes": 0}, "data.classes must be an integer from 1 to 1000, got 0"),
    (MoonsDataModule, {"points_per_class": -3}, "data.points_per_class must be an integer >= 1, got -3"),
    (XorDataModule, {"batch_size": 0}, "data.batch_size must be an integer >= 1, got 0"),
    (XorDataModule, {"test_fraction": 1.0}, "data.test_fraction must be a number > 0 and < 1, got 1.0"),
    (XorDataModule, {"validation_points": -1}, "data.validation_points must be an integer >= 0, got -1"),
    (XorDataModule, {"fresh_points": 1.5}, "data.fresh_points must be an integer >= 0, got 1.5"),
    (XorDataModule, {"drop_last": "no"}, "data.drop_last must be true or false, got 'no'"),
    (BlobsDataModule, {"seeding": "magic"}, "data.seeding must be one of derived, tutorial, got 'magic'"),
    (XorDataModule, {"seed": None}, f"data.seed must be an integer from 0 to {2**63 - 1}, got null"),
    (XorDataModule, {"order_seed": -1}, f"data.order_seed must be an integer from 0 to {2**63 - 1}, got -1"),
]


@pytest.mark.parametrize("kind, options, message", REFUSED, ids=[str(options) for _, options, _ in REFUSED])
def test_values_out_of_range_are_refused_at_construction(kind, options, message):
    with pytest.raises(InputError) as caught:
        kind(**options)
    assert str(caught.value) == message


def test_sizes_that_do_not_fit_are_refused_at_setup():
    with pytest.raises(InputError, match="data.batch_size must be at most .* train points, 3200, got 3201"):
        ready(SpiralDataModule, batch_size=3201)
    assert len(ready(SpiralDataModule, **{**SMALL, "batch_size": 3200}).train_dataloader()) == 1
    with pytest.raises(InputError, match="data.test_fraction must leave at least one point"):
        ready(SpiralDataModule, points_per_arm=1, batch_size=1)


def test_file_data_are_split_in_three(table):
    module = ready(FileDataModule, path=str(table), batch_size=4, test_fraction=0.2, validation_fraction=0.1)
    assert [len(part.y) for part in (module.train, module.validation, module.test)] == [35, 5, 10]
    assert module.fresh is None and module.density is None
    assert module.classes == 2 and module.input_shape == (3,)
    rows = torch.from_numpy(np.loadtxt(table, delimiter=",", skiprows=1)).float()
    parts = (module.train, module.validation, module.test)
    served = torch.cat([torch.cat([module.to_units(part.x), part.y[:, None]], dim=1) for part in parts])
    first = served[:, 0].argsort()
    torch.testing.assert_close(served[first], rows[rows[:, 0].argsort()])


def test_file_data_without_validation_and_from_a_config(table):
    features = OmegaConf.create(["c", "a"])
    module = ready(FileDataModule, path=str(table), features=features, batch_size=4, validation_fraction=0)
    assert module.validation is None and module.input_shape == (2,)


def test_file_faults(table, tmp_path):
    with pytest.raises(InputError, match="data.validation_fraction must be a number >= 0 and < 0.8, got 0.8"):
        FileDataModule(path=str(table), validation_fraction=0.8)
    for name in ("validation_fraction", "test_fraction"):
        with pytest.raises(InputError, match=f"data.{name} must set at least one point aside, got 0.001 of"):
            ready(FileDataModule, path=str(table), batch_size=4, **{name: 0.001})
    with pytest.raises(InputError, match="data.path must name a file that exists"):
        ready(FileDataModule, path="missing.csv")
    rare = tmp_path / "rare.csv"
    rare.write_text("a,label\n" + "0,0\n" * 20 + "1,1\n" * 2)
    options = {"path": str(rare), "batch_size": 1, "test_fraction": 0.4, "validation_fraction": 0.4, "stratify": False}
    with pytest.raises(InputError, match="data.seed must leave some of each class.*none of class '1'"):
        for seed in range(100):
            ready(FileDataModule, **options, seed=seed)


ATTRIBUTES = {"arms": "classes", "points_per_arm": "points", "points_per_class": "points"}


@pytest.mark.parametrize("name", ["spiral", "circles", "moons", "xor", "blobs", "file"])
def test_every_yaml_is_the_class_with_its_own_defaults(name, table):
    text = (CONF / f"{name}.yaml").read_text()
    assert text.startswith("# scripts/lab train data=")
    node = OmegaConf.create(text)
    for other in [entry for entry in node.pop("defaults", []) if entry != "_self_"]:
        node = OmegaConf.merge(OmegaConf.load(CONF / f"{other}.yaml"), node)
    config = OmegaConf.create({"seed": 0, "data": node})
    if name == "file":
        config.data.path = str(table)
        config.data.batch_size = 4
    module = instantiate(config.data)
    module.setup()
    given = {key: config.data[key] for key in config.data if key not in ("_target_", "path")}
    plain = type(module)(**({"path": str(table), "batch_size": 4} if name == "file" else {}))
    for key, value in given.items():
        attribute = ATTRIBUTES.get(key, key)
        if name == "file" or attribute != "classes":
            assert getattr(plain, attribute) == value, key
    plain.setup()
    assert plain.sha256 == module.sha256 and plain.classes == module.classes


def test_a_data_set_without_its_points_is_refused_when_it_is_made():
    class Unfinished(SyntheticDataModule):
        def exact_density(self):
            return None

    with pytest.raises(TypeError, match="sample"):
        Unfinished(2, 10, 0.1)


@pytest.mark.parametrize(("count", "size"), [(0, 1), (1, 1), (100, 100), (65_536, 65_536), (65_537, 65_536)])
def test_points_are_measured_by_65536_at_once(count, size):
    assert whole_loader(torch.zeros(count, 1), torch.zeros(count)).batch_size == size
