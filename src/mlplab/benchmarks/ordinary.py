"""The sweep's program as one would write it by the guides: Hydra's basic launcher around a LightningModule.

``python -m mlplab.benchmarks.ordinary -m width=16,128 depth=1,4`` trains four networks, each with a folder, CSV and
TensorBoard files, two checkpoints and a decision map.
"""

import hydra
import lightning.pytorch as L
import torch
from hydra.core.config_store import ConfigStore
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from mlplab.data.modules import SpiralDataModule

ConfigStore.instance().store("ordinary", {"width": 128, "depth": 1, "seed": 0, "epochs": 100})


class Ordinary(L.LightningModule):
    def __init__(self, width, depth):
        super().__init__()
        layers, before = [], 2
        for _ in range(depth):
            layers += [nn.Linear(before, width), nn.ReLU()]
            before = width
        self.net = nn.Sequential(*layers, nn.Linear(before, 4))

    def training_step(self, batch, index):
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch, index):
        logits = self.net(batch[0])
        self.log("val/loss", nn.functional.cross_entropy(logits, batch[1]))
        self.log("val/accuracy", (logits.argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


@hydra.main(version_base="1.3", config_path=None, config_name="ordinary")
def main(config):
    L.seed_everything(config.seed, verbose=False)
    data = SpiralDataModule()
    data.setup()
    folder = hydra.core.hydra_config.HydraConfig.get().runtime.output_dir
    train = DataLoader(TensorDataset(*data.train), batch_size=128, shuffle=True, drop_last=True)
    held = DataLoader(TensorDataset(*data.validation), batch_size=128)
    model = Ordinary(config.width, config.depth)
    trainer = L.Trainer(
        max_epochs=config.epochs,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=[CSVLogger(folder), TensorBoardLogger(folder)],
        callbacks=[ModelCheckpoint(folder, monitor="val/loss", save_last=True)],
    )
    trainer.fit(model, train, held)
    with torch.no_grad():
        x = torch.linspace(-2, 2, 500)
        grid = torch.stack(torch.meshgrid(x, x, indexing="xy"), -1).reshape(-1, 2)
        picture = model.net(grid).argmax(1).reshape(500, 500).numpy()
    figure = Figure((6, 6))
    FigureCanvasAgg(figure)
    figure.add_subplot().imshow(picture, origin="lower")
    figure.savefig(f"{folder}/map.png")


if __name__ == "__main__":
    main()
