"""What is large works, or is refused in one line with its figure and the memory that it would take; many runs leak nothing."""

import gc
import os
import re
import resource
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np

from mlplab.faults.campaign import Outcome
from mlplab.faults.owner import train
from mlplab.faults.trials import SMALL, Started, run

MEMORY = 9 << 30
# What is so slow by itself that it is stopped after so many seconds, its memory in bounds until then.
PATIENCE_S = {"short": 5.0, "quick": 20.0, "long": 300.0}
TRAIN = ["train", *SMALL, "figures=none"]
SEARCH = ["-m", "hydra/sweeper=search", "model.depth=int(interval(1,3))", "launcher=inline"]
# Command lines that work.
LARGE = [
    [*TRAIN, "model.depth=200"],
    [*TRAIN, "data.points_per_arm=1000000", "data.batch_size=65536", "trainer.max_epochs=1"],
    [*TRAIN, "data.arms=200"],
    ["train", *SMALL, "figures=all", "model.depth=200"],
    ["train", *SMALL, "figures=map", "callbacks.decision_maps.resolution=1024"],
    [*TRAIN, "model.width=1000000"],
    [*TRAIN, "data.fresh_points=1000000"],
    [*TRAIN, "data.validation_points=1000000"],
    [*TRAIN, "model.depth=10000"],
    [*TRAIN, "trainer.max_steps=1000000000"],
    [*TRAIN, "trainer.accumulate_grad_batches=1000000000"],
    [*TRAIN, "trainer.check_val_every_n_epoch=1000000000"],
    [*TRAIN, "trainer.limit_train_batches=1000000000"],
    [*TRAIN, "trainer.fast_dev_run=1000000000"],
    [*TRAIN, "trainer.max_epochs=1000000000"],
    [*TRAIN, "trainer.max_epochs=1000000000", "trainer.engine=lightning"],
    [*TRAIN, "callbacks=early_stopping", "callbacks.early_stopping.patience=1000000000"],
    [*TRAIN, "schedule=step", "schedule.every_epochs=1000000000"],
    [*TRAIN, "seed=9223372036854775807"],
    [*TRAIN, "model=spiking_mlp", "model.steps=2000", "data.fresh_points=10"],
    [*TRAIN, "-m", "seed=0,1", "launcher.workers=1000000000"],
    [*TRAIN, "-m", "seed=0,1", "launcher.max_members=1000000000", "launcher=inline"],
    [*TRAIN, "-m", "seed=range(0,300)", "launcher=inline", "trainer.max_epochs=1"],
    [*TRAIN, *SEARCH, "search.trials=1000000000", "search.batch=4"],
    ["lif", "figures=[]", "input=poisson", "input.synapses=1000000000"],
    ["lif", "figures=[]", "input=noise", "input.neurons=1000000", "simulation.duration_ms=5"],
    ["lif", "simulation.duration_ms=1e5", "simulation.dt_ms=0.001"],
    ["relu_approximation", "n=100000", "method=uniform"],
    ["relu_approximation", "n=100000", "method=greedy"],
    ["relu_approximation", "n=9", "method=trained", "trained.adam_steps=1000000000"],
    ["relu_approximation", "n=9", "method=depth", "depth.steps=1000000000"],
]
# Command lines that no machine with that memory can carry out -> what must be named.
TOO_LARGE = {
    "model.width=20000": [*TRAIN, "model.width=20000", "model.depth=2"],
    "model.width=60000": [*TRAIN, "model.width=60000", "model.depth=2"],
    "model.hidden of 2 layers": [*TRAIN, "model.hidden=[60000,60000]"],
    "model.width=1000000000": [*TRAIN, "model.width=1000000000"],
    "data.points_per_arm=1000000000": [*TRAIN, "data.points_per_arm=1000000000"],
    "data.points_per_class=1000000000": [*TRAIN[:1], "data=blobs", "data.points_per_class=1000000000"],
    "data.fresh_points=1000000000": [*TRAIN, "data.fresh_points=1000000000"],
    "data.fresh_points=10000000": [*TRAIN, "data.fresh_points=10000000", "data.arms=1000"],
    "data.validation_points=1000000000": [*TRAIN, "data.validation_points=1000000000"],
    "model.steps=1000000": [*TRAIN, "model=spiking_mlp", "model.steps=1000000"],
    "callbacks.decision_maps.resolution=4096": [
        *("train", *SMALL, "figures=map", "data.arms=1000"),
        "callbacks.decision_maps.resolution=4096",
    ],
    "1,000,000,000 jobs": [*TRAIN, *SEARCH, "search.trials=1000000000", "search.batch=1000000000"],
    "1,000,000,000": [*TRAIN, "-m", "seed=range(0,1000000000)"],
    "input.neurons=1000000000": ["lif", "input=noise", "input.neurons=1000000000"],
    "simulation.duration_ms": ["lif", "simulation.duration_ms=1e300"],
    "n=1000000000": ["relu_approximation", "n=1000000000", "method=uniform"],
    "n=1000000000000000000000": ["relu_approximation", "n=[3,1000000000000000000000]", "method=depth"],
    "trained.points=1000000000": ["relu_approximation", "trained.points=1000000000"],
    "depth_width=1000000": ["spiking", "RUN", "depth_width=1000000"],
    "surrogate.steps=1000000000": ["spiking", "RUN", "surrogate.steps=1000000000"],
    "data.fresh_points=2000000000": ["evaluate", "RUN", "data.fresh_points=2000000000"],
    "trainer.threads=1024": [*TRAIN, "trainer.threads=1024"],
    "draws": ["limits", "RUN", "widths=[2,3]", "draws=1000000000"],
}


