"""Checkpoints as Lightning documents them: they go on to the same bits, and load without a further argument."""

from functools import partial

import lightning.pytorch as L
import pytest
import torch
from beside_lightning import QUIET, Ordinary, drawing, network, same, spirals, train  # noqa: F401 (drawing is a fixture)
from lightning.pytorch import callbacks as stock
from torch import nn

import mlplab

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("schedule", [None, mlplab.Cosine(), mlplab.OneCycle()])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_going_on_from_a_checkpoint_gives_the_bits_of_the_uninterrupted_run(tmp_path, schedule, dropout):
    def module():
        return mlplab.Classifier(network(dropout=dropout), schedule=schedule, seed=1)

    whole = module()
    train(whole, max_epochs=6)

    class Stop(L.Callback):
        def on_train_epoch_end(self, trainer, module):
            trainer.should_stop = trainer.current_epoch == 2

    saving = stock.ModelCheckpoint(tmp_path, save_last=True)
    train(module(), max_epochs=6, enable_checkpointing=True, callbacks=[saving, Stop()])
    part = module()
    trainer = L.Trainer(max_epochs=6, **QUIET)
    trainer.fit(part, datamodule=spirals(), ckpt_path=str(tmp_path / "last.ckpt"))
    assert trainer.current_epoch == 6
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), part.parameters()))


def test_a_checkpoint_loads_without_a_further_argument_and_fits_the_plain_network(tmp_path):
    module = mlplab.Classifier(
        network(activation={"name": "leaky_relu", "negative_slope": 0.2}),
        loss=mlplab.CrossEntropy(label_smoothing=0.1),
        optimizer=partial(torch.optim.SGD, lr=0.3, momentum=0.5),
        schedule=mlplab.Cosine(warmup_epochs=1),
        seed=4,
    )
    trainer = train(module)
    trainer.save_checkpoint(tmp_path / "m.ckpt")
    again = mlplab.Classifier.load_from_checkpoint(tmp_path / "m.ckpt")
    x = torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.eval()(x), module.eval()(x)) and again.seed == 4
    assert again.schedule == module.schedule and again.loss.label_smoothing == 0.1
    assert again.make_optimizer.keywords == {"lr": 0.3, "momentum": 0.5}
    plain = mlplab.MLP(2, [16], 4, activation={"name": "leaky_relu", "negative_slope": 0.2})
    plain.load_state_dict(torch.load(tmp_path / "m.ckpt", weights_only=True)["state_dict"])
    assert torch.equal(plain(x), module.model(x))


def test_a_checkpoint_of_torchs_own_layers_loads_too(tmp_path):
    layers = nn.Sequential(
        nn.Linear(2, 8), nn.BatchNorm1d(8), nn.LeakyReLU(0.3), nn.Dropout(0.1), nn.Linear(8, 4, bias=False)
    )
    module = mlplab.Classifier(layers)
    train(module).save_checkpoint(tmp_path / "m.ckpt")
    again = mlplab.Classifier.load_from_checkpoint(tmp_path / "m.ckpt")
    x = torch.randn(9, 2)
    assert torch.equal(again.eval()(x), module.eval()(x))


@pytest.mark.parametrize(
    "layer",
    [nn.Tanh, nn.Sigmoid, nn.Identity, nn.SiLU, nn.Flatten, lambda: nn.LeakyReLU(0.3), lambda: nn.BatchNorm1d(8)],
)
def test_a_checkpoint_of_any_layer_loads_without_a_further_argument(tmp_path, layer):
    net = nn.Sequential(nn.Linear(2, 8), layer(), nn.Linear(8, 4, bias=False))
    (trainer := L.Trainer(max_epochs=1, **QUIET)).fit(module := mlplab.Classifier(net), spirals())
    trainer.save_checkpoint(tmp_path / "m.ckpt")
    again = mlplab.Classifier.load_from_checkpoint(tmp_path / "m.ckpt")
    assert torch.equal(again.eval()(torch.ones(1, 2)), module.eval()(torch.ones(1, 2)))


def test_the_data_module_of_a_checkpoint_loads_without_a_further_argument(tmp_path):
    data = mlplab.SpiralDataModule(arms=3, points_per_arm=50, noise=0.3, batch_size=16)
    (trainer := L.Trainer(max_epochs=1, **QUIET)).fit(mlplab.Classifier(mlplab.MLP(2, [4], 3)), data)
    trainer.save_checkpoint(tmp_path / "m.ckpt")
    again = mlplab.SpiralDataModule.load_from_checkpoint(tmp_path / "m.ckpt")
    again.setup()
    assert again.batch_size == 16 and torch.equal(again.train.x, data.train.x)


def test_the_table_of_a_checkpoint_loads_without_a_further_argument(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,kind\n" + "".join(f"{i},{i % 7},{'xy'[i % 2]}\n" for i in range(40)))
    data = mlplab.FileDataModule(tmp_path / "t.csv", batch_size=8, label="kind", features=["b"])
    (trainer := L.Trainer(max_epochs=1, **QUIET)).fit(mlplab.Classifier(mlplab.MLP(1, [4], 2)), data)
    trainer.save_checkpoint(tmp_path / "m.ckpt")
    torch.load(tmp_path / "m.ckpt", weights_only=True)
    again = mlplab.FileDataModule.load_from_checkpoint(tmp_path / "m.ckpt")
    again.setup()
    assert again.batch_size == 8 and torch.equal(again.train.x, data.train.x)


def test_a_checkpoint_names_trusted_classes_only(tmp_path):
    from mlplab.errors import InputError

    train(mlplab.Classifier(network())).save_checkpoint(tmp_path / "m.ckpt")
    content = torch.load(tmp_path / "m.ckpt", weights_only=True)
    content["hyper_parameters"]["model"]["_target_"] = "antigravity.Net"
    torch.save(content, tmp_path / "bad.ckpt")
    with pytest.raises(InputError, match="antigravity.Net"):
        mlplab.Classifier.load_from_checkpoint(tmp_path / "bad.ckpt")
