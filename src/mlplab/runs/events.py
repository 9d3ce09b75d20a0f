"""TensorBoard's event files, written in place without a thread or an open handle, and what they show."""

import json
import math
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from mlplab.runs.files import write_bytes

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