def size(outcome: Outcome, effort: str, place: Path) -> None:
    """Ask for large things within a limit of memory, then run many times in one process."""
    logs = f"paths.logs={place / 'logs'}"
    whole = train(place / "whole")
    if outcome.shard == 0:
        _many(outcome, {"short": 6, "quick": 60, "long": 300}[effort], place)
    if outcome.is_last_shard and effort == "long":
        _many_jobs(outcome, place, 5000)
    share = {"short": 9, "quick": 1, "long": 1}[effort]
    for named, words in outcome.mine(list(TOO_LARGE.items())[::share]):
        words = [str(whole) if word == "RUN" else word for word in words]
        told = run([*words, logs], memory=MEMORY)
        says_how_much = " GB in all" in told.err or re.search(rf"{re.escape(named)}\b.* must be", told.err)
        says_how_much = says_how_much or "must have at most" in told.err
        outcome.note(
            told.is_refusal and named in told.err and says_how_much and told.peak < 1 << 30,
            f"{words[-3:]} ended with {told.code} at {told.peak / 1e9:.1f} GB: {told.err[-300:]}",
        )
        outcome.note(not list((place / "logs").glob("*/*/result.json")), f"{words[-3:]} left a result")
    for words in outcome.mine([*LARGE[:: 2 * share - 1], *_tables(place)[::share]]):
        told = _patiently([*words, logs], PATIENCE_S[effort])
        outcome.note(
            told.code in (0, 130) and told.is_clean and told.peak < MEMORY,
            f"{words[-3:]} ended with {told.code} at {told.peak / 1e9:.1f} GB: {told.err[-300:]}",
        )
        shutil.rmtree(place / "logs", ignore_errors=True)


def _patiently(words: list[str], within_s: float):
    """Run a command, and interrupt what takes longer."""
    started = Started(words, memory=MEMORY)
    while not started.poll() and time.monotonic() < started.began + within_s:
        time.sleep(0.05)
    if started.state is None:
        started.send(signal.SIGINT)
    return started.wait(within_s + 60)


def _tables(place: Path) -> list[list[str]]:
    """Write tables of 2,000 features, of 200 classes and of 100,000 rows, and give the commands that train on them."""
    draws, commands = np.random.default_rng(0), []
    for name, rows, features, classes in (("wide", 200, 2000, 3), ("many", 4000, 5, 200), ("long", 100_000, 4, 2)):
        labels = np.arange(rows) % classes
        points = draws.normal(size=(rows, features)) + labels[:, None]
        lines = [",".join([*(f"x{k}" for k in range(features)), "label"])]
        lines += [",".join([*(f"{value:.4g}" for value in row), f"c{label}"]) for row, label in zip(points, labels)]
        (place / f"{name}.csv").write_text("\n".join(lines) + "\n")
        data = ["data=file", f"data.path={place / name}.csv", "data.batch_size=64", "trainer.max_epochs=2"]
        commands.append(["train", *data, "model.width=8", "trainer.accelerator=cpu"])
    return commands


def _many(outcome: Outcome, count: int, place: Path) -> None:
    """Run so many times in one process; its memory and open files after a third of them and at the end."""
    measured = place / "measured"

    def before() -> None:
        from mlplab.cli.app import main

        for number in range(count - 1):
            words = TRAIN if number % 3 else ["train", *SMALL, "figures=map"]
            assert main([*words, f"seed={number}", f"paths.logs={place / 'many'}"]) == 0
            gc.collect()
            with measured.open("a") as file:
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                file.write(f"{pages * resource.getpagesize()} {len(os.listdir('/proc/self/fd'))}\n")
        sys.stdout.flush()

    told = run([*TRAIN, f"paths.logs={place / 'many'}"], before, within_s=60 + 10 * count)
    rows = [tuple(map(int, line.split())) for line in measured.read_text().splitlines()]
    early, late = rows[len(rows) // 3], rows[-1]
    outcome.note(told.code == 0 and len(rows) == count - 1, f"{count} runs ended with {told.code}: {told.err[-300:]}")
    outcome.note(late[0] < 1.1 * early[0], f"memory after a third and all of {count} runs: {early[0]:,}, {late[0]:,}")
    outcome.note(late[1] <= early[1], f"open files after a third and all of {count} runs: {early[1]}, {late[1]}")


def _many_jobs(outcome: Outcome, place: Path, count: int) -> None:
    """Train a sweep of so many jobs, and look at it by every command that reads one."""
    logs = f"paths.logs={place / 'jobs'}"
    small = ["trainer.max_epochs=1", "logger=none", "callbacks.decision_maps=null"]
    told = run([*TRAIN, *small, "-m", f"seed=range(0,{count})", "sweep=s", logs], within_s=7200, memory=MEMORY)
    outcome.note(told.code == 0, f"{count:,} jobs ended with {told.code}: {told.err[-300:]}")
    for words in (["report", str(place / "jobs" / "sweep" / "s")], ["runs", "limit=all", "each=true", logs]):
        told = run(words, within_s=600, memory=MEMORY)
        outcome.note(told.code == 0, f"{words[0]} of {count:,} jobs ended with {told.code}: {told.err[-300:]}")
        outcome.note(told.peak < 2 << 30, f"{words[0]} of {count:,} jobs took {told.peak / 1e9:.1f} GB")
