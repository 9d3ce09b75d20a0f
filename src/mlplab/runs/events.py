"""TensorBoard event files written in place: no thread, no open handle, records framed here."""

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import google_crc32c
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from mlplab.errors import InputError
from mlplab.runs.files import write_bytes


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
