import errno
import math
import os
import struct

import pytest
from google.protobuf import json_format
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from mlplab.errors import InputError
from mlplab.runs.events import STATUS, EventFile, TensorBoardWriter, flatten, image_size, read_events, records, split


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


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def written(folder):
    """What stands in the newest file of a run: (step, tag, value) of its scalars, in order."""
    newest = sorted(folder.glob("events.*"))[-1:]
    return [
        (event.step, value.tag, value.simple_value)
        for path in newest
        for event in read_events(path)
        for value in event.summary.value
        if value.HasField("simple_value")
    ]


def test_values_wait_until_the_oldest_of_them_is_old_enough(tmp_path):
    clock = Clock()
    writer = TensorBoardWriter(tmp_path / "run" / "tb", flush_every_s=2.0, clock=clock)
    assert writer.name == "run" and TensorBoardWriter(tmp_path, "own").name == "own"
    for now, step in ((100.0, 1), (101.9, 2)):
        clock.now = now
        writer.log_metrics({"epoch": 5, "x": step, "none": None, "train/loss": 0.5, "val/loss": 0.25, "a/b": 7.0}, step)
    assert not (tmp_path / "run").exists()
    clock.now = 102.0
    writer.log_metrics({"x": 3.0})
    assert written(tmp_path / "run/tb") == [(1, "x", 1), (1, "a/b", 7), (2, "x", 2), (2, "a/b", 7), (0, "x", 3)]
    assert written(tmp_path / "run/tb/train") == [(1, "loss", 0.5), (2, "loss", 0.5)]
    assert written(tmp_path / "run/tb/val") == [(1, "loss", 0.25), (2, "loss", 0.25)]
    clock.now = 103.9
    writer.log_metrics({"y": 1.0}, 4)  # the next oldest
    clock.now = 105.8
    writer.log_metrics({"y": 2.0}, 5)
    assert len(written(tmp_path / "run/tb")) == 5
    writer.flush()
    assert written(tmp_path / "run/tb")[5:] == [(4, "y", 1), (5, "y", 2)]
    times = [event.wall_time for event in read_events(next((tmp_path / "run/tb").glob("events.*")))]
    assert times[1:] == [100.0, 101.9, 102.0, 103.9, 105.8]


def values_of(folder):
    return [
        (event.step, value)
        for path in sorted(folder.glob("events.*"))
        for event in read_events(path)
        for value in event.summary.value
    ]


def test_texts_pictures_and_the_row_of_a_run(tmp_path):
    writer = TensorBoardWriter(tmp_path, "row", flush_every_s=1e9, clock=Clock())
    writer.log_text("val/note", "a *b*", 3)
    writer.log_text("note", "c")
    writer.log_config("a: 1\n\n")
    png = b"\x89PNG\r\n\x1a\n" + bytes(8) + (300).to_bytes(4, "big") + (2).to_bytes(4, "big")
    writer.log_image("map", png, 7)
    writer.log_hyperparams({"b": {"c": 1}, "a": [1, 2], "_target_": "x", "n": None, "t": True, "i": math.inf, "s": "w"})
    writer.log_hyperparams({"late": 1})
    writer.log_final({"test/accuracy": 0.5}, 9)
    writer.finalize("odd")
    assert [(step, value.tensor.string_val[0]) for step, value in values_of(tmp_path / "val")] == [(3, b"a *b*")]
    note, config, picture, start, accuracy, end = values_of(tmp_path)
    assert (note[0], note[1].tensor.string_val[0]) == (0, b"c")
    assert config[1].tag == "config" and config[1].tensor.string_val[0] == b"```yaml\na: 1\n```"
    assert (picture[0], picture[1].tag) == (7, "map") and picture[1].image.encoded_image_string == png
    assert (picture[1].image.width, picture[1].image.height, picture[1].image.colorspace) == (300, 2, 3)
    info = HParamsPluginData.FromString(start[1].metadata.plugin_data.content).session_start_info
    assert (start[0], info.group_name, info.start_time_secs) == (0, "row", 100.0)
    assert {key: json_format.MessageToDict(value) for key, value in info.hparams.items()} == {
        **{"b.c": 1, "a": "[1, 2]", "n": "none", "t": True, "i": "inf", "s": "w"}
    }
    assert (accuracy[0], accuracy[1].tag, accuracy[1].simple_value) == (9, "test/accuracy", 0.5)
    info = HParamsPluginData.FromString(end[1].metadata.plugin_data.content).session_end_info
    assert (end[0], info.status, info.end_time_secs) == (9, 1, 100.0)


