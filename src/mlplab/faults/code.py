"""No file that a command reads can run code, hang it, or fill its memory: pickles, tags and bombs in each of them."""

import hashlib
import io
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlplab.faults.campaign import Outcome
from mlplab.faults.damage import CONTENTS, MEMORY, REFUSED_WITHIN_S, _commands
from mlplab.faults.owner import train
from mlplab.faults.trials import SMALL, run
from mlplab.runs.checkpoint import MARK

SWEPT = ["train", "-m", *SMALL, "trainer.max_epochs=1", "figures=none", "launcher=inline", "seed=0,1"]
SEARCHED = [
    *("train", "-m", "hydra/sweeper=search", "optimizer.lr=interval(1e-4,1e-1)", "search.trials=2"),
    *(*SMALL, "trainer.max_epochs=1", "figures=none", "launcher=inline"),
]
TEXTS = {name: data for name, data in CONTENTS.items() if name not in ("nothing", "null", "a command")}


class Obeyed:
    """What runs a command where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def code(outcome: Outcome, effort: str, place: Path) -> None:
    """Put pickles, tags and bombs where a run, a sweep, a search and data are read, and give them to the commands."""
    mark = place / "executed"
    whole, other = train(place / "whole"), train(place / "other", "seed=1")
    share = {"short": 48, "quick": 3, "long": 1}[effort]
    here = place / "here"
    for number, (name, data) in enumerate(_pickles(mark)):
        for record in ("checkpoints/last.ckpt", "checkpoints/snapshots.npz", "figures/arrays.npz"):
            commands = _commands(here, other, place)
            points = f"data.path={place / 'points.npz'}"
            commands["predict"] = ["predict", str(here), points, f"output={place / 'out.csv'}"]
            for command, words in commands.items():
                if not outcome.is_turn(share):
                    continue
                shutil.copytree(whole, here)
                (here / record).write_bytes(data)
                if record.endswith(".ckpt"):
                    (here / "checkpoints" / "best.ckpt").write_bytes(data)
                (place / "points.npz").write_bytes(data)
                _note(outcome, f"{record} holds {name}: {command}", words, mark)
                shutil.rmtree(here)
        (place / "table.npz").write_bytes(data)
        (place / "table.json").write_bytes(data)
        tables = (
            [*SMALL[1:], "data=file", f"data.path={place / 'table.npz'}"],
            [*SMALL, f"init_from={place / 'table.npz'}"],
            [*SMALL, f"init_from={place / 'table.json'}"],
        )
        for words in outcome.mine(tables if effort != "short" else tables[number % 3 :][:1]):
            _note(outcome, f"{name}: {words[-1]}", ["train", *words, f"paths.logs={place / 'more'}"], mark)
    _sweeps(outcome, place, share, mark)


def _sweeps(outcome: Outcome, place: Path, share: int, mark: Path) -> None:
    for kind, words in (("swept", SWEPT), ("searched", SEARCHED)):
        logs = place / kind
        outcome.note(run([*words, "sweep=one", f"paths.logs={logs}"]).code == 0, f"{kind}: no sweep")
        (sweep,) = logs.glob("*/one")
        whole = place / f"{kind}-whole"
        shutil.move(sweep, whole)
        files = sorted(path.relative_to(whole) for path in whole.iterdir() if path.is_file())
        for file in files:
            for name, data in [*TEXTS.items(), *_pickles(mark)]:
                for command in (["report", str(sweep)], ["runs", f"paths.logs={logs}"], [*words, "sweep=one"]):
                    if not outcome.is_turn(share):
                        continue
                    shutil.copytree(whole, sweep)
                    (sweep / file).write_bytes(data)
                    more = [f"paths.logs={logs}"] if command[0] == "train" else []
                    _note(outcome, f"{kind}/{file} holds {name}: {command[0]}", [*command, *more], mark)
                    shutil.rmtree(sweep)


def _note(outcome: Outcome, name: str, words: list[str], mark: Path) -> None:
    told = run(words, within_s=60, memory=MEMORY)
    outcome.note(told.is_clean, f"{name}: ended with {told.code}: {told.err[-300:]}")
    if told.is_refusal:
        outcome.note(
            told.is_within(REFUSED_WITHIN_S), f"{name}: refused after {told.seconds:.1f} s, {told.cpu_s:.1f} of CPU"
        )
    outcome.note(not mark.exists() and not Path("escaped").exists(), f"{name}: executed")
    mark.unlink(missing_ok=True)


def _pickles(mark: Path) -> Iterator[tuple[str, bytes]]:
    """Give files that run a command where somebody unpickles them, the checkpoints among them signed as the lab's own."""
    for name, form in (("a pickle", {"_use_new_zipfile_serialization": False}), ("a pickle in a zip", {})):
        buffer = io.BytesIO()
        torch.save({"state_dict": Obeyed(mark), "mlplab": Obeyed(mark)}, buffer, **form)
        body = buffer.getvalue()
        yield name, body
        digest = hashlib.sha256(body).hexdigest().encode()
        yield f"{name}, signed", body[:-2] + struct.pack("<H", len(MARK) + 64) + MARK + digest
    for name, save in (("an array of objects", np.save), ("arrays of objects", np.savez_compressed)):
        buffer, held = io.BytesIO(), np.array([Obeyed(mark), 1], dtype=object)
        save(buffer, held) if save is np.save else save(buffer, data=held, target=held, limit=held, epochs=held)
        yield name, buffer.getvalue()
