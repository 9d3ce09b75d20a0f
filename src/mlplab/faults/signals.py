"""SIGINT and SIGTERM from the first moment of a command on: a quick end, a true status, no orphans, and it goes on."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from signal import SIGINT, SIGTERM

from mlplab.faults.campaign import Outcome
from mlplab.faults.contents import contents, differences
from mlplab.faults.kills import WORK, again
from mlplab.faults.trials import Started, Told, Watch, run

ENDS_WITHIN_S = 2.0


def signals(outcome: Outcome, effort: str, place: Path) -> None:
    """Send signals to runs and sweeps at file operations and at random moments, and to the real command as it imports."""
    pick = outcome.pick
    for kind, words in WORK.items():
        root, log = place / "logs", place / "operations"
        length = run([*words, f"paths.logs={root}"], Watch(root, log=log)).seconds
        whole, operations = contents(root, root), len(log.read_text().splitlines())
        shutil.rmtree(root)
        log.unlink()
        for _ in outcome.mine(range({"short": 1, "quick": 20, "long": 60}[effort])):
            number, moment = pick.choice((SIGINT, SIGTERM)), pick.random() * length
            started = _running(words, root, moment)
            asked = time.monotonic()
            started.send(number)
            told, name = started.wait(), f"{kind}, {number.name} after {moment:.2f} s"
            _judge(outcome, name, root, told, time.monotonic() - asked, number, started.orphans())
            _goes_on(outcome, name, words, root, whole)
        share = {"short": 1, "quick": 15, "long": operations if kind == "train" else 60}[effort]
        for at in sorted(outcome.sample(range(1, operations + 1), share)):
            number = pick.choice((SIGINT, SIGTERM))
            started = Started([*words, f"paths.logs={root}"], Watch(root, at, number.name))
            told, name = started.wait(), f"{kind}, {number.name} at file operation {at} of {operations}"
            _judge(outcome, name, root, told, None, number, started.orphans())
            _goes_on(outcome, name, words, root, whole)
    _from_the_start(outcome, place / "real", {"short": 1, "quick": 12, "long": 40}[effort])
    for name in outcome.mine(list(LENGTHY)[: {"short": 1, "quick": 6, "long": 6}[effort]]):
        for _ in range(3 if effort == "long" else 1):
            _lengthy(outcome, name, place / "lengthy")


def _running(words: list[str], root: Path, moment: float) -> Started:
    """Start a command and give it at a moment of its work; one that had ended by then is started anew, for an earlier one."""
    while True:
        started = Started([*words, f"paths.logs={root}"])
        time.sleep(moment)
        if not started.poll():
            return started
        started.wait()
        shutil.rmtree(root, ignore_errors=True)
        moment *= 0.7


def _goes_on(outcome: Outcome, name: str, words: list[str], root: Path, whole: dict) -> None:
    """Going on ends in the folder of an uninterrupted run."""
    told = run(again(words, root))
    same = differences(whole, contents(root, root))
    outcome.note(not same, f"{name}, gone on: {same} {told.err[-200:]}")
    shutil.rmtree(root, ignore_errors=True)


def _judge(
    outcome: Outcome, name: str, root: Path, told: Told, seconds: float | None, number: int, orphans: list[int]
) -> None:
    states = {path.parent.name: json.loads(path.read_text())["status"] for path in root.rglob("status.json")}
    done = {path.parent.name for path in root.rglob("result.json")}
    finished = told.code == 0 and bool(done) and done >= states.keys()  # the signal came when all was written
    true = all(state == ("finished" if folder in done else "interrupted") for folder, state in states.items())
    wrong = [path.name for path in root.glob("train/*") if not (path / "status.json").exists()]
    outcome.note(
        finished or told.code == 128 + number and told.is_clean, f"{name}: ended with {told.code}: {told.err[-500:]}"
    )
    if seconds is not None:
        outcome.note(finished or seconds < ENDS_WITHIN_S, f"{name}: took {seconds:.1f} s")
    outcome.note(true and not wrong, f"{name}: the folders say {states}, with results {done}; without a word {wrong}")
    outcome.note(not orphans, f"{name}: orphans {orphans}")


def _from_the_start(outcome: Outcome, root: Path, count: int) -> None:
    """The real command, its imports and its way out included, asked once or twice; Python's own start is not ours."""
    program = [sys.executable, "-m", "mlplab.cli.app", *WORK["train"], f"paths.logs={root}"]
    pick = outcome.pick
    for _ in outcome.mine(range(count)):
        number, moment = pick.choice((SIGINT, SIGTERM)), 0.15 + pick.random() * 4
        process = subprocess.Popen(
            program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        time.sleep(moment)
        asked = time.monotonic()
        process.send_signal(number)
        if pick.random() < 0.5:  # an impatient person
            time.sleep(pick.random() * 0.1)
            process.send_signal(number)
        out, err = process.communicate(timeout=120)
        told = Told(process.returncode, out, err, time.monotonic() - asked)
        _judge(outcome, f"the command, {number.name} after {moment:.2f} s", root, told, told.seconds, number, [])
        shutil.rmtree(root, ignore_errors=True)


# Work of which one piece takes longer than a command may take to end.
LENGTHY = {
    "an epoch of Lightning's loop": [
        *("data.points_per_arm=100000", "data.batch_size=8", "trainer.engine=lightning", "figures=none")
    ],
    "large maps": ["figures=all", "model.width=64", "callbacks.decision_maps.resolution=3000"],
    "large maps in Lightning's loop": [
        *("figures=all", "model.width=64", "callbacks.decision_maps.resolution=3000", "trainer.engine=lightning")
    ],
    "a large map": ["figures=map", "model.width=64", "callbacks.decision_maps.resolution=3000"],
    "wide layers": [
        *("figures=none", "model.width=3000", "model.depth=3", "data.points_per_arm=5000", "data.batch_size=5000")
    ],
    "deep layers": ["figures=none", "model.depth=300", "trainer.max_epochs=3000"],
}


def _lengthy(outcome: Outcome, name: str, root: Path) -> None:
    """Interrupt work after its folder is there."""
    started = Started([*WORK["train"], *LENGTHY[name], f"paths.logs={root}"])
    while not list(root.rglob("status.json")) and not started.poll():
        time.sleep(0.05)
    time.sleep(0.5 + 2 * outcome.pick.random())
    asked = time.monotonic()
    ended = started.poll()
    if not ended:
        started.send(SIGINT)
    told = started.wait()
    outcome.note(not ended, f"within {name}: it ended before it was asked: {told.code}, {told.err[-300:]}")
    _judge(outcome, f"within {name}", root, told, time.monotonic() - asked, SIGINT, started.orphans())
    shutil.rmtree(root, ignore_errors=True)
