"""What the plan sees: layers, hooks and settings as they are when the training starts, whatever a constructor was told."""

import signal
from functools import partial

import lightning.pytorch as L
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import mlplab
from mlplab.errors import InputError
from mlplab.population.schedules import Cosine
from mlplab.training.plan import plan

SGD = partial(torch.optim.SGD, lr=0.1, weight_decay=0.01)


@pytest.fixture
def data():
    """Spirals; what a test's own layers and stock trainers draw from torch's global state is put back."""
    with torch.random.fork_rng([]):
        yield from _data()


def _data():
    module = mlplab.SpiralDataModule(points_per_arm=40, batch_size=16, fresh_points=0, validation_points=16)
    module.setup()
    yield module


def classifier(seed=0, **options):
    return mlplab.Classifier(mlplab.MLP(2, [8, 8], 4, seed=seed), optimizer=SGD, seed=1, **options)


def stock(module, data, epochs=2):
    """Weights after the stock Trainer has gone through the same minibatches."""
    order = torch.cat([data.order(epoch)[: len(data.train.y) // 16 * 16] for epoch in range(epochs)])
    trainer = L.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(TensorDataset(data.train.x[order], data.train.y[order]), batch_size=16))
    return list(module.parameters())


def tanh_put_in(module):
    module.model.layers[1] = nn.Tanh()


def norm_put_in(module):
    module.model.layers.insert(2, nn.LayerNorm(8))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("change", [tanh_put_in, norm_put_in])
def test_an_edited_network_is_trained_as_it_is(data, change):
    own, other = classifier(), classifier()
    change(own), change(other)
    mlplab.fit(own, data, max_epochs=2, callbacks=[])
    for one, two in zip(own.parameters(), stock(other, data)):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)
    assert not own.model.is_as_built() and all(p.grad is None and p._base is None for p in own.parameters())


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.spare = nn.Linear(2, 4), nn.Linear(2, 4)

    def forward(self, x):
        return self.used(x)


def hooked(module):
    module.on_before_optimizer_step = lambda optimizer: None


def unused(module):
    module.model = Unused()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (hooked, "the module has a on_before_optimizer_step of its own"),
        (lambda m: setattr(m, "automatic_optimization", False), "optimization is manual"),
        (lambda m: setattr(m.model, "forward", lambda x: x), "MLP has a forward of its own"),
        (lambda m: setattr(m.model.layers[1], "forward", torch.tanh), "ReLU has a forward of its own"),
        (lambda m: m.register_forward_hook(lambda *_: None), "Classifier has hooks"),
        (lambda m: next(m.parameters()).register_post_accumulate_grad_hook(lambda p: None), "parameters have hooks"),
        (lambda m: setattr(m, "loss", mlplab.CrossEntropy(reduction="sum")), "loss.reduction=sum"),
        (unused, "spare.weight has no part in its output"),
    ],
)
def test_what_was_put_over_a_module_goes_to_lightnings_loop(data, change, reason):
    module = classifier()
    change(module)
    chosen = plan(module, data, {}, [])
    assert chosen.engine == "lightning" and reason in chosen.reason


def test_a_summary_is_that_of_the_network_and_not_of_the_engines(data):
    assert plan(classifier(), data, {"enable_model_summary": False}, []).engine == "population"
    chosen = plan(classifier(), data, {"enable_model_summary": True}, [])
    assert chosen.engine == "lightning" and chosen.reason.startswith("trainer.enable_model_summary=True")


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        (partial(torch.optim.Adam, lr=-0.1), "Invalid learning rate"),
        (partial(torch.optim.SGD, lr=0.1, nesterov=True), "Nesterov momentum requires"),
        (partial(torch.optim.Adam, betas=(1.5, 0.9)), "Invalid beta"),
    ],
)
def test_what_torch_refuses_is_refused(data, optimizer, said):
    with pytest.raises(InputError, match=f"optimizer cannot be made: {said}"):
        mlplab.fit(mlplab.Classifier(mlplab.MLP(2, [4], 4), optimizer=optimizer), data, callbacks=[])


def test_each_of_a_list_has_the_loss_and_schedule_it_has_now(data):
    alone = [classifier(0), classifier(1)]
    together = [classifier(0), classifier(1)]
    for pair in (alone, together):
        pair[1].loss = mlplab.CrossEntropy(label_smoothing=0.5)
        pair[1].schedule = Cosine()
    for one in alone:
        mlplab.fit(one, data, max_epochs=2, callbacks=[])
    mlplab.fit(together, data, max_epochs=2, callbacks=[])
    for one, other in zip(alone, together):
        assert all(map(torch.equal, one.parameters(), other.parameters()))