@pytest.mark.parametrize(("status", "number"), [("success", 1), ("failed", 2), ("odd", None)])
def test_a_row_that_was_begun_is_ended(tmp_path, status, number):
    alone = TensorBoardWriter(tmp_path / "alone", flush_every_s=1e9)
    alone.log_hyperparams({})
    alone.finalize(status)
    assert not (tmp_path / "alone").exists()
    writer = TensorBoardWriter(tmp_path / "run", flush_every_s=1e9)
    writer.log_hyperparams({"a": 1})
    writer.finalize(status)
    tags = [value.tag for _, value in values_of(tmp_path / "run")]
    assert tags == ["_hparams_/session_start_info"] + ["_hparams_/session_end_info"] * (number is not None)
    if number is not None:
        content = values_of(tmp_path / "run")[-1][1].metadata.plugin_data.content
        assert HParamsPluginData.FromString(content).session_end_info.status == number


def test_going_on_drops_what_was_logged_later_and_the_end(tmp_path):
    first = TensorBoardWriter(tmp_path, flush_every_s=1e9)
    first.log_hyperparams({"a": 1})
    for step in (1, 2, 3):
        first.log_metrics({"x": step, "train/loss": step}, step)
    first.log_final({"test/accuracy": 0.5, "final/x": 1.0, "fresh/nll": 2.0}, 0)
    second = TensorBoardWriter(tmp_path, flush_every_s=1e9)
    second.log_metrics({"x": 99.0}, 1)
    second.log_text("t", "x", 1)
    second.purge(2)
    second.log_hyperparams({"a": 2})  # the row was begun before
    second.flush()
    assert written(tmp_path) == [(1, "x", 1), (2, "x", 2)]
    assert written(tmp_path / "train") == [(1, "loss", 1), (2, "loss", 2)]
    assert [value.tag for _, value in values_of(tmp_path)].count("_hparams_/session_start_info") == 1
    assert [value.tag for _, value in values_of(tmp_path)].count("_hparams_/session_end_info") == 0


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(8) + bytes((0, 0, 1, 2, 0, 0, 3, 4)), (258, 772)),
        (b"GIF87a" + bytes((2, 1, 4, 3)), (258, 772)),
        (b"GIF89a" + bytes((2, 1, 4, 3)), (258, 772)),
        (b"GIF88a" + bytes(4), None),
        (b"JPEG", None),
    ],
)
def test_the_size_of_a_picture_stands_in_its_head(data, size):
    if size is None:
        with pytest.raises(ValueError, match="an image must be PNG or GIF bytes"):
            image_size(data)
    else:
        assert image_size(data) == size


def test_names_are_split_and_flattened():
    names = ["train/loss", "val/a/b", "test/loss", "train", "train/", "loss"]
    assert [split(name) for name in names] == [
        *(("train", "loss"), ("val", "a/b"), ("", "test/loss"), ("", "train"), ("train", ""), ("", "loss"))
    ]
    assert flatten({"a": {"b": {"c": 1}, "_x": 2}, "d": [3], 5: 6}) == {"a.b.c": 1, "d": [3], "5": 6}


def test_records_are_framed_as_tfrecords(tmp_path):
    import google_crc32c

    def masked(data):
        crc = google_crc32c.value(data)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32)

    contents = [b"", b"abc", bytes(300)]
    expected = b""
    for content in contents:
        length = struct.pack("<Q", len(content))
        expected += length + masked(length) + content + masked(content)
    assert records(contents) == expected


def test_the_states_of_a_row_are_tensorboards():
    from tensorboard.plugins.hparams import api_pb2

    assert STATUS == {"success": api_pb2.STATUS_SUCCESS, "failed": api_pb2.STATUS_FAILURE}
