import errno
import hashlib
import os
import pickle
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch

from mlplab.errors import InputError
from mlplab.runs import checkpoint
from mlplab.runs.files import remove_leftovers
from mlplab.runs.folder import RunFolder
from mlplab.runs.identity import tensor_sha256


def payload(step=0):
    generator = torch.Generator().manual_seed(step)
    return {
        "step": step,
        "model": {"w": torch.randn(4, 3, generator=generator), "empty": torch.zeros(0)},
        "optimizer": {"state": {0: {"m": torch.randn(3, generator=generator)}}, "lr": [1e-3, (0.9, 0.999)]},
        "name": "é",
        "flag": True,
        "none": None,
        "bytes": b"\0\1",
    }


def refused(path, match):
    with pytest.raises(InputError, match=match) as caught:
        checkpoint.load(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_what_is_saved_is_loaded_bit_by_bit(tmp_path):
    path = tmp_path / "checkpoints" / "last.ckpt"
    digest = checkpoint.save(path, payload(1))
    loaded = checkpoint.load(path)
    assert tensor_sha256(loaded) == tensor_sha256(payload(1))
    assert type(loaded["optimizer"]["lr"][1]) is tuple and 0 in loaded["optimizer"]["state"]
    assert checkpoint.save(path, loaded) == digest, "equal content makes equal files"
    assert os.listdir(path.parent) == ["last.ckpt"]


def test_torch_reads_the_file_too(tmp_path):
    checkpoint.save(tmp_path / "a.ckpt", payload(2))
    loaded = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert tensor_sha256(loaded) == tensor_sha256(payload(2))
    assert zipfile.ZipFile(tmp_path / "a.ckpt").testzip() is None


@pytest.mark.parametrize("content", [{}, {"x": torch.tensor(1.0)}, {"x": torch.zeros(0, 3)}, {"x": []}])
def test_small_payloads(tmp_path, content):
    checkpoint.save(tmp_path / "a.ckpt", content)
    assert tensor_sha256(checkpoint.load(tmp_path / "a.ckpt")) == tensor_sha256(content)


def test_a_member_of_a_population_does_not_carry_the_others(tmp_path):
    population = torch.zeros(1000, 100)
    checkpoint.save(tmp_path / "one.ckpt", {"w": population[3], "p": torch.nn.Parameter(population[4])})
    assert (tmp_path / "one.ckpt").stat().st_size < 5000
    assert checkpoint.load(tmp_path / "one.ckpt")["w"].untyped_storage().nbytes() == 400
    transposed = torch.arange(6.0).reshape(2, 3).T
    checkpoint.save(tmp_path / "t.ckpt", {"w": transposed})
    assert torch.equal(checkpoint.load(tmp_path / "t.ckpt")["w"], transposed)


@pytest.mark.parametrize(
    "value",
    [
        torch.nn.ReLU(),
        np.float64(1),
        np.zeros(2),
        {1.5: 2},
        {(1,): 2},
        {1, 2},
        object(),
        len,
        torch.float32,
        torch.eye(2).to_sparse(),
    ],
)
def test_what_is_not_plain_is_refused_and_nothing_is_written(tmp_path, value):
    with pytest.raises(TypeError, match=r"optimizer\.group\[1\]"):
        checkpoint.save(tmp_path / "a.ckpt", {"optimizer": {"group": [0, value]}})
    assert os.listdir(tmp_path) == []


def test_a_payload_that_is_no_dict_is_refused(tmp_path):
    with pytest.raises(TypeError, match="got Tensor"):
        checkpoint.save(tmp_path / "a.ckpt", torch.zeros(1))


def test_every_truncation_and_every_flipped_byte_is_refused(tmp_path):
    path = tmp_path / "a.ckpt"
    checkpoint.save(path, {"w": torch.zeros(2), "step": 1})
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:length])
        refused(path, "cut short")
    for place in range(0, len(whole), 31):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        refused(path, "damaged|does not end with its SHA-256")
    path.write_bytes(whole + b"\0")
    refused(path, "does not end with its SHA-256")


