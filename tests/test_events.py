import errno
import os

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from mlplab.errors import InputError
from mlplab.runs.events import EventFile, read_events, records


def scalar(step, value=None, tag="loss"):
    value = Summary.Value(tag=tag, simple_value=step if value is None else value)
    return Event(wall_time=float(step), step=step, summary=Summary(value=[value]))


def steps(path):
    return [event.step for event in read_events(path) if event.HasField("summary")]


def files(folder):
    return sorted(os.listdir(folder))


def test_tensorboard_reads_the_records(tmp_path):
    file = EventFile(tmp_path / "run")
    file.append([])
    assert not (tmp_path / "run").exists()
    file.append([scalar(1), scalar(2)])
    file.append([scalar(3)])
    (name,) = files(tmp_path / "run")
    loaded = list(EventFileLoader(str(tmp_path / "run" / name)).Load())
    assert [event.step for event in loaded] == [0, 1, 2, 3]
    assert loaded[0].file_version == "brain.Event:2" and loaded[0].wall_time == 0  # no time of its own


def test_a_record_that_is_cut_short_or_damaged_ends_the_file(tmp_path):
    path = tmp_path / "events"
    whole = [records([scalar(step).SerializeToString()]) for step in range(3)]
    for cut in range(1, len(whole[2]) + 1):
        path.write_bytes(b"".join(whole)[:-cut])
        assert steps(path) == [0, 1]
    damaged = bytearray(b"".join(whole))
    damaged[len(whole[0]) + 14] ^= 1
    path.write_bytes(damaged)
    assert steps(path) == [0]
    path.write_bytes(records([]))
    assert steps(path) == []


@pytest.mark.parametrize("stop", [-1, 0, 2, 9])
def test_a_purge_keeps_the_steps_up_to_one_and_goes_on_behind_them(tmp_path, stop):
    EventFile(tmp_path).append(scalar(step) for step in range(6))
    with open(next(tmp_path.iterdir()), "ab") as file:
        file.write(b"\x20\0\0")  # what a killed process leaves
    resumed = EventFile(tmp_path)
    kept = resumed.purge(stop)
    assert [event.step for event in kept] == list(range(min(stop, 5) + 1))
    resumed.append(scalar(step, 100) for step in range(stop + 1, 8))
    old, new = files(tmp_path)
    assert steps(tmp_path / new) == list(range(min(stop, 5) + 1)) + list(range(stop + 1, 8))
    assert (tmp_path / old).stat().st_size == 0


def test_an_event_with_a_dropped_tag_is_dropped_at_any_step(tmp_path):
    file = EventFile(tmp_path)
    file.append([scalar(1), scalar(0, tag="end"), scalar(2)])
    assert [event.step for event in file.purge(5, ("end",))] == [1, 2]


def test_a_purge_of_nothing_makes_nothing(tmp_path):
    assert EventFile(tmp_path / "run").purge(3) == []
    assert not (tmp_path / "run").exists()


def test_a_purge_that_died_before_it_emptied_the_old_file_is_done_again(tmp_path):
    EventFile(tmp_path).append(scalar(step) for step in range(6))
    (old,) = files(tmp_path)
    content = (tmp_path / old).read_bytes()
    EventFile(tmp_path).purge(3)
    (tmp_path / old).write_bytes(content)
    resumed = EventFile(tmp_path)
    resumed.purge(2)
    assert [steps(tmp_path / name) for name in files(tmp_path)] == [[], [], [0, 1, 2]]


def test_a_purge_joins_the_files_of_several_writers(tmp_path):
    EventFile(tmp_path).append([scalar(1), scalar(2)])
    EventFile(tmp_path).append([scalar(3), scalar(4)])
    assert [event.step for event in EventFile(tmp_path).purge(3)] == [1, 2, 3]
    assert [steps(tmp_path / name) for name in files(tmp_path)] == [[], [], [1, 2, 3]]


def test_a_second_writer_begins_a_file_of_its_own(tmp_path):
    for _ in range(12):
        EventFile(tmp_path).append([scalar(1)])
    assert len(files(tmp_path)) == 12 and files(tmp_path)[-1].split(".")[3] == "0000000012"


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("builtins.open", full)
    with pytest.raises(InputError, match="cannot write .*: No space left on device"):
        EventFile(tmp_path).append([scalar(1)])
