"""A run's TensorBoard event files: what they show, written in place, buffered, without a thread or an open handle."""

import json
import math
import os
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
from google.protobuf import struct_pb2
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT, DT_STRING
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

from mlplab.errors import InputError
from mlplab.runs.files import note, write_bytes

SIBLINGS = ("train", "val")
START_TAG = "_hparams_/session_start_info"
END_TAG = "_hparams_/session_end_info"
STATUS = {"success": 1, "failed": 2}  # tensorboard.plugins.hparams.api_pb2.Status


def scalar_values(metrics: Mapping[str, Any]) -> dict[str, list[Summary.Value]]:
    """Sort metrics into TensorBoard's runs: run name to values; ``epoch`` and None are left out."""
    values: dict[str, list[Summary.Value]] = {}
    for name, value in metrics.items():
        if name != "epoch" and value is not None:
            run, tag = split(name)
            values.setdefault(run, []).append(Summary.Value(tag=tag, simple_value=float(value)))
    return values


def image_value(tag: str, data: bytes) -> Summary.Value:
    """Wrap the bytes of a PNG or GIF file."""
    width, height = image_size(data)
    picture = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=data)
    return Summary.Value(tag=tag, image=picture)


def text_value(tag: str, markdown: str) -> Summary.Value:
    """Wrap Markdown text."""
    tensor = TensorProto(dtype=DT_STRING, string_val=[markdown.encode()], tensor_shape=_shape(1))
    return Summary.Value(tag=tag, metadata=_metadata("text"), tensor=tensor)


def session_start(name: str, hparams: Mapping[str, Any], start_time_s: float) -> Summary.Value:
    """Begin a row of HPARAMS.

    Args:
        name: the row's name; empty for the run's path.
        hparams: flat names to values; lists become text, and null becomes ``none``.
        start_time_s: seconds since 1970.
    """
    info = SessionStartInfo(group_name=name, start_time_secs=start_time_s)
    for key in sorted(hparams):
        info.hparams[key].CopyFrom(_hparam(hparams[key]))
    return _hparams_value(START_TAG, HParamsPluginData(session_start_info=info))


def session_end(status: str, end_time_s: float) -> Summary.Value:
    """End a row of HPARAMS: a status of :data:`STATUS` and the time, seconds since 1970."""
    info = SessionEndInfo(status=STATUS[status], end_time_secs=end_time_s)
    return _hparams_value(END_TAG, HParamsPluginData(session_end_info=info))


def custom_layout(layout: bytes) -> Summary.Value:
    """Lay out the dashboard CUSTOM SCALARS; ``layout`` is a serialised ``Layout`` of its plugin."""
    tensor = TensorProto(dtype=DT_STRING, string_val=[layout], tensor_shape=TensorShapeProto())
    return Summary.Value(tag="custom_scalars__config__", metadata=_metadata("custom_scalars"), tensor=tensor)


