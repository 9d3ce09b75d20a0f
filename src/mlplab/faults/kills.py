"""SIGKILL at each file operation of a run, a resume and a sweep, and at random moments; then the same folder."""

import shutil
import time
from pathlib import Path
from signal import SIGKILL

from mlplab.faults.campaign import Outcome
from mlplab.faults.contents import contents, differences
from mlplab.faults.trials import SMALL, Started, Watch, run

# What is done -> its words.
WORK = {
    "train": ["train", *SMALL],
    "lightning": ["train", *SMALL, "trainer.engine=lightning", "figures=map"],
    "sweep": ["train", "-m", *SMALL, "launcher=inline", "seed=0,1", "model.width=4,6", "figures=none", "sweep=s"],
}


def kills(outcome: Outcome, effort: str, place: Path) -> None:
    """Kill each kind of work at its operations (all of them, or every so many), and again in what goes on."""
    pick = outcome.pick
    for kind, words in WORK.items():
        root = place / "logs"
        log = place / "operations"
        run([*words, f"paths.logs={root}"], Watch(root, log=log))
        whole = contents(root, root)
        operations = log.read_text().splitlines()
        shutil.move(root, place / kind)
        share = {
            "short": 1,
            "quick": 40 if kind == "train" else 15,
            "long": len(operations) if kind == "train" else 60,
        }[effort]
        for at in sorted(outcome.sample(range(1, len(operations) + 1), share)):
            again = [pick.randint(1, len(operations)) for _ in range(pick.choice((0, 0, 1, 2)))]
            _until_whole(words, root, [Watch(root, number, "kill") for number in (at, *again)])
            _note(outcome, whole, root, f"{kind} killed at {at} ({operations[at - 1].replace(str(root), '')}), {again}")
        for _ in outcome.mine(range({"short": 1, "quick": 10, "long": 70}[effort])):
            moments = [pick.random() * 1.2 for _ in range(pick.choice((1, 2, 3)))]
            _until_whole(words, root, moments)
            _note(outcome, whole, root, f"{kind} killed after {[f'{moment:.2f}' for moment in moments]} s")
        log.unlink()


def again(words: list[str], root: Path) -> list[str]:
    """Give the words by which work goes on that was cut off: resume the run, or the same again."""
    folders = [path.parent for path in root.rglob("config.yaml") if path.parent.name != ".hydra"]
    return ["train", f"resume={folders[0]}"] if folders and "-m" not in words else [*words, f"paths.logs={root}"]


def _until_whole(words: list[str], root: Path, faults: list) -> None:
    """Start work, kill it at each of some operations or moments, going on in between, and let it end."""
    for fault in (*faults, None):
        if isinstance(fault, float):
            started = Started(again(words, root))
            time.sleep(fault)
            started.send(SIGKILL)
            started.wait()
        else:
            run(again(words, root), fault)


def _note(outcome: Outcome, whole: dict, root: Path, words: str) -> None:
    found = differences(whole, contents(root, root))
    outcome.note(not found, f"{words}: {', '.join(found[:8])}")
    shutil.rmtree(root, ignore_errors=True)
