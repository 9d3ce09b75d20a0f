"""What lives around Lightning: Muon, LightningCLI, two processes, compiling, wandb and MLflow, from Python and from YAML."""

import json
import subprocess
import sys
import textwrap
from functools import partial

import lightning.pytorch as L
import pytest
import torch
from torch import nn

import mlplab
from mlplab.cli.app import main

pytestmark = pytest.mark.filterwarnings("ignore")
QUIET = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "accelerator": "cpu",
}
SMALL = [
    "data.points_per_arm=40",
    "data.batch_size=16",
    "data.fresh_points=50",
    "model.width=6",
    "trainer.max_epochs=2",
    "figures=none",
]


def spirals():
    return mlplab.SpiralDataModule(points_per_arm=100, batch_size=32, fresh_points=0, validation_points=60)


def test_muon_steps_the_matrices_and_adamw_the_rest(tmp_path):
    make = partial(torch.optim.Muon, lr=0.01)
    module = mlplab.Classifier(mlplab.MLP(2, [16], 4, seed=0), optimizer=make, loss=nn.CrossEntropyLoss())
    twin = mlplab.MLP(2, [16], 4, seed=0)
    matrices, others = ([p for p in twin.parameters() if (p.ndim == 2) is wanted] for wanted in (True, False))
    optimizers = make(matrices), torch.optim.AdamW(others, lr=0.01)
    data = spirals()
    trainer = L.Trainer(max_epochs=2, **QUIET)
    trainer.fit(module, datamodule=data)
    for epoch in range(2):
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        for x, y in loader:
            for optimizer in optimizers:
                optimizer.zero_grad()
            nn.functional.cross_entropy(twin(x), y).backward()
            for optimizer in optimizers:
                optimizer.step()
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(module.model.parameters(), twin.parameters()))
    trainer.save_checkpoint(tmp_path / "m.ckpt")
    again = mlplab.Classifier(mlplab.MLP(2, [16], 4, seed=0), optimizer=make, loss=nn.CrossEntropyLoss())
    L.Trainer(max_epochs=3, **QUIET).fit(again, datamodule=spirals(), ckpt_path=str(tmp_path / "m.ckpt"))
    whole = mlplab.Classifier(mlplab.MLP(2, [16], 4, seed=0), optimizer=make, loss=nn.CrossEntropyLoss())
    L.Trainer(max_epochs=3, **QUIET).fit(whole, datamodule=spirals())
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(whole.parameters(), again.parameters()))


def test_a_compiled_classifier_trains_to_the_same_weights():
    plain, compiled = (mlplab.Classifier(mlplab.MLP(2, [16], 4, seed=0)) for _ in range(2))
    L.Trainer(max_epochs=2, **QUIET).fit(plain, datamodule=spirals())
    L.Trainer(max_epochs=2, **QUIET).fit(torch.compile(compiled, backend="eager"), datamodule=spirals())
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(plain.parameters(), compiled.parameters()))


def test_two_processes_train_one_network(tmp_path):
    (tmp_path / "two.py").write_text(
        textwrap.dedent("""
        import lightning.pytorch as L, mlplab, torch
        if __name__ == "__main__":
            module = mlplab.Classifier(mlplab.MLP(2, [16], 4, seed=0))
            data = mlplab.SpiralDataModule(points_per_arm=100, batch_size=32, fresh_points=0, validation_points=60)
            trainer = L.Trainer(max_epochs=2, accelerator="cpu", devices=2, strategy="ddp_fork", logger=False,
                                enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
            trainer.fit(module, datamodule=data)
            moved = float((module.model.layers[0].weight - mlplab.MLP(2, [16], 4, seed=0).layers[0].weight).abs().max())
            print("moved", 1e-3 < moved, float(trainer.callback_metrics["val/loss"]) < 1.6)
    """)
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(tmp_path / "two.py")],
        capture_output=True,
        text=True,
        timeout=900,
        cwd=tmp_path,
    )
    assert "moved True True" in done.stdout, done.stderr[-2000:]


