"""What the lab does to look at somebody's data leaves their training as it is under a stock Trainer."""

import copy
import random
from functools import partial

import lightning.pytorch as L
import numpy as np
import pytest
import torch
from beside_lightning import QUIET, drawing  # noqa: F401 (a fixture)
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, WeightedRandomSampler, random_split

import mlplab
from mlplab import seeds
from mlplab.training.data_view import viewed

pytestmark = pytest.mark.filterwarnings("ignore")
X = torch.randn(120, 2, generator=torch.Generator().manual_seed(5))
Y = (X[:, 0] > 0).long() + 2 * (X[:, 1] > 0).long()
POINTS = TensorDataset(X, Y)


class OwnGenerator(L.LightningDataModule):
    def __init__(self):
        super().__init__()
        self.stream = torch.Generator().manual_seed(3)

    def train_dataloader(self):
        return DataLoader(POINTS, batch_size=20, shuffle=True, generator=self.stream)


class Weighted(OwnGenerator):
    def train_dataloader(self):
        return DataLoader(
            POINTS, batch_size=20, sampler=WeightedRandomSampler(torch.rand(120).tolist(), 120, generator=self.stream)
        )


class GlobalGenerators(L.LightningDataModule):
    def train_dataloader(self):
        def noisy(rows):
            shift = np.random.randn() + random.random()
            return torch.stack([x for x, _ in rows]) + shift, torch.stack([y for _, y in rows])

        return DataLoader(POINTS, batch_size=20, shuffle=True, collate_fn=noisy)


class Noisy(torch.utils.data.Dataset):
    def __init__(self):
        self.stream = np.random.default_rng(0)

    def __len__(self):
        return len(Y)

    def __getitem__(self, i):
        return X[i] + torch.as_tensor(self.stream.standard_normal(2), dtype=torch.float32), Y[i]


class OwnNumpy(L.LightningDataModule):
    def setup(self, stage):
        self.points = Noisy()

    def train_dataloader(self):
        return DataLoader(self.points, batch_size=20)


class Split(L.LightningDataModule):
    def setup(self, stage):
        self.parts = random_split(POINTS, [60, 30, 30])

    def train_dataloader(self):
        return DataLoader(self.parts[0], batch_size=20)

    def val_dataloader(self):
        return DataLoader(self.parts[1], batch_size=30)

    def test_dataloader(self):
        return DataLoader(self.parts[2], batch_size=30)


class AsksTheTrainer(L.LightningDataModule):
    def setup(self, stage):
        self.batch_size = 20 // self.trainer.world_size

    def train_dataloader(self):
        return DataLoader(POINTS, batch_size=self.batch_size)


class OneShot(L.LightningDataModule):
    """A stream that can be walked once."""

    def setup(self, stage):
        if not hasattr(self, "stream"):
            self.stream = ((X[i : i + 20], Y[i : i + 20]) for _ in range(3) for i in range(0, 120, 20))

    def train_dataloader(self):
        class Stream(IterableDataset):
            def __iter__(own):
                return self.stream

        return DataLoader(Stream(), batch_size=None)


class Endless(L.LightningDataModule):
    def train_dataloader(self):
        class Counted(IterableDataset):
            def __iter__(self):
                i = 0
                while True:
                    yield POINTS[i % 120]
                    i += 1

        return DataLoader(Counted(), batch_size=20)


class Rescaled(mlplab.SpiralDataModule):
    """One of the lab's, with a setup of its own that needs what is prepared, and asks the trainer."""

    def prepare_data(self):
        self.scale = 1.5

    def setup(self, stage=None):
        super().setup(stage)
        self.train = self.train._replace(x=self.train.x * self.scale * self.trainer.world_size)

    def order(self, epoch):
        places = torch.arange(len(self.train.y))
        return places if self.trainer is None else places.flip(0)


class TornDown(mlplab.SpiralDataModule):
    def teardown(self, stage):
        self.torn = stage


def lab_spirals(kind):
    return kind(points_per_arm=40, batch_size=16, fresh_points=0, validation_points=20)


def classifier():
    return mlplab.Classifier(mlplab.MLP(2, [8], 4, seed=0), optimizer=partial(torch.optim.Adam, lr=0.01), seed=1)


MODULES = [OwnGenerator, Weighted, GlobalGenerators, OwnNumpy, Split, AsksTheTrainer, OneShot, Endless]


@pytest.mark.parametrize("make", [*MODULES, partial(lab_spirals, Rescaled), partial(lab_spirals, TornDown)])
def test_a_users_data_train_as_under_a_stock_trainer(make):
    options = {"limit_train_batches": 3, "max_epochs": 1 if make is OneShot else 3}
    trained = []
    with seeds.same_generators():
        for by_the_lab in (True, False):
            seeds.seed_all(4)
            module, data = classifier(), make()
            if by_the_lab:
                result = mlplab.fit(module, data, callbacks=[], **options)
                assert result["steps"] == 3 * options["max_epochs"]
            else:
                L.Trainer(**QUIET, num_sanity_val_steps=0, **options).fit(module, datamodule=data)
            trained.append(module.state_dict())
    assert all(torch.allclose(trained[0][name], trained[1][name], rtol=0, atol=1e-6) for name in trained[0])