def test_files_of_others_are_refused_unread(tmp_path):
    path = tmp_path / "a.ckpt"
    refused(path, "No such file")
    refused(tmp_path, "directory")
    torch.save({"w": torch.zeros(2)}, path)
    refused(path, "not a checkpoint of this lab")
    path.write_bytes(pickle.dumps(Trap(tmp_path)))
    refused(path, "not a checkpoint of this lab")
    path.write_text("step: 1\n" * 100)
    refused(path, "not a checkpoint of this lab")


class Trap:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder / "sprung"),)


def test_a_foreign_pickle_that_bears_our_mark_is_refused_without_being_run(tmp_path):
    path = tmp_path / "a.ckpt"
    torch.save({"w": Trap(tmp_path)}, path)
    body = path.read_bytes()
    digest = hashlib.sha256(body).hexdigest().encode()
    comment = checkpoint.MARK + digest
    path.write_bytes(body[:-2] + struct.pack("<H", len(comment)) + comment)
    refused(path, "is refused")
    assert not (tmp_path / "sprung").exists()
    torch.save([1, 2], path)
    body = path.read_bytes()
    comment = checkpoint.MARK + hashlib.sha256(body).hexdigest().encode()
    path.write_bytes(body[:-2] + struct.pack("<H", len(comment)) + comment)
    refused(path, "is refused")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_keeps_the_previous_checkpoint(tmp_path, monkeypatch, call):
    path = tmp_path / "last.ckpt"
    checkpoint.save(path, payload(1))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(InputError, match="No space left on device"):
        checkpoint.save(path, payload(2))
    assert checkpoint.load(path)["step"] == 1
    assert os.listdir(tmp_path) == ["last.ckpt"]


KILLER = """
import os, signal, sys, time, warnings
import torch
from mlplab.runs import checkpoint

warnings.simplefilter("ignore")
torch.set_num_threads(1)  # a forked child has none of its parent's threads, and would wait for them
path, steps = sys.argv[1], 0
for number in range(12):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        step = 1000 * number
        while True:
            step += 1
            checkpoint.save(path, {"step": step, "w": torch.full((300_000,), float(step))}, sync=False)
            os.write(writer, b".")
    os.close(writer)
    assert os.read(reader, 1), "the child died by itself"
    time.sleep(0.0017 * number)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    done = 1 + len(os.read(reader, 65536))
    os.close(reader)
    loaded = checkpoint.load(path)
    # The child may have died between the rename and the dot.
    assert loaded["step"] - 1000 * number in (done, done + 1), (loaded["step"], number, done)
    assert torch.equal(loaded["w"], torch.full((300_000,), float(loaded["step"])))
    steps += done
print(steps)
"""


def test_kill_9_in_the_middle_of_writing_leaves_the_last_good_file(tmp_path):
    path = tmp_path / "last.ckpt"
    command = [sys.executable, "-c", KILLER, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 12
    checkpoint.save(path, payload(9))
    assert checkpoint.load(path)["step"] == 9
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["last.ckpt"]


def test_snapshots_are_read_back_whole_or_not_at_all(tmp_path):
    folder = RunFolder(tmp_path)
    assert checkpoint.read_snapshots(folder) is None
    arrays = {name: np.arange(3.0) + number for number, name in enumerate(checkpoint.ARRAYS)}
    checkpoint.save_snapshots(folder, arrays)
    path = tmp_path / "checkpoints" / checkpoint.SNAPSHOTS
    found = checkpoint.read_snapshots(folder)
    assert list(found) == list(checkpoint.ARRAYS) and all((found[name] == arrays[name]).all() for name in arrays)
    with pytest.raises(AssertionError, match="snapshots hold widths"):
        checkpoint.save_snapshots(folder, dict(list(arrays.items())[1:]))
    np.savez(path, more=np.zeros(1), **arrays)
    assert checkpoint.read_snapshots(folder).keys() == {*arrays, "more"}
    np.savez(path, **dict(list(arrays.items())[1:]))
    assert checkpoint.read_snapshots(folder) is None
    np.savez(path, **arrays | {"x": np.array([object()])})
    assert checkpoint.read_snapshots(folder) is None
    whole = path.read_bytes()
    for content in (b"", b"PK", whole[:200]):
        path.write_bytes(content)
        assert checkpoint.read_snapshots(folder) is None
