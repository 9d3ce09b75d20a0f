"""Damaged, swapped and forged files of a run, through every command that reads one."""

import copy
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from mlplab.faults.campaign import Outcome
from mlplab.faults.owner import train
from mlplab.faults.trials import SMALL, run
from mlplab.runs import checkpoint

REFUSED_WITHIN_S, MEMORY = 5.0, 1 << 30
# By which spiking is quick.
SHORT_SPIKING = (
    *("simulation.duration_ms=20", "resistances_kohm=[1]", "refractories_ms=[0]", "depths=[]"),
    *("few_steps.try=[]", "surrogate.epochs=0", "maps=false", "launcher=inline"),
)
READ_THE_NETWORK = ("evaluate", "spiking", "init_from")
# Forged contents, correctly signed -> whether they concern the network, or only how a training goes on.
FORGED: dict[str, tuple[bool, Callable[[dict[str, Any]], Any]]] = {
    "no state_dict": (True, lambda c: c.pop("state_dict")),
    "an empty state_dict": (True, lambda c: c.update(state_dict={})),
    "a state_dict of numbers": (True, lambda c: c.update(state_dict={name: 1 for name in c["state_dict"]})),
    "a state_dict that is a list": (True, lambda c: c.update(state_dict=[1, 2])),
    "other shapes": (True, lambda c: c.update(state_dict={name: torch.zeros(3, 7) for name in c["state_dict"]})),
    "another digest": (True, lambda c: c["mlplab"].update(config_digest="0" * 64)),
    "nothing of the lab": (True, lambda c: c.pop("mlplab")),
    "a lab's part that is a text": (True, lambda c: c.update(mlplab="x")),
    "-5 epochs": (False, lambda c: c["mlplab"].update(epochs=-5)),
    "a billion epochs": (False, lambda c: c["mlplab"].update(epochs=10**9)),
    "epochs that are a text": (False, lambda c: c["mlplab"].update(epochs="three")),
    "-5 steps": (False, lambda c: c["mlplab"].update(steps=-5)),
    "no steps": (False, lambda c: c["mlplab"].pop("steps")),
    "no optimisers": (False, lambda c: c.update(optimizer_states=[])),
    "an optimiser of other shapes": (
        False,
        lambda c: c["optimizer_states"][0]["state"][0].update(exp_avg=torch.zeros(9)),
    ),
    "an optimiser without moments": (False, lambda c: c["optimizer_states"][0].update(state={})),
    "an optimiser of other parameters": (
        False,
        lambda c: c["optimizer_states"][0].update(
            state={n + 90: s for n, s in c["optimizer_states"][0]["state"].items()}
        ),
    ),
    "an optimiser without second moments": (
        False,
        lambda c: [own.pop("exp_avg_sq") for own in c["optimizer_states"][0]["state"].values()],
    ),
    "an optimiser that lacks a parameter": (False, lambda c: c["optimizer_states"][0]["state"].pop(0)),
    "an optimiser that is a text": (False, lambda c: c.update(optimizer_states="x")),
    "no best": (False, lambda c: c["mlplab"].pop("best")),
    "a best of other shapes": (
        False,
        lambda c: c["mlplab"]["best"].update(model={n: torch.zeros(2) for n in c["mlplab"]["best"]["model"]}),
    ),
    "a stop of nonsense": (False, lambda c: c["mlplab"].update(stop={"why": 1})),
    "callbacks that are a number": (False, lambda c: (c.update(callbacks=5), c["mlplab"].update(callbacks=5))),
    "a history of nonsense": (
        False,
        lambda c: (
            c["callbacks"].update(Record={"history": 3}),
            c["mlplab"].get("callbacks", {}).update(Record={"history": 3}),
        ),
    ),
    "another format": (False, lambda c: c["mlplab"].update(format=99)),
}
BOMB = b"a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 30)
)
CONTENTS = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[1, 2]",
    "a text": b"hello",
    "zeros": bytes(2000),
    "a bomb of aliases": BOMB,
    "depth": b"[" * 100_000,
    "depth of keys": b"{a: " * 20_000,
    "blocks in blocks": b"\n".join(b" " * n + b"a:" for n in range(3000)),
    "a number of 5,001 digits": b"seed: " + b"9" * 5001,
    "a JSON number of 5,001 digits": b'{"status": ' + b"9" * 5001 + b"}",
    "a tag": b"!!python/object/apply:os.system ['touch escaped']",
    "a command": b"seed: ${oc.env:HOME}\n",
    "JSON depth": b'{"a":' * 100_000,
    "numbers for texts": b'{"status": 5, "name": 7, "evaluated": 3, "jobs": 9, "config_digest": []}',
    "10 MB": b"a: 1\n" * 2_000_000,
}
GIVEN = [name for name in CONTENTS if name != "10 MB"]  # of a person's: a million rows take as long as they take
RECORDS = (
    "config.yaml",
    "status.json",
    "result.json",
    "manifest.json",
    ".hydra/hydra.yaml",
    ".hydra/config.yaml",
    "metrics.csv",
    "checkpoints/snapshots.npz",
    "figures/arrays.npz",
    "figures/decision_map.png",
    "tensorboard/events.out.tfevents.0000000001.mlplab",
)