def test_each_stage_is_set_up_once_and_the_methods_are_the_users_again():
    calls = []

    class Told(Split):
        def prepare_data(self):
            calls.append("prepare")

        def setup(self, stage):
            calls.append(str(stage))
            super().setup(stage)

    data = Told()
    mlplab.fit(classifier(), data, callbacks=[], max_epochs=1)
    assert (
        calls == ["prepare", "fit", "test"]
        and not {"setup", "prepare_data"} & vars(data).keys()
        and data.trainer is None
    )
    mlplab.evaluate(classifier(), data)
    assert calls == ["prepare", "fit", "test"]  # the split that was trained on is the one that is measured on
    L.Trainer(**QUIET, max_epochs=1).fit(classifier(), datamodule=data)
    assert calls[3:5] == ["prepare", "TrainerFn.FITTING"]


def test_what_is_measured_was_not_trained_on():
    data = Split()
    mlplab.fit(classifier(), data, callbacks=[], max_epochs=1)
    view = viewed(data, again=False)
    rows = [{tuple(x) for x in part.x.tolist()} for part in (view.train, view.validation, view.test)]
    assert sum(map(len, rows)) == len(set.union(*rows)) == 120
    assert rows[0] == {tuple(X[i].tolist()) for i in data.parts[0].indices}


def test_streams_are_not_looked_at_and_what_cannot_be_copied_neither():
    class Locked(OwnGenerator):
        def train_dataloader(self):
            loader = super().train_dataloader()
            loader.dataset.generator = (i for i in range(3))
            return loader

    assert viewed(Endless()).train is None and viewed(OneShot()).train is None
    try:
        assert viewed(Locked()).train is None
    finally:
        del POINTS.generator
    assert len(viewed(OwnGenerator()).train.y) == 120


def test_a_module_without_test_points_says_so_and_trains():
    class Half(OwnGenerator):
        def test_dataloader(self):
            return self.nowhere

    with pytest.warns(UserWarning, match="Half gives no test points: AttributeError"):
        view = viewed(Half())
    assert view.test is None and view.train is not None

    class Broken(OwnGenerator):
        def train_dataloader(self):
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        viewed(Broken())


def test_the_plan_names_the_users_class():
    result = mlplab.fit(classifier(), OwnGenerator(), callbacks=[], max_epochs=1)
    assert result["engine_reason"] == "the data module OwnGenerator does not offer its points in memory"
    torn = lab_spirals(TornDown)
    assert (
        mlplab.fit(classifier(), torn, callbacks=[], max_epochs=1)["engine_reason"]
        == "the data module TornDown has its own teardown"
    )
    assert torn.torn == "fit"


def test_looking_leaves_the_global_generators():
    with seeds.same_generators():
        seeds.seed_all(7)
        before = copy.deepcopy(seeds.states())
        viewed(GlobalGenerators())
        after = seeds.states()
    assert torch.equal(before["torch"], after["torch"]) and before["python"] == after["python"]
    np.testing.assert_array_equal(before["numpy"][1], after["numpy"][1])


def test_without_test_points_nothing_is_said_of_them(tmp_path):
    """The validation points are those by which the best epoch is chosen: a run is not judged on them as on a test."""

    class TwoParts(L.LightningDataModule):
        def __init__(self):
            super().__init__()
            self.whole = mlplab.SpiralDataModule(points_per_arm=40, batch_size=16, validation_points=40, fresh_points=0)
            self.whole.setup()

        def train_dataloader(self):
            return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*self.whole.train), 16)

        def val_dataloader(self):
            return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*self.whole.validation), 16)

    model = mlplab.MLP(2, [8], 4, seed=0)
    result = mlplab.fit(model, TwoParts(), max_epochs=2, callbacks=[])
    assert result["test"] is None and result["validation"]["points"] == 40
    assert set(mlplab.evaluate(model, TwoParts())) == {"train", "validation"}
    mlplab.draw_decision_map(model, TwoParts()).savefig(tmp_path / "map.png")


def test_what_a_network_draws_differs_from_minibatch_to_minibatch_of_a_stream():
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            yield from zip(torch.linspace(-1, 1, 32).reshape(16, 2), torch.arange(16) % 3)

    class Drawing(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.drawn = torch.nn.Linear(2, 3), []

        def forward(self, x):
            if self.training:
                self.drawn.append(float(torch.rand(())))
            return self.layer(x)

    with torch.random.fork_rng():
        network = Drawing()
    loader = torch.utils.data.DataLoader(Stream(), batch_size=4)
    model = mlplab.Classifier(network, schedule=mlplab.Constant(), seed=1)
    mlplab.fit(model, L.LightningDataModule.from_datasets(Stream(), batch_size=4), max_epochs=3, callbacks=[])
    assert len(network.drawn) == 3 * len(list(loader)) == len(set(network.drawn))


class Several(OwnGenerator):
    """Validates on so many loaders of ten points."""

    def __init__(self, count):
        super().__init__()
        self.count = count

    def val_dataloader(self):
        return [DataLoader(TensorDataset(X[:10], Y[:10]), batch_size=5) for _ in range(self.count)]


def test_one_loader_in_a_list_is_measured_and_of_several_it_is_said():
    assert len(viewed(Several(1)).validation.y) == 10
    with pytest.warns(
        UserWarning, match="Several.val_dataloader gives 2 loaders: .* the result has no validation points"
    ):
        assert viewed(Several(2)).validation is None
