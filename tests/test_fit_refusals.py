"""What `mlplab.fit` cannot take is answered in one line; layers that wait for their first batch get one."""

from functools import partial

import lightning.pytorch as L
import pytest
import torch
from beside_lightning import drawing, spirals, train  # noqa: F401 (drawing is a fixture)
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import mlplab
from mlplab.errors import InputError
from mlplab.training.trainers import _is_refusal

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(
    "options, words",
    [
        ({"max_epoch": 3}, "got max_epoch; did you mean max_epochs?"),
        ({"ckpt_path": "last.ckpt"}, "fit has no ckpt_path: go on from a checkpoint with Lightning's Trainer"),
    ],
)
def test_an_option_that_fit_does_not_have_is_named(options, words):
    with pytest.raises(InputError, match="^[^\n]*$") as error:
        mlplab.fit(mlplab.MLP(2, [4], 4), spirals(), **options)
    assert words in str(error.value)


def test_a_loader_is_no_data_module():
    loader = DataLoader(TensorDataset(torch.zeros(4, 2), torch.zeros(4, dtype=torch.long)))
    with pytest.raises(InputError, match="data must be a LightningDataModule, got DataLoader"):
        mlplab.fit(mlplab.MLP(2, [4], 4), loader)


@pytest.mark.parametrize("data", [None, DataLoader(TensorDataset(torch.zeros(4, 2)))])
@pytest.mark.parametrize("measure", [mlplab.evaluate, mlplab.draw_decision_map])
def test_what_is_measured_needs_a_data_module(measure, data):
    with pytest.raises(InputError, match=f"^data must be a LightningDataModule, got {type(data).__name__}[^\\n]*$"):
        measure(mlplab.MLP(2, [4], 4), data)


@pytest.mark.parametrize("callbacks", [5, [5], "x", {"a": 1}])
def test_callbacks_are_lightnings(callbacks):
    with pytest.raises(InputError, match="^callbacks must be None, or a list of Lightning's callbacks, got [^\n]*$"):
        mlplab.fit(mlplab.MLP(2, [4], 4), spirals(), callbacks=callbacks)


def of_dtype(dtype, kind=L.LightningDataModule):
    x = (torch.arange(32).reshape(16, 2) % 5).to(dtype)
    data = TensorDataset(x, torch.arange(16) % 4)
    return kind.from_datasets(data, data, batch_size=8)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool, torch.uint8])
def test_inputs_of_a_dtype_that_the_network_cannot_take_are_refused(dtype):
    told = (
        f"^the data's inputs must be torch.float32, as the network's parameters are, got {dtype}; x.to.*converts them$"
    )
    with pytest.raises(InputError, match=told):
        mlplab.fit(mlplab.MLP(2, [4], 4), of_dtype(dtype), callbacks=[])
    if dtype.is_floating_point:  # which Lightning converts
        mlplab.fit(mlplab.MLP(2, [4], 4), of_dtype(dtype), callbacks=[], max_epochs=1, precision="64-true")


def test_mixed_precision_converts_what_has_fewer_bits_than_its_weights_alone():
    for precision in ("bf16-mixed", "16-mixed", "bf16"):
        with pytest.raises(InputError, match="^the data's inputs must be torch.float32, .* got torch.float64"):
            mlplab.fit(mlplab.MLP(2, [4], 4), of_dtype(torch.float64), callbacks=[], precision=precision)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        result = mlplab.fit(mlplab.MLP(2, [4], 4), of_dtype(dtype), callbacks=[], max_epochs=1, precision="bf16-mixed")
        assert result["steps"] == 2


class Converting(L.LightningDataModule):
    def on_before_batch_transfer(self, batch, dataloader_idx):
        return batch[0].float(), batch[1]


class Embedding(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(5, 4)

    def forward(self, x):
        return self.table(x).mean(-2)


class OfAnyDtype(mlplab.Classifier):
    def forward(self, x):
        return super().forward(x.float())


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64])
def test_inputs_that_are_converted_are_trained_on(dtype):
    assert mlplab.fit(mlplab.MLP(2, [4], 4), of_dtype(dtype, Converting), callbacks=[], max_epochs=1)["steps"] == 2
    assert mlplab.fit(OfAnyDtype(mlplab.MLP(2, [4], 4)), of_dtype(dtype), callbacks=[], max_epochs=1)["steps"] == 2
    if dtype == torch.int64:
        assert mlplab.fit(Embedding(), of_dtype(dtype), callbacks=[], max_epochs=1)["steps"] == 2
    else:
        assert mlplab.fit(mlplab.MLP(2, [4], 4).double(), of_dtype(dtype), callbacks=[], max_epochs=1)["steps"] == 2


def test_a_plateau_is_one_of_the_metric_that_is_watched():
    def trained(**settings):
        schedule = partial(torch.optim.lr_scheduler.ReduceLROnPlateau, patience=0, **settings)
        module = mlplab.Classifier(mlplab.MLP(2, [4], 4), schedule=schedule, monitor="val/accuracy")
        return mlplab.fit(module, spirals(), callbacks=[], max_epochs=1)["epochs"]

    with pytest.raises(
        InputError, match="^schedule.mode must be max, as that of monitor=val/accuracy is, got min[^\n]*$"
    ):
        trained()
    assert trained(mode="max") == 1


def test_lazy_layers_train_as_those_that_had_a_batch_before():
    def classifier():
        torch.manual_seed(0)
        return mlplab.Classifier(
            nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(4)),
            optimizer=partial(torch.optim.Adam, lr=0.01),
            seed=1,
        )

    own = classifier()
    mlplab.fit(own, spirals(), callbacks=[], max_epochs=2)
    stock = classifier()
    stock(torch.zeros(1, 2))
    train(stock, max_epochs=2)
    for name, value in stock.state_dict().items():
        torch.testing.assert_close(own.state_dict()[name], value, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "expected"), [(RuntimeError, True), (torch.AcceleratorError, False), (OSError, False)]
)
def test_a_device_that_fails_is_no_refusal_of_a_callback(kind, expected):
    space = {"__name__": "lightning.pytorch.callbacks.early_stopping", "kind": kind}
    exec("def check():\n    raise kind('no')", space)
    with pytest.raises(kind) as error:
        space["check"]()
    assert _is_refusal(error.value) is expected
