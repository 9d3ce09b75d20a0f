"""The disk fails: the N-th operation, one kind of error after another, and a file system that is really full."""

import json
import resource
import shutil
import subprocess
from pathlib import Path

from mlplab.faults.campaign import Outcome
from mlplab.faults.contents import contents, differences
from mlplab.faults.kills import WORK, again
from mlplab.faults.trials import FAILURES, Told, Watch, run


def disk(outcome: Outcome, effort: str, place: Path) -> None:
    """Let each kind of work meet a disk that fails once or for ever, and then go on."""
    pick, root = outcome.pick, place / "logs"
    for kind, words in WORK.items():
        log = place / "operations"
        run([*words, f"paths.logs={root}"], Watch(root, log=log))
        whole, operations = contents(root, root), log.read_text().splitlines()
        shutil.rmtree(root)
        log.unlink()
        count = {"short": 1, "quick": 25, "long": len(operations)}[effort]
        for at in sorted(outcome.sample(range(1, len(operations) + 1), count)):
            how, lasting = pick.choice(list(FAILURES)), pick.random() < 0.5
            watch = Watch(root, at, how)
            watch.lasting = lasting
            told = run([*words, f"paths.logs={root}"], watch)
            name = f"{kind}, {how} {'from' if lasting else 'at'} {at} on ({operations[at - 1].replace(str(root), '')})"
            _judge(outcome, name, told, root, how)
            told = run(again(words, root))
            same = differences(whole, contents(root, root)) if root.exists() else ["nothing is there"]
            outcome.note(told.code == 0 and not same, f"{name}, gone on: {told.code} {same} {told.err[-200:]}")
            shutil.rmtree(root, ignore_errors=True)
    sizes = {"short": (40_000,), "quick": (4_000, 20_000, 60_000, 120_000), "long": range(4_000, 120_001, 4_000)}
    for size in outcome.mine(sizes[effort]):
        _full(outcome, place / "small", size)


def _judge(outcome: Outcome, name: str, told: Told, root: Path, how: str | None) -> None:
    lines = told.err.strip().splitlines() or [""]
    fine = told.code == 0 or told.code in (1, 2) and told.is_clean and (str(root) in told.err or "/logs/" in told.err)
    outcome.note(fine, f"{name}: ended with {told.code}: {lines[-1]} {told.err[-1500:] if not told.is_clean else ''}")
    for path in root.rglob("status.json"):
        state = json.loads(path.read_text())["status"]
        done = (path.parent / "result.json").exists()
        outcome.note(
            (state == "finished") <= done and (state != "running" or how is None or told.code),
            f"{name}: {state}, result {done}",
        )


def _full(outcome: Outcome, place: Path, size: int) -> None:
    """Run on a file system of so many bytes; where none can be mounted, with files of a quarter of that at most."""
    place.mkdir()
    mounted = (
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], capture_output=True).returncode
        == 0
    )

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 4, size // 4))

    try:
        told = run([*WORK["train"], f"paths.logs={place / 'logs'}"], None if mounted else small_files)
        words = f"a disk of {size} bytes"
        _judge(outcome, words, told, place / "logs", None)
        outcome.note(told.code in (1, 2), f"{words}: ended with {told.code}")
    finally:
        if mounted:
            subprocess.run(["umount", place], check=True)
        shutil.rmtree(place)