def damage(outcome: Outcome, effort: str, place: Path) -> None:
    """Damage copies of small runs, one thing at a time, and give them to the commands."""
    other, share = train(place / "other", "seed=1"), {"short": 1, "quick": 5, "long": 40}[effort]
    runs = {}
    for engine, figures in (("population", "all"), ("lightning", "map")):
        runs[engine] = whole = train(place / engine, f"trainer.engine={engine}", f"figures={figures}")
        _networks(outcome, effort, engine, whole, other, place, READ_THE_NETWORK, share)
    table = on_a_table(place)
    _networks(outcome, effort, "a table", table, other, place, ("predict", "evaluate"), -(-share // 4))
    for whole, records, commands in (
        (runs["population"], RECORDS, None),
        (table, ("config.yaml", "result.json", "manifest.json"), ("predict", "evaluate", "evaluate elsewhere")),
    ):
        pairs = [(record, name) for record in records for name in CONTENTS]
        for record, name in outcome.sample(pairs, {"short": 1, "quick": 24, "long": len(pairs)}[effort]):
            _record(outcome, effort, whole, other, place, record, name, commands)
    for name in outcome.sample(GIVEN, {"short": 1, "quick": 5, "long": len(GIVEN)}[effort]):
        for suffix in (".csv", ".npz", ".parquet"):
            path = place / f"given{suffix}"
            path.write_bytes(CONTENTS[name])
            words = [f"data.path={path}", f"paths.logs={place / 'more'}"]
            _note(outcome, f"predict a file{suffix} that holds {name}", ["predict", str(table), *words])
            _note(outcome, f"evaluate on a file{suffix} that holds {name}", ["evaluate", str(table), *words])
            _note(outcome, f"train on a file{suffix} that holds {name}", ["train", "data=file", *words])
    outcome.note(not list(place.rglob("escaped")) and not Path("escaped").exists(), "a tag was obeyed")


def on_a_table(place: Path) -> Path:
    """Train on a table of two features and a label, and leave another one, without labels, to predict."""
    place.mkdir(exist_ok=True, parents=True)
    rows = [f"{7 * n % 11},{5 * n % 13}" for n in range(120)]
    (place / "points.csv").write_text("\n".join(["a,b", *rows]) + "\n")
    (place / "table.csv").write_text("\n".join(["a,b,label", *(f"{row},{n % 2}" for n, row in enumerate(rows))]) + "\n")
    words = [word for word in SMALL if not word.startswith("data.")]
    told = run(["train", *words, "data=file", f"data.path={place / 'table.csv'}", f"paths.logs={place / 'tables'}"])
    assert told.code == 0, told.err
    (folder,) = (path.parent for path in (place / "tables").rglob("result.json"))
    return folder


def _networks(
    outcome: Outcome, effort: str, kind: str, whole: Path, other: Path, place: Path, readers: Sequence[str], count: int
) -> None:
    """Forge and spoil the checkpoints of a run."""
    here = place / "here"
    commands = _commands(here, other, place)
    forged = [(name, about, change) for name, (about, change) in FORGED.items()]
    for name, about, change in outcome.sample(forged, {"short": 1, "quick": 10, "long": len(forged)}[effort]):
        shutil.copytree(whole, here)
        for file in (here / "checkpoints").glob("*.ckpt"):
            content = copy.deepcopy(checkpoint.load(file))
            try:
                change(content)
            except (KeyError, TypeError):
                continue  # the best has no optimiser
            checkpoint.save(file, content)
        for command in (*readers, "resume") if about else ("resume",):
            _note(outcome, f"{kind}, {name}: {command}", commands[command], refused=True)
        shutil.rmtree(here)
    for _ in outcome.mine(range(count)):
        shutil.copytree(whole, here)
        name = _spoilt(outcome.pick, here, other)
        for command in (*readers, "resume"):
            refused = command != "resume" or "gone" not in name
            _note(outcome, f"{kind}, {name}: {command}", commands[command], refused=refused)
        shutil.rmtree(here)


def _record(
    outcome: Outcome,
    effort: str,
    whole: Path,
    other: Path,
    place: Path,
    record: str,
    name: str,
    some: Sequence[str] | None,
) -> None:
    """Put something else into a record, and give it to some of the commands, or to all."""
    here = place / "here"
    commands = _commands(here, other, place)
    some = some or list(commands)
    for command in some if effort == "long" else outcome.pick.sample(some, min(4, len(some))):
        shutil.copytree(whole, here)
        (here / record).write_bytes(CONTENTS[name])
        _note(outcome, f"{record} holds {name}: {command}", commands[command])
        shutil.rmtree(here)


def _commands(here: Path, other: Path, place: Path) -> dict[str, list[str]]:
    logs = f"paths.logs={place / 'more'}"
    return {
        "evaluate": ["evaluate", str(here)],
        "evaluate elsewhere": ["evaluate", str(here), "data.noise=0.3", logs],
        "spiking": ["spiking", str(here), *SHORT_SPIKING, logs],
        "resume": ["train", f"resume={here}"],
        "init_from": [
            "train",
            f"init_from={here}",
            "model.width=6",
            "data.points_per_arm=40",
            "trainer.max_epochs=1",
            "figures=none",
            logs,
        ],
        "report": ["report", str(here.parent)],
        "runs": ["runs", f"paths.logs={here.parent}"],
        "compare": ["compare", str(here), str(other)],
        "reproduce": ["reproduce", str(here), logs],
        "redraw": ["redraw", str(here)],
        "limits": ["limits", str(here), "networks=false", "draws=2", logs],
        "predict": ["predict", str(here), f"data.path={place / 'points.csv'}", f"output={place / 'out.csv'}"],
        "playground": ["playground", str(here), logs],
    }


def _note(outcome: Outcome, name: str, words: list[str], refused: bool = False) -> None:
    told = run(words, within_s=60, memory=MEMORY)
    fine = told.is_refusal or told.code == 0 and not refused or told.code == 1 and told.is_clean and not refused
    outcome.note(fine and told.is_clean, f"{name}: ended with {told.code}: {told.err[-300:]}")
    if told.is_refusal:
        outcome.note(
            told.is_within(REFUSED_WITHIN_S), f"{name}: refused after {told.seconds:.1f} s, {told.cpu_s:.1f} of CPU"
        )


def _spoilt(pick: random.Random, here: Path, other: Path) -> str:
    """Spoil both checkpoints, unsigned; say how."""
    how = pick.choice(("a flipped bit", "cut short", "of another run", "gone", "zeros"))
    for file in (here / "checkpoints").glob("*.ckpt"):
        data = bytearray(file.read_bytes())
        if how == "a flipped bit":
            data[pick.randrange(len(data))] ^= 1 << pick.randrange(8)
        elif how == "cut short":
            del data[pick.randrange(len(data)) :]
        elif how == "of another run":
            data = bytearray((other / "checkpoints" / file.name).read_bytes())
        elif how == "zeros":
            data = bytearray(len(data))
        file.write_bytes(data)
        if how == "gone":
            file.unlink()
    return f"checkpoints: {how}"