def test_networks_that_share_parameters_are_refused(data):
    network = mlplab.MLP(2, [4], 4)
    with pytest.raises(InputError, match="parameters of their own"):
        mlplab.fit([mlplab.Classifier(network), mlplab.Classifier(network)], data, callbacks=[])


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_classifier_keeps_its_loss_and_optimizer(data):
    own, other = classifier(), classifier()
    result = mlplab.fit(torch.compile(own, backend="eager"), data, max_epochs=1, callbacks=[])
    mlplab.fit(other, data, max_epochs=1, callbacks=[])
    assert result["engine"] == "lightning"
    for one, two in zip(own.parameters(), other.parameters()):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


def test_ctrl_c_keeps_what_was_trained(data):
    class Stop(mlplab.training.callbacks.MemberCallback):
        def on_train_epoch_end(self, trainer, module):
            if trainer.current_epoch == 1:
                signal.raise_signal(signal.SIGINT)

    module, before = classifier(), classifier()
    with pytest.raises(KeyboardInterrupt):
        mlplab.fit(module, data, max_epochs=50, callbacks=[Stop()])
    assert not torch.equal(module.model.layers[0].weight, before.model.layers[0].weight)


def test_a_walked_network_comes_back_as_it_was_given(data):
    network = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.2), nn.Linear(8, 4))
    result = mlplab.fit(network, data, max_epochs=1, callbacks=[])
    assert result["engine"] == "population" and all(part.training for part in network.modules())
    assert all(p.grad is None and p._base is None for p in network.parameters())


def test_the_better_accuracy_is_the_higher_one():
    module = classifier(monitor="val/accuracy")
    assert (
        module.mode == "max"
        and classifier().mode == "min"
        and classifier(monitor="val/accuracy", mode="min").mode == "min"
    )


class Halved(nn.Module):
    def forward(self, logits, labels):
        return nn.functional.cross_entropy(logits, labels) / 2


@pytest.mark.filterwarnings("ignore")
def test_a_checkpoint_says_what_it_does_not_hold(data, tmp_path):
    def save(module):
        trainer = L.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
        )
        trainer.fit(module, data)
        trainer.save_checkpoint(tmp_path / "c.ckpt")
        return mlplab.Classifier.load_from_checkpoint

    load = save(classifier(loss=Halved()))
    module, x, y = load(tmp_path / "c.ckpt"), data.test.x, data.test.y
    assert module(x).shape == (len(y), 4)  # its network is there
    with pytest.raises(InputError, match="holds no loss, which was Halved; give it"):
        module.loss(module(x), y)
    assert isinstance(load(tmp_path / "c.ckpt", loss=Halved()).loss, Halved)
    weighted = classifier(loss=nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 3.0, 4.0])))
    assert torch.equal(save(weighted)(tmp_path / "c.ckpt").loss.weight, weighted.loss.weight)
    edited = classifier()
    tanh_put_in(edited)
    with pytest.raises(InputError, match="does not say how its network, MLP, is made"):
        save(edited)(tmp_path / "c.ckpt")
    network = mlplab.MLP(2, [8, 8], 4)
    network.layers[1] = nn.Tanh()
    assert torch.equal(load(tmp_path / "c.ckpt", model=network)(x), edited(x))


class Sometimes(Unused):
    """A network of which a part is used on every other minibatch only."""

    calls = 0

    def forward(self, x):
        self.calls += self.training
        return self.used(x) + (self.spare(x) if self.calls % 2 else 0)


def test_a_part_that_is_used_now_and_then_is_refused_by_the_engine(data):
    with pytest.raises(
        InputError, match="spare.weight has no part in its output on some minibatches.*engine=lightning"
    ):
        mlplab.fit(Sometimes(), data, callbacks=[])
    assert mlplab.fit(Sometimes(), data, callbacks=[], engine="lightning", max_epochs=1)["engine"] == "lightning"


def test_a_limit_of_nothing_is_no_clipping(data):
    own, other = classifier(), classifier()
    assert mlplab.fit(own, data, max_epochs=1, callbacks=[], gradient_clip_val=0)["engine"] == "population"
    mlplab.fit(other, data, max_epochs=1, callbacks=[])
    assert all(map(torch.equal, own.parameters(), other.parameters()))


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        for _ in range(32):
            yield torch.zeros(2), 0


@pytest.mark.filterwarnings("ignore")
def test_a_schedule_of_the_labs_says_that_a_stream_has_no_length():
    class Streams(L.LightningDataModule):
        def train_dataloader(self):
            return DataLoader(Stream(), batch_size=8)

    for more in ({"max_epochs": 1}, {"max_steps": 3}):
        with (
            torch.random.fork_rng([]),
            pytest.raises(InputError, match="schedule needs (epochs|a training) of known length"),
        ):
            mlplab.fit(classifier(schedule=Cosine()), Streams(), callbacks=[], **more)
