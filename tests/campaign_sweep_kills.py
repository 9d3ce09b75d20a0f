"""Kill a sweep at random moments, go on with the same command, and compare with one left in peace.

``python tests/campaign_sweep_kills.py 100`` for a campaign of 100 kills; the suite runs a short one.
"""

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from sweeping import folder_of, record_of, sweep

from mlplab.runs.identity import code_digest

WORDS = [
    "launcher=inline",
    "launcher.max_members=3",
    "seed=range(0,6)",
    "model.width=8",
    "model.dropout=0.2",
    "trainer.max_epochs=6",
    "callbacks.checkpoints.every_seconds=0",
]


def attempt(logs: Path, number: int, delay_s: float) -> int | None:
    """Run the sweep in its own process and send it a signal; give its exit code, None where killed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            sys.stderr = open(logs.with_suffix(".log"), "w", buffering=1)
            code = sweep(logs, *WORDS)
        except BaseException:  # the child has nothing to do with what its parent cleans up
            traceback.print_exc()
        finally:
            os._exit(code)
    time.sleep(delay_s)
    os.kill(child, number)
    _, status = os.waitpid(child, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None


def finished(logs: Path) -> dict[str, int]:
    """Give the jobs that have a result, and when it was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder_of(logs).glob("*/result.json")}


def campaign(kills: int, seed: int) -> dict[str, int]:
    """Kill ``kills`` times; count what happened.

    Raises:
        AssertionError: a result was lost, written again, or differs from an undisturbed one.
    """
    dice, root = random.Random(seed), Path(tempfile.mkdtemp())
    code_digest()  # here, so that somebody who edits the code meanwhile disturbs nothing
    counts = {"killed": 0, "stopped": 0, "late": 0, "sweeps": 0}
    try:
        assert sweep(root / "warm", *(word for word in WORDS if not word.startswith("seed=")), "seed=0") == 0
        start = time.monotonic()
        assert sweep(root / "peace", *WORDS) == 0
        seconds = time.monotonic() - start
        expected, left = record_of(root / "peace"), kills
        while left:
            logs = root / f"kills{counts['sweeps']}"
            counts["sweeps"] += 1
            for _ in range(min(left, 4)):
                left -= 1
                before = finished(logs)
                number = dice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
                code = attempt(logs, number, dice.uniform(0.1, 0.7) * seconds)
                assert code in (None, 0, 130, 143), logs.with_suffix(".log").read_text()
                counts["late" if code == 0 else "stopped" if code in (130, 143) else "killed"] += 1
                after = finished(logs)
                assert all(after.get(name) == stamp for name, stamp in before.items()), "a result was lost"
            before = finished(logs)
            assert sweep(logs, *WORDS) == 0
            after = finished(logs)
            assert all(after[name] == stamp for name, stamp in before.items()), "a result was written again"
            assert record_of(logs) == expected, "the outcome differs"
            for path in folder_of(root / "peace").glob("*/metrics.csv"):
                assert path.read_bytes() == (folder_of(logs) / path.parent.name / "metrics.csv").read_bytes()
    finally:
        shutil.rmtree(root)
    return counts


if __name__ == "__main__":
    print(json.dumps(campaign(int(sys.argv[1]) if len(sys.argv) > 1 else 100, int(time.time()))))
