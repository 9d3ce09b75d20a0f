"""Sweep folders for tests, written as launchers leave them, without training anything."""

import json
import math
import random
from pathlib import Path

import numpy as np

CONFIG = """\
seed: {seed}
name: null
resume: null
paths:
  logs: {logs}
data:
  _target_: mlplab.data.modules.SpiralDataModule
  arms: 4
  noise: {noise}
  seed: 2021
  order_seed: {seed}
model:
  _target_: mlplab.nn.mlp.MLP
  hidden: {hidden}
  width: {width}
  depth: {depth}
optimizer:
  lr: 0.001
  betas:
  - 0.9
  - 0.999
trainer:
  max_epochs: {epochs}
"""
BAYES = {"bayes_accuracy": 0.9886, "bayes_nll": 0.0324}


def result(error: float, *, seed: int = 0, parameters: int = 100, bayes: bool = True, **more) -> dict:
    """Make a result.json's content with a share ``error`` of wrong answers and 3 times as large an NLL."""
    figures = {"points": 800, "accuracy": 1 - error, "nll": 3 * error, "calibration_error": error / 4}
    if bayes:
        regrets = {"accuracy_regret": BAYES["bayes_accuracy"] - 1 + error, "nll_regret": 3 * error - 0.0324}
        figures |= BAYES | regrets
    return {
        "status": "finished",
        "seed": seed,
        "epochs": 20,
        "steps": 500,
        "parameters": parameters,
        "test": figures,
        "fresh": dict(figures, points=20000),
        "validation": dict(figures),
        "train": dict(figures),
        "best_epoch": 20,
        "evaluated": "best",
        "seconds": {"fit": 1.5, "total": 2.5},
        "state_sha256": f"{error:.17g}",
    } | more


def write_run(folder: Path, record: dict | None, *, status="finished", error=None, **config) -> None:
    """Write one run folder: config, status and, where there is a result, result and metrics."""
    folder.mkdir(parents=True)
    values = {"seed": 0, "logs": folder.parent, "noise": 0.16, "hidden": "null", "width": 16, "depth": 1, "epochs": 20}
    (folder / "config.yaml").write_text(CONFIG.format(**values | {"epochs": 20} | config))
    (folder / "status.json").write_text(
        json.dumps({"status": status, "pid": 1, "host": "elsewhere", "heartbeat": 0, "error": error})
    )
    if record is not None:
        (folder / "result.json").write_text(json.dumps(record))
        rows = [f"{e},{e * 25},1.0,{3 * math.exp(-e / 9) + record['test']['nll']!r}" for e in range(1, 21)]
        (folder / "metrics.csv").write_text("\n".join(["epoch,step,train/loss,val/nll", *rows, ""]))


def write_map(folder: Path, cells: int = 16) -> None:
    """Write the arrays of a decision map of four quarters."""
    (folder / "figures").mkdir(exist_ok=True)
    grid = np.full((cells, cells, 4), 0.02, np.float32)
    half = cells // 2
    for k, (rows, columns) in enumerate(((0, 0), (0, half), (half, 0), (half, half))):
        grid[rows : rows + half, columns : columns + half, k] = 0.94
    np.savez(folder / "figures" / "arrays.npz", map=grid, extent=np.array([-2.0, 2, -2, 2]))


def make_sweep(folder: Path, widths=(16, 32), depths=(1, 2), seeds=(0, 1, 2), *, maps=False, record=True) -> Path:
    """Write a sweep of width x depth x seed whose deeper and wider networks err less.

    Args:
        folder: of the sweep.
        widths: swept values; ``depths`` and ``seeds`` likewise.
        maps: whether each run has a decision map.
        record: whether to write sweep.json.
    """
    jobs = []
    for width in widths:
        for depth in depths:
            for seed in seeds:
                source = random.Random(f"{width} {depth} {seed}")
                digest = f"{source.getrandbits(256):064x}"
                error = (0.02 + 1.0 / width / depth) * (1 + 0.1 * source.random())
                made = result(error, seed=seed, parameters=7 * width * depth, config_digest=digest)
                name = f"width{width:04d}-depth{depth:04d}-seed{seed:04d}-{digest[:8]}"
                write_run(folder / name, made, width=width, depth=depth, seed=seed)
                if maps:
                    write_map(folder / name)
                swept = {"model.width": width, "model.depth": depth, "seed": seed}
                jobs.append(
                    {
                        "name": name,
                        "swept": swept,
                        "overrides": [f"{k}={v}" for k, v in swept.items()],
                        "config_digest": digest,
                        "status": "finished",
                        "error": None,
                        "parameters": made["parameters"],
                        "result": made,
                    }
                )
    if record:
        write_record(folder, jobs)
    return folder


def write_record(folder: Path, jobs: list[dict], **more) -> None:
    """Write sweep.json."""
    swept = list(dict.fromkeys(key for job in jobs for key in job["swept"]))
    record = {
        "format": 1,
        "name": folder.name,
        "command": ["train"],
        "study": "mlplab.cli.train:train",
        "swept": swept,
        "jobs": jobs,
    }
    (folder / "sweep.json").write_text(json.dumps(record | more))


def read_record(folder: Path) -> dict:
    return json.loads((folder / "sweep.json").read_text())
