"""An ordinary LightningModule, and the small data and trainings by which the lab's classes stand beside it; no tests."""

import lightning.pytorch as L
import pytest
import torch
from torch import nn

import mlplab

QUIET = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "accelerator": "cpu",
}


class Ordinary(L.LightningModule):
    """The same training, written as Lightning's documentation writes one."""

    def __init__(self, network, optimizer=torch.optim.Adam, schedule=None):
        super().__init__()
        self.network, self.optimizer, self.schedule = network, optimizer, schedule

    def forward(self, x):
        return self.network(x)

    def training_step(self, batch, batch_idx):
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train/loss", loss, on_epoch=True, on_step=False)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self):
        optimizer = self.optimizer(self.parameters())
        if self.schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.schedule(optimizer), "monitor": "val/loss"}}


def spirals(**options):
    return mlplab.SpiralDataModule(
        points_per_arm=100, **{"batch_size": 32, "fresh_points": 0, "validation_points": 60} | options
    )


def network(seed=0, **options):
    return mlplab.MLP(2, [16], 4, seed=seed, **options)


def train(module, data=None, **options):
    trainer = L.Trainer(**{"max_epochs": 3, **QUIET, **options})
    trainer.fit(module, datamodule=data or spirals())
    return trainer


@pytest.fixture(autouse=True)
def drawing():
    """What these tests draw by torch's global generator stays with them."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        yield


def same(first, second, tolerance=1e-5):
    pairs = zip(first.parameters(), second.parameters())
    return all(torch.allclose(a, b, rtol=tolerance, atol=tolerance) for a, b in pairs)