def split(name: str) -> tuple[str, str]:
    """Split a metric's name into TensorBoard's run and tag: ``train/loss`` is ``loss`` of ``train``."""
    run, slash, tag = name.partition("/")
    return (run, tag) if slash and run in SIBLINGS else ("", name)


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings to dotted names; ``_target_`` and its like are left out."""
    flat: dict[str, Any] = {}
    for key, value in params.items():
        if str(key).startswith("_"):
            continue
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def image_size(data: bytes) -> tuple[int, int]:
    """Read width and height, in pixels, from the head of a PNG or GIF file.

    Raises:
        ValueError: it is neither.
    """
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    raise ValueError(f"an image must be PNG or GIF bytes, got {data[:8]!r}...")


def _hparam(value: Any) -> struct_pb2.Value:
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, (int, float)):
        # JSON has no nan or inf, and one of them would take the whole page down.
        if not math.isfinite(value):
            return struct_pb2.Value(string_value=str(value))
        return struct_pb2.Value(number_value=value)
    if value is None:
        return struct_pb2.Value(string_value="none")
    return struct_pb2.Value(string_value=value if isinstance(value, str) else json.dumps(value, default=str))


def _hparams_value(tag: str, data: HParamsPluginData) -> Summary.Value:
    # All of it is in the metadata; the tensor is there because readers look for one.
    empty = TensorProto(dtype=DT_FLOAT, tensor_shape=_shape(0))
    return Summary.Value(tag=tag, metadata=_metadata("hparams", data.SerializeToString()), tensor=empty)


def _metadata(plugin: str, content: bytes = b"") -> SummaryMetadata:
    return SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin, content=content))


def _shape(size: int) -> TensorShapeProto:
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=size)])


class EventFile:
    """Append events to the newest event file of a folder.

    Args:
        folder: the run as TensorBoard sees it; made with the first event.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.path: Path | None = None

    def append(self, events: Iterable[Event]) -> None:
        """Write events; a file of our own is begun with the first of them."""
        data = records([event.SerializeToString() for event in events])
        if not data:
            return
        try:
            if self.path is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                self.path = self._next()
                data = _head(0.0) + data
            with open(self.path, "ab") as file:
                note(self.path)
                file.write(data)
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {error.strerror or error}") from error

    def purge(self, step: int, drop: tuple[str, ...] = ()) -> list[Event]:
        """Keep only the events up to a step, and go on behind them.

        The kept events move into a new file that tells readers to forget what they saw: a TensorBoard
        that is open on the folder would otherwise read on in the middle of a shortened file.

        Args:
            step: the last step to keep.
            drop: beginnings of tags; an event with one of these is dropped at any step.

        Returns:
            The events kept.
        """
        old = self._files()
        if not old:
            self.path = None
            return []
        kept: list[Event] = []
        for file in reversed(old):
            events = list(read_events(file))
            kept[:0] = [
                event
                for event in events
                if event.HasField("summary")
                and event.step <= step
                and not any(value.tag.startswith(drop) for value in event.summary.value)
            ]
            # A file of an earlier purge replaces all files before it.
            if any(event.HasField("session_log") for event in events[:2]):
                break
        path = self._next()
        contents = [event.SerializeToString() for event in kept]
        write_bytes(path, [_head(0.0, restart=True), records(contents)])
        # Emptied and not removed: TensorBoard's reader waits for ever for a file that is gone.
        for file in old:
            os.truncate(file, 0)
        self.path = path
        return kept

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("events.out.tfevents.*"))

    def _next(self) -> Path:
        # TensorBoard reads a folder's files in the order of their names.
        files = self._files()
        number = 1 + (int(files[-1].name.split(".")[3]) if files else 0)
        return self.folder / f"events.out.tfevents.{number:010d}.mlplab"


def read_events(path: str | Path) -> Iterator[Event]:
    """Read the events of a file up to its end or to the first record that is cut short or damaged."""
    data = Path(path).read_bytes()
    contents, expected, start = [], [], 0
    while start + 16 <= len(data):
        (length,) = struct.unpack_from("<Q", data, start)
        end = start + 12 + length
        if end + 4 > len(data):
            break
        contents.append(data[start + 12 : end])
        expected += struct.unpack_from("<I", data, end)
        start = end + 4
    for content, checksum in zip(contents, expected):
        if checksum != _checksum(content):
            return
        yield Event.FromString(content)


def records(contents: Sequence[bytes]) -> bytes:
    """Frame contents as TFRecords: of each the length, its checksum, the bytes, their checksum."""
    parts = []
    for content in contents:
        length = struct.pack("<Q", len(content))
        parts += [length, struct.pack("<I", _checksum(length)), content, struct.pack("<I", _checksum(content))]
    return b"".join(parts)


def _checksum(data: bytes) -> int:
    # CRC-32C, masked as TFRecord asks, so that a checksum of data with checksums in it is no special case.
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _head(wall_time: float, restart: bool = False) -> bytes:
    head = [Event(wall_time=wall_time, file_version="brain.Event:2")]
    if restart:
        head.append(Event(wall_time=wall_time, step=0, session_log=SessionLog(status=SessionLog.START)))
    return records([event.SerializeToString() for event in head])


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
