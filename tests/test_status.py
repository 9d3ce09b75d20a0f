import os
import socket
import subprocess
import sys

import pytest

from mlplab.errors import InputError
from mlplab.runs import manifest
from mlplab.runs.manifest import STATES, Heartbeat, is_alive, read_status, utc, write_status


class Clock:
    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


@pytest.mark.parametrize("state", STATES)
def test_a_status_is_read_back(tmp_path, state):
    write_status(tmp_path, state, error="loss is nan" if state == "diverged" else None, clock=Clock(1.5))
    record = read_status(tmp_path)
    assert record["status"] == state
    assert record["pid"] == os.getpid()
    assert record["heartbeat"] == 1.5
    assert record["heartbeat_utc"] == "1970-01-01T00:00:01+00:00"
    assert record["error"] == ("loss is nan" if state == "diverged" else None)
    assert is_alive(record) == (state == "running")


def test_the_heart_beats_no_more_often_than_asked(tmp_path):
    clock = Clock(1000.0)
    heart = Heartbeat(tmp_path, every_s=10.0, clock=clock)
    beats = []
    for now in (1000.0, 1000.1, 1009.9, 1010.0, 1011.0, 1025.0):
        clock.now = now
        beats.append((heart.beat(), read_status(tmp_path)["heartbeat"]))
    assert beats == [(True, 1000.0), (False, 1000.0), (False, 1000.0), (True, 1010.0), (False, 1010.0), (True, 1025.0)]
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_a_process_is_alive_until_it_ends(tmp_path):
    code = "import sys; from mlplab.runs.manifest import write_status\nwrite_status(sys.argv[1], 'running'); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    while not (tmp_path / "status.json").exists():
        assert process.poll() is None
    record = read_status(tmp_path)
    assert record["pid"] == process.pid and is_alive(record)
    process.kill()
    if sys.platform.startswith("linux"):
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not is_alive(record), "a killed process that nobody has waited for is dead"
    process.communicate()
    assert not is_alive(record)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the start of a process is read from /proc")
def test_a_process_that_got_the_id_of_another_is_not_that_one(tmp_path):
    write_status(tmp_path, "running", clock=Clock(0.0))
    record = read_status(tmp_path)
    assert is_alive(record)
    boot, _, ticks = record["process"].partition("/")
    assert not is_alive(record | {"process": f"{boot}/{int(ticks) - 1}"})


def test_after_a_restart_the_heartbeat_decides(tmp_path):
    write_status(tmp_path, "running", clock=Clock(1000.0))
    record = read_status(tmp_path) | {"process": "another-boot/17"}
    assert is_alive(record, clock=Clock(1100.0))
    assert not is_alive(record, clock=Clock(1200.0))


def test_where_the_system_does_not_say_the_id_decides(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "_boot", lambda: None)
    monkeypatch.setattr(manifest, "_process", lambda pid: None)
    write_status(tmp_path, "running", clock=Clock(0.0))
    record = read_status(tmp_path)
    assert record["process"] is None and is_alive(record)
    assert is_alive(record | {"pid": 1})
    assert not is_alive(record | {"pid": 2**22 + 1})


def test_a_process_of_somebody_else_is_alive(monkeypatch):
    record = {"status": "running", "pid": 17, "host": socket.gethostname(), "heartbeat": 0.0, "process": None}
    monkeypatch.setattr(manifest, "_boot", lambda: None)
    for error, alive in ((None, True), (PermissionError, True), (ProcessLookupError, False)):

        def kill(pid, number, error=error):
            assert (pid, number) == (17, 0)
            if error:
                raise error

        monkeypatch.setattr(os, "kill", kill)
        assert is_alive(record) == alive


def test_on_another_host_the_heartbeat_decides():
    record = {"status": "running", "pid": os.getpid(), "host": "elsewhere.invalid", "heartbeat": 1000.0}
    record["process"] = "boot/17"
    assert is_alive(record, stale_after_s=60, clock=Clock(1059.0))
    assert not is_alive(record, stale_after_s=60, clock=Clock(1061.0))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"status": "dancing"}',
        '{"status": ["running"]}',
        '{"status": "running", "heartbeat": "soon"}',
        '{"status": "running", "process": 5}',
        '{"status": "running", "pid": "one"}',
        '{"status": "running", "host": []}',
    ],
)
def test_a_damaged_status_is_refused(tmp_path, content):
    (tmp_path / "status.json").write_text(content)
    with pytest.raises(InputError, match="status.json is damaged"):
        read_status(tmp_path)


def test_a_status_that_says_no_more_than_running_is_of_a_process_that_is_gone(tmp_path):
    for content in ('{"status": "running"}', '{"status": "running", "heartbeat": null, "pid": null}'):
        (tmp_path / "status.json").write_text(content)
        assert not is_alive(read_status(tmp_path))


def test_utc_is_iso():
    assert utc(1_600_000_000.7) == "2020-09-13T12:26:40+00:00"
