"""A sweep as TensorBoard shows it best: one run a job, named by what differs, and one for each setting's mean."""

import csv
import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.custom_scalar import layout_pb2

from mlplab.report.joining import build
from mlplab.report.table import Setting, Table
from mlplab.runs.events import EventFile, custom_layout, image_value, session_end, session_start
from mlplab.runs.files import read_text
from mlplab.runs.names import short_names, shown
from mlplab.runs.sweep_folder import read_sweep
from mlplab.runs.sweep_record import Job
from mlplab.words import thinned

FOLDER = ".tensorboard"
# TensorBoard selects all runs by default up to this number.
MOST_RUNS = 500
# A page of 500 curves loads within seconds with this number of points a curve.
MOST_POINTS, FEWEST_POINTS, POINTS_IN_ALL = 150, 30, 15_000
MOST_PICTURES = 100
# Column of metrics.csv -> tag: training and validation share a first word, and so a group of charts.
COLUMNS = {
    "train/loss": "loss/train",
    "val/loss": "loss/validation",
    "train/accuracy": "accuracy/train",
    "val/accuracy": "accuracy/validation",
    "lr": "learning_rate",
}
FINAL = ("test/accuracy", "test/nll", "fresh/accuracy", "fresh/nll", "fresh/accuracy_regret", "fresh/nll_regret")
# Mean of a setting's seeds, and the lowest and highest of them.
BAND = ("loss/validation", "accuracy/validation")
MEAN = "mean"


class Board:
    """Event files made from a sweep's folders, in a hidden folder beside them, and kept up to date.

    Args:
        sweep: its folder.
    """

    def __init__(self, sweep: str | Path) -> None:
        self.sweep = Path(sweep)
        self.folder = self.sweep / FOLDER
        self._files: dict[str, EventFile] = {}
        self._written: dict[str, int] = {}  # the last epoch of each job
        self._ended: set[str] = set()
        self._means: dict[str, tuple] = {}
        self.running = True
        self.means = self.left_out = 0
        self.points = MOST_POINTS
        shutil.rmtree(self.folder, ignore_errors=True)

    def update(self) -> int:
        """Write what came since the last call: means first, then the jobs that have room beside them.

        Returns:
            The number of runs on the board.
        """
        table = build([read_sweep(self.sweep)])
        jobs = table.jobs
        names = job_names(table)
        self.points = min(MOST_POINTS, max(FEWEST_POINTS, POINTS_IN_ALL // len(jobs)))
        curves = {job.name: read_columns(job.folder / "metrics.csv") for job in jobs}
        settings = [setting for setting in table.settings if len(setting.jobs) > 1]
        self.means = len(settings) if 1 < len(settings) <= MOST_RUNS // 2 else 0
        for setting in settings[: self.means]:
            self._write_mean(table, setting, [curves[job.name] for job in setting.jobs])
        self.left_out = max(0, len(jobs) + self.means - MOST_RUNS)
        for job in jobs[: len(jobs) - self.left_out]:
            self._write_job(job, names[job.name], curves[job.name], len(jobs))
        self.running = any(job.status in ("running", "missing") for job in jobs)
        return len(self._files)

    def _write_job(self, job: Job, name: str, curve: dict[str, list], count: int) -> None:
        events = []
        if name not in self._files and (job.status != "missing" or curve):
            hparams = {key: shown(value) if isinstance(value, str) else value for key, value in job.swept.items()}
            events.append(_event(0, [session_start("", hparams or {"seed": 0}, _began(job))], _began(job)))
        last = self._written.get(name, -1)
        new = [row for row, epoch in enumerate(curve.get("epoch", [])) if epoch > last]
        for row in thinned(new, self.points):
            values = [
                Summary.Value(tag=tag, simple_value=curve[column][row])
                for column, tag in COLUMNS.items()
                if column in curve and curve[column][row] is not None
            ]
            events.append(_event(int(curve["step"][row] or 0) if "step" in curve else int(curve["epoch"][row]), values))
        if new:
            self._written[name] = curve["epoch"][new[-1]]
        if job.result is not None and name not in self._ended:
            self._ended.add(name)
            events.append(_event(int(job.result.get("steps") or 0), self._end(job, count)))
        self._append(name, events)

    def _end(self, job: Job, count: int) -> list[Summary.Value]:
        values = []
        for figure in FINAL:
            value = job.metric(*figure.split("/"))
            if value is not None:
                values.append(Summary.Value(tag=figure, simple_value=value))
        picture = job.folder / "figures" / "decision_map.png"
        if count <= MOST_PICTURES and picture.is_file():
            values.append(image_value("decision_map", picture.read_bytes()))
        values.append(session_end("success" if job.is_finished else "failed", _ended(job)))
        return values

    def _write_mean(self, table: Table, setting: Setting, curves: Sequence[dict[str, list]]) -> None:
        """Write the mean of a setting's runs where all of them are past an epoch; each call begins anew."""
        name = f"{MEAN} {padded_label(table, setting)}"
        having = [curve for curve in curves if curve]
        if not having:
            return
        by_step = [_by_step(curve) for curve in having]
        steps = sorted(set.intersection(*(set(found) for found in by_step)))
        state = (len(having), steps[-1] if steps else -1)
        if self._means.get(name) == state:
            return
        before = self._means.get(name, (0, -1))
        self._means[name] = state
        if before[0] not in (0, len(having)):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            self._files.pop(name, None)
            before = (0, -1)
        events = []
        for step in thinned([step for step in steps if step > before[1]], MOST_POINTS):
            values = []
            for column, tag in COLUMNS.items():
                found = [rows[step][column] for rows in by_step if rows[step].get(column) is not None]
                if len(found) == len(by_step):
                    values.append(Summary.Value(tag=tag, simple_value=math.fsum(found) / len(found)))
                    if tag in BAND:
                        values.append(Summary.Value(tag=f"band/{tag}_lowest", simple_value=min(found)))
                        values.append(Summary.Value(tag=f"band/{tag}_highest", simple_value=max(found)))
            events.append(_event(step, values))
        self._append(name, events)

    def _append(self, name: str, events: list[Event]) -> None:
        if events:
            if not self._files:  # any run will do
                events = [_event(0, [layout_value()], events[0].wall_time), *events]
            self._files.setdefault(name, EventFile(self.folder / name)).append(events)


def job_names(table: Table) -> dict[str, str]:
    """Name each job by what differs, whole numbers padded, so that names sort: ``width=016 depth=1 seed=0``."""
    keys = [*table.keys, *table.replicates]
    names: dict[str, str] = {}
    taken: dict[str, int] = {}
    for setting in table.settings:
        for job in setting.jobs:
            name = _label(keys, [job.swept.get(key) for key in keys], table) or job.name
            taken[name] = taken.get(name, 0) + 1
            names[job.name] = name if taken[name] == 1 else f"{name} ({taken[name]})"
    return names


def padded_label(table: Table, setting: Setting) -> str:
    return _label(table.keys, setting.values, table) or "of all"


def _label(keys: Sequence[str], values: Sequence[Any], table: Table) -> str:
    words = []
    for key, short, value in zip(keys, short_names(keys), values):
        text = shown(value)
        if isinstance(value, int) and not isinstance(value, bool):
            text = f"{value:0{_digits(table, key)}d}"
        words.append(f"{short}={text}".replace("/", "_"))
    return " ".join(words)


def _digits(table: Table, key: str) -> int:
    found = [job.swept.get(key) for job in table.jobs]
    return max(len(str(value)) for value in found if isinstance(value, int))


def read_columns(path: Path) -> dict[str, list]:
    """Read the columns of a ``metrics.csv`` that a board shows; nothing where it is missing or damaged."""
    try:
        text = read_text(path)
        rows = list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))
        if not rows:
            return {}
        places = {name: place for place, name in enumerate(rows[0]) if name in ("epoch", "step", *COLUMNS)}
        found: dict[str, list] = {}
        for name, place in places.items():
            found[name] = [float(row[place]) if row[place] else None for row in rows[1:]]
        return found if found.get("epoch") else {}
    except (OSError, ValueError, IndexError):
        return {}


