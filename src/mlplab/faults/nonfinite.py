"""What is not finite, or nearly so, is refused or ends as diverged, is never the best, and never ends in a traceback."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from mlplab.config import composition as configs
from mlplab.faults.campaign import Outcome
from mlplab.faults.owner import train
from mlplab.faults.trials import SMALL, Told, run
from mlplab.runs import checkpoint
from mlplab.runs.files import flatten

TRAIN = ["train", *SMALL]
EXTREMES = ("5e-324", "1e-320", "1e-300", "1e-45", "1e-30", "1e30", "1e39", "1e300", "1.7976931348623157e308")
EXTREMES += tuple(f"-{value}" for value in EXTREMES) + ("nan", "inf", "-inf")
# In a table: no finite numbers, or too large ones for float32.
NO_NUMBERS = ("nan", "inf", "-inf", "1e39", "1e308", "1e400", "1e-320")
# Command -> words by which it is quick.
STUDIES = {
    "lif": ["lif", "simulation.duration_ms=20"],
    "relu_approximation": ["relu_approximation", "n=4", "trained.adam_steps=5", "trained.lbfgs_steps=3"],
    "spiking": [
        *("spiking", "RUN", "simulation.duration_ms=20", "resistances_kohm=[1]", "refractories_ms=[0]", "depths=[1]"),
        *("depth_seeds=1", "depth_training.epochs=1", "surrogate.epochs=1", "few_steps.try=[2]", "depth_width=4"),
    ],
}
# Groups whose options are looked at too.
GROUPS = {
    "train": (
        [],
        ["optimizer=sgd"],
        ["optimizer=adamw"],
        ["schedule=one_cycle"],
        ["schedule=step"],
        ["data=blobs"],
        ["data=moons"],
        ["model=spiking_mlp", "model.steps=3"],
        ["callbacks=early_stopping"],
        ["trainer.engine=lightning"],
    ),
    "lif": ([], ["input=noise"], ["input=white"], ["input=poisson"], ["input=sine"], ["input=step"], ["input=ramp"]),
    "relu_approximation": ([], ["target=exp"]),
    "spiking": ([],),
}
# Null is a number's place too.
NUMBERS = ("callbacks.decision_maps.limit", "trainer.gradient_clip_val", "target.low", "target.high")
NUMBERS += ("input.current_ma", "input.mean_ma", "input.std_ma", "explorer.current_ma", "neuron.spike_v")


def nonfinite(outcome: Outcome, effort: str, place: Path) -> None:
    """Give extreme values to every option that takes a fraction, then data and networks that are not finite."""
    pick = outcome.shared
    whole = train(place / "whole")
    trials = []
    for study, groups in GROUPS.items():
        for words in groups:
            for key in _numbers(study, words):
                base = [str(whole) if word == "RUN" else word for word in STUDIES.get(study, TRAIN)]
                values = EXTREMES if effort == "long" else pick.sample(EXTREMES, 1 if study == "train" else 2)
                trials += [(*base, *words, f"{key}={value}") for value in values]
    for words in outcome.sample(trials, {"short": 3, "quick": 120, "long": 3000}[effort]):
        _judge(outcome, list(words), place)
    if not outcome.is_last_shard:
        return
    ways = [[], ["trainer.engine=lightning"], ["callbacks.divergence_guard=null"], ["evaluate_state=last"]]
    for more in ways[:: 2 if effort == "short" else 1]:
        for lr in ("1e30", "1e29")[: 1 if effort == "short" else 2]:
            result = _judge(outcome, [*TRAIN, "optimizer=sgd", f"optimizer.lr={lr}", *more], place)
            late = None if "callbacks.divergence_guard=null" in more else 3
            right = result and result["status"] == "diverged" and (late is None or result["steps"] <= late)
            outcome.note(right, f"lr={lr} {more}: {result and (result['status'], result['steps'])}")
    _bad_members(outcome, place, ways[: 1 if effort == "short" else 2])
    _bad_data(outcome, place, ("inf", "1e39") if effort == "short" else NO_NUMBERS)


def _numbers(study: str, words: list[str]) -> list[str]:
    """List the options of a study that take a fraction."""
    more = ["runs=[x]"] if study == "spiking" else []
    config = OmegaConf.to_container(configs.compose(study, [*more, *words]), resolve=True)
    found = {key for key, value in flatten(config).items() if isinstance(value, float) or key in NUMBERS}
    return sorted(key for key in found if not key.startswith(("paths", "launcher", "search")))


def _judge(outcome: Outcome, words: list[str], place: Path) -> dict[str, Any] | None:
    """Run one command, and judge its answer and its folder; give its result."""
    logs = place / "logs"
    told = run([*words, f"paths.logs={logs}"], within_s=300)
    results = [json.loads(path.read_text()) for path in logs.glob("*/*/result.json")]
    result, name = (results[0] if results else None), " ".join(words[-2:])
    outcome.note(_is_answer(told, result), f"{name}: ended with {told.code}: {told.err[-400:]}")
    if result is not None and words[0] == "train":
        finite = all(_is_number((result[part] or {}).get("nll")) for part in ("test", "validation") if result[part])
        outcome.note(finite or result["status"] == "diverged", f"{name}: finished, and its metrics are not finite")
        files = list(logs.glob("*/*/checkpoints/*.ckpt"))
        states = [checkpoint.load(path)["state_dict"] for path in files]
        whole = all(bool(torch.isfinite(value).all()) for state in states for value in state.values())
        guarded = "callbacks.divergence_guard=null" not in words
        outcome.note(whole or not guarded, f"{name}: a checkpoint holds what is not finite")
    shutil.rmtree(logs, ignore_errors=True)
    return result


def _is_answer(told: Told, result: dict[str, Any] | None) -> bool:
    """Say whether a command ended well, was refused in a line, or says that it diverged."""
    if told.code == 0:
        return told.is_clean and result is not None and result["status"] == "finished"
    if told.code == 1:
        return told.is_clean and result is not None and result["status"] == "diverged"
    return told.is_refusal and result is None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _bad_members(outcome: Outcome, place: Path, ways: list[list[str]]) -> None:
    """Train sweeps of which some members diverge: the others as without them, and none of them the best."""
    for more in ways:
        states = []
        for rates in ("0.01,0.02", "1e30,0.01,1e20,0.02,1e29"):
            words = [*TRAIN, "figures=none", "optimizer=sgd", *more, "-m", "launcher=inline", "sweep=s"]
            told = run([*words, f"optimizer.lr={rates}", f"paths.logs={place / 'logs'}"])
            jobs = json.loads((place / "logs" / "sweep" / "s" / "sweep.json").read_text())["jobs"]
            good = {j["swept"]["optimizer.lr"]: j for j in jobs if j["swept"]["optimizer.lr"] < 1}
            states.append({lr: job["result"]["state_sha256"] for lr, job in good.items()})
            bad = {j["status"] for j in jobs if j["swept"]["optimizer.lr"] > 1}
            outcome.note(bad <= {"diverged"} and told.is_clean, f"{rates} {more}: {bad} {told.err[-300:]}")
            best = [line for line in told.err.splitlines() if line.startswith("lowest NLL")]
            outcome.note(best and best[-1].endswith(("=0.01", "=0.02")), f"{rates} {more}: the best is {best}")
            report = run(["report", str(place / "logs" / "sweep" / "s")])
            outcome.note(report.code == 0 and report.is_clean, f"report of {rates}: {report.code} {report.err[-300:]}")
            shutil.rmtree(place / "logs")
        outcome.note(states[0] == states[1], f"{more}: the others' bits differ: {states}")


def _bad_data(outcome: Outcome, place: Path, values: tuple[str, ...]) -> None:
    """Train on tables that hold what is no finite number, or too large a one for float32."""
    for value in values:
        for more in ([], ["data.standardize=false"], ["data.missing=drop"], ["data.missing=median"]):
            rows = [f"{k % 7},{value if k == 20 else k % 5},{'ab'[k % 2]}" for k in range(60)]
            path = place / "table.csv"
            path.write_text("\n".join(["x,y,label", *rows]) + "\n")
            words = ["train", "data=file", f"data.path={path}", "data.batch_size=8", "trainer.max_epochs=2"]
            _judge(outcome, [*words, "model.width=4", "trainer.accelerator=cpu", *more], place)
