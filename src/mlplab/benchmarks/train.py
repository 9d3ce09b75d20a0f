"""The default run against a bare torch loop, an ordinary LightningModule, JAX and scikit-learn."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch
from omegaconf import OmegaConf
from torch import nn

from mlplab.benchmarks.benchmark import Row, in_turn, installed, row
from mlplab.benchmarks.peers import BATCH, EPOCHS, bare_loop, jax_trainer
from mlplab.config.composition import compose
from mlplab.data.modules import SpiralDataModule
from mlplab.training.data_view import quiet
from mlplab.training.fit import fit

# Lightning's own loop is timed on one epoch in so many.
SHARE = 10


def rows(repeats: int, logs: Path) -> Iterator[Row]:
    """Yield the rows of the benchmark ``train``."""
    torch.set_num_threads(1)
    yield from fit_rows(repeats)
    yield from durable_rows(repeats)
    yield from command_rows(repeats)
    yield from map_rows(repeats)


def fit_rows(repeats: int) -> Iterator[Row]:
    """Time the fit alone: 100 epochs of 2-128-4 on 3200 points."""
    work = "fit of the default run"
    data = SpiralDataModule()
    data.setup()
    x, y = data.train
    systems: dict[str, Any] = {"bare torch loop (autograd, fused Adam)": lambda: bare_loop([128], x, y)}
    own: dict[str, list[float]] = {"mlplab": [], "mlplab with decision maps": []}

    def lab(name: str, *options: str) -> None:
        with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as silent:
            config = compose("train", ["trainer=cpu", "figures=none", *options])
            stderr, sys.stderr = sys.stderr, silent
            try:
                own[name].append(fit(config, folder)["seconds"]["fit"])
            finally:
                sys.stderr = stderr

    systems["mlplab"] = lambda: lab("mlplab", "callbacks.decision_maps=null")
    systems["mlplab with decision maps"] = lambda: lab("mlplab with decision maps", "figures=all")
    if installed("jax"):
        train, keys = jax_trainer([128], x.numpy(), y.numpy(), 1)
        systems["JAX, training jitted whole"] = lambda: train(keys)
    if installed("sklearn"):
        systems["scikit-learn MLPClassifier"] = lambda: sklearn_fit(x.numpy(), y.numpy())
    taken = in_turn(systems, repeats)
    # Lightning's own loop is so slow that a tenth of the epochs says enough.
    loop = in_turn(
        {"ordinary": lambda: ordinary_lightning(Ordinary(), x, y), "ours": lambda: lightning_loop(data)}, repeats
    )
    taken["ordinary LightningModule"] = loop["ordinary"] * SHARE
    yield row(
        "the same module through Lightning's own loop",
        "mlplab",
        loop["ours"] * SHARE,
        ratio=loop["ours"] / loop["ordinary"],
        target="at most 1.1x the ordinary module",
        ok=loop["ours"] <= 1.1 * loop["ordinary"],
    )
    bare = taken["bare torch loop (autograd, fused Adam)"]
    for name in own:
        # The time is that of the fit itself; making folders and reading configs is in the whole command below.
        taken[name] = statistics.median(own[name][1:])
    yield row(
        work,
        "mlplab",
        taken["mlplab"],
        ratio=taken["mlplab"] / bare,
        target="at most 1.0x the bare loop",
        ok=taken["mlplab"] <= bare,
    )
    for name, seconds in taken.items():
        if name != "mlplab":
            yield row(work, name, seconds, ratio=seconds / bare)
    for module, name in (("jax", "JAX, training jitted whole"), ("sklearn", "scikit-learn MLPClassifier")):
        if not installed(module):
            yield row(work, name, None, note="not installed: pip install 'mlplab[bench]'")


def durable_rows(repeats: int) -> Iterator[Row]:
    """Time the fit of the default run in a folder with its files synced to the disk and without, in turn."""
    sync = os.fsync

    def lab(synced: bool) -> None:
        with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as silent:
            stderr, sys.stderr, os.fsync = sys.stderr, silent, sync if synced else lambda handle: None
            try:
                fit(compose("train", ["trainer=cpu", "figures=none"]), folder)
            finally:
                sys.stderr, os.fsync = stderr, sync

    # A few percent of a second: rounds enough that the medians stand still.
    taken = in_turn({"synced": lambda: lab(True), "not synced": lambda: lab(False)}, max(repeats, 21))
    yield row(
        "default run in its folder, files synced to the disk",
        "mlplab",
        taken["synced"],
        ratio=taken["synced"] / taken["not synced"],
        target="at most 1.03x without",
        ok=taken["synced"] <= 1.03 * taken["not synced"],
    )


class Ordinary(L.LightningModule):
    """The module that Lightning's own guide would have one write."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 128), nn.ReLU(), nn.Linear(128, 4))

    def training_step(self, batch: tuple, index: int) -> torch.Tensor:
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: tuple, index: int) -> None:
        self.log("val/loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def ordinary_lightning(
    module: L.LightningModule, x: torch.Tensor, y: torch.Tensor, epochs: int = EPOCHS // SHARE
) -> None:
    """Train with a DataLoader, automatic optimisation, CSV logger and checkpoints, as the guides do."""
    dataset = torch.utils.data.TensorDataset(x, y)
    loader = torch.utils.data.DataLoader(dataset, batch_size=BATCH, shuffle=True, drop_last=True)
    held = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x[:800], y[:800]), batch_size=BATCH)
    stock_fit(module, epochs, train_dataloaders=loader, val_dataloaders=held)


