"""A run's TensorBoard event files, buffered and without threads."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from mlplab.runs.events import (
    END_TAG,
    SIBLINGS,
    START_TAG,
    STATUS,
    EventFile,
    flatten,
    image_value,
    scalar_values,
    session_end,
    session_start,
    split,
    text_value,
)

# With what the tags begin that are written once, when all is trained.
AT_THE_END = ("final/", "test/", "fresh/")


class TensorBoardWriter:
    """Write a run for TensorBoard: curves, images, text and its row in HPARAMS.

    ``train/loss`` and ``val/loss`` become the tag ``loss`` of the sibling runs ``train`` and ``val``,
    so that they share a chart; every other name stays as it is in the folder's own run. Nothing is
    written before the first flush, and no file stays open after one.

    Open TensorBoard on the run folder or on a folder above it: on ``folder`` itself, TensorBoard 2.21
    finds no metrics for HPARAMS.

    Args:
        folder: where the event files go, such as ``RUN_FOLDER/tensorboard``.
        name: what HPARAMS calls the run; by default the folder's path as TensorBoard sees it. Rows of
            one name count as repetitions of one trial, and averaged.
        flush_every_s: write when the oldest buffered value is this old; infinity leaves it to
            :meth:`flush`. Flush before a checkpoint, so that a resumed run misses nothing.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        folder: str | Path,
        name: str | None = None,
        flush_every_s: float = 2.0,
        clock: Callable[[], float] = time.time,
    ):
        self.folder = Path(folder)
        self._name = name
        self.flush_every_s = flush_every_s
        self.clock = clock
        self._runs = {run: EventFile(self.folder / run) for run in ("", *SIBLINGS)}
        self._scalars: list[tuple[float, int, Mapping[str, Any]]] = []
        self._events: dict[str, list[Event]] = {run: [] for run in self._runs}
        self._oldest: float | None = None
        self._started = False

    @property
    def name(self) -> str:
        return self._name or self.folder.absolute().parent.name

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Buffer scalars; ``epoch`` is left out."""
        now = self.clock()
        self._scalars.append((now, step or 0, dict(metrics)))
        self._flush_when_due(now)

    def log_image(self, tag: str, data: bytes, step: int) -> None:
        """Buffer an encoded image.

        Args:
            tag: its name; one tag for one kind of picture, with its steps behind one slider.
            data: a PNG or GIF file; TensorBoard plays a GIF's frames.
            step: its step.
        """
        run, tag = split(tag)
        self._add(run, step, image_value(tag, data))

    def log_text(self, tag: str, text: str, step: int = 0) -> None:
        """Buffer Markdown text; fence what must stay as it is, such as YAML."""
        run, tag = split(tag)
        self._add(run, step, text_value(tag, text))

    def log_config(self, text: str) -> None:
        """Buffer the resolved config, YAML, as text under the tag ``config``."""
        self.log_text("config", f"```yaml\n{text.rstrip()}\n```")

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Begin the run's row in HPARAMS, once; a second call, or one after resuming, changes nothing.

        Only the session-start record is written: TensorBoard then takes the columns from all runs,
        where an experiment record would let the first run decide. Give every run the same keys.

        Args:
            params: names to values, nested or flat. Nested names are joined by dots, lists become
                text, and null becomes ``none``.
        """
        hparams = flatten(params if isinstance(params, Mapping) else vars(params))
        if self._started or not hparams:
            return
        self._started = True
        self._add("", 0, session_start(self._name or "", hparams, self.clock()))

    def log_final(self, metrics: Mapping[str, float], step: int, status: str = "success") -> None:
        """Write the final metrics and end the run's row in HPARAMS.

        Args:
            metrics: such as ``{"test/accuracy": 0.97}``; the same names in every run.
            step: the last step.
            status: ``success`` or ``failed``.
        """
        values = [Summary.Value(tag=tag, simple_value=float(value)) for tag, value in metrics.items()]
        values.append(session_end(status, self.clock()))
        self._events[""].append(self._event(step, values))
        self.flush()

    def purge(self, step: int) -> None:
        """Drop what was logged after a step, and what stands at the end of a run, before going on from there."""
        self._scalars.clear()
        for run, file in self._runs.items():
            self._events[run].clear()
            kept = file.purge(step, (END_TAG, *AT_THE_END))
            self._started |= any(value.tag == START_TAG for event in kept for value in event.summary.value)

    def flush(self) -> None:
        """Write what is buffered."""
        for wall_time, step, metrics in self._scalars:
            for run, values in scalar_values(metrics).items():
                self._events[run].append(Event(wall_time=wall_time, step=step, summary=Summary(value=values)))
        self._scalars.clear()
        self._oldest = None
        for run, events in self._events.items():
            if events:
                self._runs[run].append(events)
                events.clear()

    def finalize(self, status: str) -> None:
        """End the run's row in HPARAMS, with a status of ``STATUS``, and flush."""
        if self._started and status in STATUS:
            self._events[""].append(self._event(0, [session_end(status, self.clock())]))
        self.flush()

    def _add(self, run: str, step: int, value: Summary.Value) -> None:
        event = self._event(step, [value])
        self._events[run].append(event)
        self._flush_when_due(event.wall_time)

    def _event(self, step: int, values: list[Summary.Value]) -> Event:
        return Event(wall_time=self.clock(), step=int(step), summary=Summary(value=values))

    def _flush_when_due(self, now: float) -> None:
        if self._oldest is None:
            self._oldest = now
        if now - self._oldest >= self.flush_every_s:
            self.flush()
