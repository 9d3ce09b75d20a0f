"""TensorBoard event files written in place: no thread, no open handle, records framed and summed here."""

import os
import struct
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from mlplab.errors import InputError
from mlplab.runs.files import write_bytes


_BLOCK = 64  # bytes that are summed side by side; a power of two


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
        data = b"".join(record(event.SerializeToString()) for event in events)
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

    def purge(self, step: int, drop: frozenset[str] = frozenset()) -> list[Event]:
        """Keep only the events up to a step, and go on behind them.

        The kept events move into a new file that tells readers to forget what they saw: a TensorBoard
        that is open on the folder would otherwise read on in the middle of a shortened file.

        Args:
            step: the last step to keep.
            drop: tags; an event with one of them is dropped at any step.

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
                and not drop.intersection(value.tag for value in event.summary.value)
            ]
            # A file of an earlier purge holds all that counts of those before it.
            if any(event.HasField("session_log") for event in events[:2]):
                break
        path = self._next()
        write_bytes(path, [_head(0.0, restart=True), *(record(event.SerializeToString()) for event in kept)])
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
    start = 0
    while start + 16 <= len(data):
        (length,) = struct.unpack_from("<Q", data, start)
        end = start + 12 + length
        if end + 4 > len(data) or struct.unpack_from("<I", data, end)[0] != _masked(data[start + 12 : end]):
            return
        yield Event.FromString(data[start + 12 : end])
        start = end + 4


def record(data: bytes) -> bytes:
    """Frame bytes as a TFRecord: length, its checksum, the bytes, their checksum."""
    length = struct.pack("<Q", len(data))
    return b"".join((length, struct.pack("<I", _masked(length)), data, struct.pack("<I", _masked(data))))


def crc32c(data: bytes) -> int:
    """Compute the CRC-32C (Castagnoli) of bytes.

    A megabyte takes some milliseconds: the checksum is linear, so that blocks are summed side by side
    and joined in pairs, where a byte after the other takes 100 ms in Python. Polynomial and
    conventions: RFC 3720, appendix B.4.
    """
    if len(data) < 4096:
        state = 0xFFFFFFFF
        table = _table_list()
        for byte in data:
            state = table[(state ^ byte) & 0xFF] ^ (state >> 8)
        return state ^ 0xFFFFFFFF
    # Zeros in front leave the state 0 as it is; the true initial state, all ones, is the same as 0
    # with the first four bytes inverted.
    padding = -len(data) % _BLOCK
    padded = np.zeros(padding + len(data), np.uint8)
    padded[padding:] = np.frombuffer(data, np.uint8)
    padded[padding : padding + 4] ^= 0xFF
    columns = np.ascontiguousarray(padded.reshape(-1, _BLOCK).T)
    table = _table()
    sums = np.zeros(columns.shape[1], np.uint32)
    for column in columns:
        sums = table[(sums & 0xFF) ^ column] ^ (sums >> 8)
    width = _BLOCK
    while len(sums) > 1:
        if len(sums) % 2:
            sums = np.concatenate([np.zeros(1, np.uint32), sums])
        sums = _apply(_shift(width), sums[0::2]) ^ sums[1::2]
        width *= 2
    return int(sums[0]) ^ 0xFFFFFFFF


def _masked(data: bytes) -> int:
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _head(wall_time: float, restart: bool = False) -> bytes:
    head = record(Event(wall_time=wall_time, file_version="brain.Event:2").SerializeToString())
    if restart:
        forget = Event(wall_time=wall_time, step=0, session_log=SessionLog(status=SessionLog.START))
        head += record(forget.SerializeToString())
    return head


@cache
def _table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1)
    return table


@cache
def _table_list() -> list[int]:
    return _table().tolist()


@cache
def _shift(count: int) -> np.ndarray:
    # A matrix over GF(2), by columns: what `count` zero bytes, a power of two, make of each unit state.
    if count == 1:
        unit = np.uint32(1) << np.arange(32, dtype=np.uint32)
        return _table()[unit & 0xFF] ^ (unit >> 8)
    half = _shift(count // 2)
    return _apply(half, half)


def _apply(matrix: np.ndarray, states: np.ndarray) -> np.ndarray:
    bits = (states[:, None] >> np.arange(32, dtype=np.uint32)) & np.uint32(1)
    return np.bitwise_xor.reduce(bits * matrix, axis=1)
