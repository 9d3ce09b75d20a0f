"""What `mlplab.fit` cannot take is answered in one line; layers that wait for their first batch get one."""

from functools import partial

import pytest
import torch
from beside_lightning import drawing, spirals, train  # noqa: F401 (drawing is a fixture)
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import mlplab
from mlplab.errors import InputError

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