def lightning_loop(data: SpiralDataModule, epochs: int = EPOCHS // SHARE) -> None:
    """Train the lab's own classifier on its own data module by a stock Trainer, with the same logger and checkpoints."""
    from mlplab.nn.mlp import MLP
    from mlplab.training.classifier import Classifier

    stock_fit(Classifier(MLP(2, [128], 4, seed=0)), epochs, datamodule=data)


def stock_fit(module: L.LightningModule, epochs: int, **data: Any) -> None:
    """Train by Lightning's own Trainer with CSV logger and checkpoints."""
    from lightning.pytorch.loggers import CSVLogger

    with tempfile.TemporaryDirectory() as folder, quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = L.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            enable_progress_bar=False,
            enable_model_summary=False,
            logger=CSVLogger(folder),
            default_root_dir=folder,
        )
        trainer.fit(module, **data)


def sklearn_fit(x: np.ndarray, y: np.ndarray) -> None:
    """Train scikit-learn's network of the same shape for as many epochs."""
    from sklearn.neural_network import MLPClassifier

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        MLPClassifier((128,), batch_size=BATCH, max_iter=EPOCHS, n_iter_no_change=EPOCHS, tol=0.0).fit(x, y)


def command_rows(repeats: int) -> Iterator[Row]:
    """Time whole commands from the shell: the default run, and the answer to a mistyped option."""
    folder = Path(tempfile.mkdtemp())
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    fits: list[float] = []

    def command(*words: str) -> None:
        subprocess.run([sys.executable, *words], env=environment, capture_output=True, check=False)

    def train() -> None:
        command("-m", "mlplab.cli.app", "train", f"paths.logs={folder}")
        result = max(folder.glob("train/*/result.json"), key=os.path.getmtime)
        fits.append(OmegaConf.load(result).seconds.fit)

    systems = {
        "mlplab train": train,
        'python -c "import torch, lightning"': lambda: command("-c", "import torch, lightning"),
        "mlplab train data.nosie=1": lambda: command("-m", "mlplab.cli.app", "train", "data.nosie=1"),
    }
    try:
        taken = in_turn(systems, repeats)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    whole, imports, typo = taken.values()
    floor = imports + statistics.median(fits[1:])
    work = "the whole command, shell to summary"
    yield row(
        work, "mlplab train", whole, ratio=whole / floor, target="at most 1.5x imports and fit", ok=whole <= 1.5 * floor
    )
    yield row(work, "import torch, lightning; and the fit", floor, ratio=1.0)
    yield row("a mistyped option", "mlplab train data.nosie=1", typo, target="under 1 s", ok=typo < 1)


def map_rows(repeats: int) -> Iterator[Row]:
    """Time one frame of the decision map: the forward pass, the drawing and the PNG."""
    from mlplab.nn.mlp import MLP
    from mlplab.plots.decision_map import decision_map
    from mlplab.plots.style import png_bytes
    from mlplab.population.engine import PopulationModule
    from mlplab.training.callbacks.decision_maps import map_of

    data = SpiralDataModule()
    data.setup()
    classifier = PopulationModule(MLP(2, [128], 4))
    classifier.place()
    box = tuple(side.numpy() for side in data.training_box)

    def frame(card: bool) -> None:
        grid = map_of(classifier, 0, (-2.0, 2.0, -2.0, 2.0), 128)
        png_bytes(decision_map(grid, 2.0, data.test.x.numpy(), data.test.y.numpy(), title="frame", box=box, card=card))

    taken = in_turn({"full": lambda: frame(False), "card": lambda: frame(True)}, max(9, repeats))
    yield row(
        "decision map, one frame with its PNG",
        "full, 1320 x 1060",
        taken["full"],
        target="under 0.05 s",
        ok=taken["full"] < 0.05,
    )
    yield row("decision map, one frame with its PNG", "card, 520 x 560", taken["card"])