def test_lightning_cli_builds_both(tmp_path):
    pytest.importorskip("jsonargparse", reason="LightningCLI's own dependency")
    (tmp_path / "cli.py").write_text(
        textwrap.dedent("""
        from lightning.pytorch.cli import LightningCLI
        from mlplab.data.modules import SpiralDataModule
        from mlplab.training.classifier import Classifier
        if __name__ == "__main__":
            LightningCLI(Classifier, SpiralDataModule, save_config_callback=None)
    """)
    )
    words = [
        "fit",
        "--model.model=mlplab.nn.mlp.MLP",
        "--model.model.init_args.in_features=2",
        "--model.model.init_args.hidden=[8]",
        "--model.model.init_args.out_features=4",
        "--trainer.max_epochs=1",
        "--trainer.accelerator=cpu",
        "--trainer.logger=false",
        "--trainer.enable_checkpointing=false",
        "--trainer.enable_progress_bar=false",
        "--data.arms=4",
        "--data.points_per_arm=50",
        "--data.batch_size=16",
        "--data.fresh_points=0",
    ]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(tmp_path / "cli.py"), *words],
        capture_output=True,
        text=True,
        timeout=900,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("package", "target", "options"),
    [
        ("wandb", "lightning.pytorch.loggers.WandbLogger", ["offline: true"]),
        ("mlflow", "lightning.pytorch.loggers.MLFlowLogger", []),
        (None, "lightning.pytorch.loggers.CSVLogger", []),
        (None, "lightning.pytorch.loggers.TensorBoardLogger", []),
    ],
)
@pytest.mark.parametrize("engine", ["population", "lightning"])
def test_stock_loggers_from_yaml_get_the_metrics_of_both_engines(
    tmp_path, package, target, options, engine, monkeypatch
):
    if package:
        pytest.importorskip(package, reason="no dependency of the lab")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    (tmp_path / "conf" / "logger").mkdir(parents=True)
    (tmp_path / "conf" / "logger" / "own.yaml").write_text(
        "own:\n  " + "\n  ".join([f"_target_: {target}", *options]) + "\n"
    )
    words = [
        "train",
        "--config-dir",
        str(tmp_path / "conf"),
        "logger=own",
        "name=run",
        f"paths.logs={tmp_path / 'logs'}",
        *SMALL,
    ]
    assert main([*words, f"trainer.engine={engine}"]) == 0
    folder = tmp_path / "logs" / "train" / "run"
    assert json.loads((folder / "result.json").read_text())["engine"] == engine
    if target.endswith("CSVLogger"):
        head = next(path for path in folder.rglob("metrics.csv")).read_text().splitlines()
        assert "val/loss" in head[0] and "train/loss" in head[0] and len(head) > 2
    else:
        written = [
            path
            for path in folder.rglob("*")
            if path.is_file() and ("wandb" in str(path) or "mlflow" in str(path) or "events" in path.name)
        ]
        assert written


def test_a_module_beside_the_project_is_trained_in_the_same_kind_of_folder_and_resumed(tmp_path, monkeypatch, capsys):
    (tmp_path / "beside.py").write_text(
        textwrap.dedent("""
        import mlplab, torch

        class Mine(mlplab.Classifier):
            def __init__(self, *args, penalty=0.01, **options):
                super().__init__(*args, **options)
                self.penalty = penalty

            def training_step(self, batch, batch_idx):
                return super().training_step(batch, batch_idx) + self.penalty * sum((p ** 2).sum() for p in self.parameters())

            def on_train_epoch_end(self):
                self.log("penalty", self.penalty)
    """)
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    words = ["train", "module._target_=beside.Mine", "+module.penalty=0.02", f"paths.logs={tmp_path / 'logs'}", *SMALL]
    assert main([*words, "name=run"]) == 0
    assert "trained by Lightning's own loop: the module is Mine, not Classifier itself" in " ".join(
        capsys.readouterr().out.split()
    )
    folder = tmp_path / "logs" / "train" / "run"
    assert {"config.yaml", "manifest.json", "metrics.csv", "result.json", "checkpoints"} <= {
        path.name for path in folder.iterdir()
    }
    assert (folder / "metrics.csv").read_text().splitlines()[0].count("penalty") == 1
    monkeypatch.setenv("MLPLAB_TRUST", "beside")
    assert main(["train", f"resume={folder}", "trainer.max_epochs=3"]) == 0
    assert main(["evaluate", str(folder)]) == 0
    assert main([*words, "-m", "sweep=s", "seed=0,1", "launcher=inline"]) == 0
    assert len(list((tmp_path / "logs" / "sweep" / "s").glob("*/result.json"))) == 2
    loaded = mlplab.load(folder)
    assert type(loaded.model).__name__ == "Mine" and loaded.result["engine"] == "lightning"