def layout_value() -> Summary.Value:
    """Lay CUSTOM SCALARS out: training and validation in one chart, and each setting's mean with its band."""

    def lines(title: str, *tags: str) -> layout_pb2.Chart:
        return layout_pb2.Chart(
            title=title, multiline=layout_pb2.MultilineChartContent(tag=[f"^{tag}$" for tag in tags])
        )

    def band(title: str, tag: str) -> layout_pb2.Chart:
        series = layout_pb2.MarginChartContent.Series(
            value=tag, lower=f"band/{tag}_lowest", upper=f"band/{tag}_highest"
        )
        return layout_pb2.Chart(title=title, margin=layout_pb2.MarginChartContent(series=[series]))

    layout = layout_pb2.Layout(
        category=[
            layout_pb2.Category(
                title="training and validation",
                chart=[
                    lines("loss", "loss/train", "loss/validation"),
                    lines("accuracy", "accuracy/train", "accuracy/validation"),
                ],
            ),
            layout_pb2.Category(
                title="mean over seeds, and the band of all seeds (the runs that begin with mean)",
                chart=[band("validation loss", "loss/validation"), band("validation accuracy", "accuracy/validation")],
            ),
        ]
    )
    return custom_layout(layout.SerializeToString())


def _by_step(curve: dict[str, list]) -> dict[int, dict[str, float | None]]:
    steps = curve.get("step") or curve["epoch"]
    return {int(step or 0): {name: curve[name][row] for name in curve} for row, step in enumerate(steps)}


def _event(step: int, values: list[Summary.Value], wall_time: float | None = None) -> Event:
    return Event(wall_time=time.time() if wall_time is None else wall_time, step=step, summary=Summary(value=values))


def _began(job: Job) -> float:
    try:
        return (job.folder / "config.yaml").stat().st_mtime
    except OSError:
        return time.time()


def _ended(job: Job) -> float:
    try:
        return (job.folder / "result.json").stat().st_mtime
    except OSError:
        return time.time()
