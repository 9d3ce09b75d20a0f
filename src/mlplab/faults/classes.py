"""What the config of somebody's run folder may name: classes by their role, and no places."""

import os
from pathlib import Path
from typing import Any

import yaml

from mlplab.config import composition as configs
from mlplab.errors import InputError
from mlplab.faults.campaign import Outcome
from mlplab.runs.trusted import TRUST

# Tools that stand in an allowed package, and what stands behind one.
TOOLS = (
    "os.system",
    "subprocess.Popen",
    "builtins.eval",
    "builtins.exec",
    "pathlib.Path",
    "shutil.rmtree",
    "torch.load",
    "torch.hub.load",
    "torch.save",
    "hydra.utils.instantiate",
    "hydra._internal.utils._locate",
    "mlplab.cli.app.main",
    "mlplab.cli.app.os.system",
    "mlplab.runs.files.write_text",
    "mlplab.runs.files.os.remove",
    "mlplab.runs.files.Path",
    "mlplab.runs.manifest.subprocess.Popen",
    "mlplab.runs.manifest._git",
    "mlplab.studies.benchmark_sweep.JaxPeer",
    "mlplab.benchmarks.sweep.JaxPeer",
    "mlplab.studies.recording.Recording",
    "mlplab.runs.metrics.MetricsFile",
    "mlplab.runs.events.EventFile",
    "mlplab.sweeps.executors.Submitit",
    "mlplab.sweeps.executors.Ray",
    "mlplab.sweeps.executors.Processes",
    "mlplab.runs.events.TensorBoardWriter",
    "mlplab.faults.trials.Started",
    "mlplab.training.record.MemberRun",
    "mlplab.search.trials.Trials",
    "torch.nn.functional.relu",
    "torch.nn.modules.module.OrderedDict",
    "torch.nn.init.zeros_",
    "torch.optim.swa_utils.AveragedModel",
    "lightning.pytorch.Trainer",
    "lightning.pytorch.trainer.trainer.os.system",
    "lightning.pytorch.cli.LightningCLI",
    "lightning.pytorch.plugins.io.AsyncCheckpointIO",
    "lightning.pytorch.profilers.SimpleProfiler",
    "lightning.pytorch.demos.mnist_datamodule.MNISTDataModule",
    "lightning.pytorch.loggers.CSVLogger",
    "lightning.pytorch.callbacks.ModelCheckpoint",
    "mlplab.data.file_module.FileDataModule.__init__",
    "mlplab..os",
    "mlplab.",
    "mlplab.nn.mlp.Nothing",
    "",
    3,
    None,
    ["a"],
)
# Somewhere, and what is allowed there but for where it would write.
WRITING = [
    ("logger.mine", {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": "{out}"}),
    ("logger.mine", {"_target_": "lightning.pytorch.loggers.CSVLogger", "name": "../../{out}"}),
    ("logger.mine", {"_target_": "lightning.pytorch.loggers.CSVLogger", "version": "../{out}"}),
    ("logger.mine", {"_target_": "lightning.pytorch.loggers.TensorBoardLogger", "save_dir": "{out}"}),
    ("logger.mine", {"_target_": "lightning.pytorch.loggers.MLFlowLogger", "tracking_uri": "http://somewhere"}),
    ("logger.mine", {"_target_": "mlplab.training.loggers.CSVLogger", "folder": "{out}"}),
    ("callbacks.mine", {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "dirpath": "{out}"}),
    ("callbacks.mine", {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "filename": "../../{out}"}),
    ("callbacks.mine", {"_target_": "lightning.pytorch.callbacks.OnExceptionCheckpoint", "dirpath": "{out}"}),
    ("model", {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": "{out}"}),
    ("data", {"_target_": "mlplab.nn.mlp.MLP"}),
    ("loss", {"_target_": "mlplab.data.modules.SpiralDataModule"}),
    ("optimizer", {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1}),
    ("trainer.strategy", {"_target_": "lightning.pytorch.strategies.DDPStrategy"}),
]
PLACES = (
    "model",
    "model.inner",
    "data",
    "loss",
    "optimizer",
    "schedule",
    "callbacks.mine",
    "logger.mine",
    "module",
    "module.model",
    "search.x",
    "trainer.plugins",
)


def classes(outcome: Outcome, effort: str, place: Path) -> None:
    """Write configs that name each tool in each place, and read them as every command does."""
    out = place / "out"
    plain = configs.resolved(configs.compose("train"))
    variants = [
        (at, {"_target_": tool, "path": str(out), "text": "x"})
        for tool in TOOLS
        for at in PLACES[: 2 if effort == "short" else None]
    ]
    variants = [(at, node) for at, node in variants if not (at, node["_target_"]) in LEGITIMATE] + WRITING
    own = os.environ.pop(TRUST, None)
    for trust in (None, "nothing_of_this"):
        if trust:
            os.environ[TRUST] = trust
        for at, node in outcome.mine(variants):
            node = {
                name: value.replace("{out}", str(out)) if isinstance(value, str) else value
                for name, value in node.items()
            }
            (place / "config.yaml").write_text(yaml.safe_dump(_put(plain, at.split("."), node)))
            try:
                configs.load_recorded(place / "config.yaml")
                outcome.note(False, f"{at} may name {node}")
            except InputError as error:
                outcome.note("\n" not in str(error) and not out.exists(), f"{at}={node}: {error}")
    os.environ.pop(TRUST, None)
    if own is not None:
        os.environ[TRUST] = own


LEGITIMATE = [
    ("callbacks.mine", "lightning.pytorch.callbacks.ModelCheckpoint"),
    ("logger.mine", "lightning.pytorch.loggers.CSVLogger"),
]


def _put(plain: Any, keys: list[str], node: dict[str, Any]) -> dict[str, Any]:
    first, rest = keys[0], keys[1:]
    inner = plain.get(first) if isinstance(plain, dict) else None
    return {**(plain if isinstance(plain, dict) else {}), first: _put(inner, rest, node) if rest else node}
