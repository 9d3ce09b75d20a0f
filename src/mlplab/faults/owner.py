"""One owner of a folder: several commands on it at once."""

import shutil
import signal
import time
from pathlib import Path

from mlplab.faults.campaign import Outcome
from mlplab.faults.contents import contents, differences
from mlplab.faults.trials import SMALL, Started, run, wait_all

REFUSED_WITHIN_S = 1.0


def owner(outcome: Outcome, effort: str, place: Path) -> None:
    """Resume one run four times at once, start many of one name at once, and resume what still runs."""
    count = {"short": 4, "quick": 16, "long": 64}[effort]
    whole = train(place / "whole")
    half = place / "half"
    _interrupted(half)
    for _ in outcome.mine(range({"short": 1, "quick": 3, "long": 10}[effort])):
        root = place / "again" / "half"
        shutil.copytree(half, root)
        told = wait_all([Started(["train", f"resume={_folder(root)}"]) for _ in range(4)])
        refused = [one for one in told if one.is_refusal and "another command works in" in one.err]
        outcome.note(
            sorted(one.code for one in told) == [0, 2, 2, 2],
            f"four resumes ended with {[one.code for one in told]}: {told[0].err}",
        )
        for one in refused:
            outcome.note(one.is_within(REFUSED_WITHIN_S), f"a refusal took {one.seconds:.1f} s, {one.cpu_s:.1f} of CPU")
        same = differences(contents(whole, place / "whole"), contents(_folder(root), place / "half"))
        outcome.note(not same, f"after four resumes: {same}")
        shutil.rmtree(root)
    starts = [Started(["train", *SMALL, "figures=none", f"paths.logs={place / 'starts'}"]) for _ in range(count)]
    codes = [one.code for one in wait_all(starts, 600)]
    made = [path for path in (place / "starts" / "train").iterdir() if (path / "result.json").is_file()]
    outcome.note(
        codes == [0] * count and len(made) == count,
        f"{count} starts at once: {len(made)} folders, codes {sorted(set(codes))}",
    )
    named = [Started(["train", *SMALL, f"hydra.run.dir={place / 'named'}", f"paths.logs={place}"]) for _ in range(2)]
    codes = sorted(one.code for one in wait_all(named))
    outcome.note(codes == [0, 2], f"two in one named folder ended with {codes}")
    _while_it_runs(place / "runs", outcome)


def train(root: Path, *words: str) -> Path:
    """Train the small run under a folder and give its own folder."""
    told = run(["train", *SMALL, *words, f"paths.logs={root}"])
    assert told.code == 0, told.err
    return _folder(root)


def _folder(root: Path) -> Path:
    (folder,) = (root / "train").iterdir()
    return folder


def _interrupted(root: Path) -> Path:
    """Leave a run that stopped after its first checkpoint."""
    started = Started(["train", *SMALL, f"paths.logs={root}"])
    while not list(root.rglob("last.ckpt")):
        time.sleep(0.001)
    started.send(signal.SIGKILL)
    started.wait()
    return _folder(root)


def _while_it_runs(root: Path, outcome: Outcome) -> None:
    long = Started(["train", *SMALL, "trainer.max_epochs=20000", f"paths.logs={root}"])
    while not list(root.rglob("last.ckpt")):
        time.sleep(0.01)
    for words in ([f"resume={_folder(root)}"], [*SMALL, f"hydra.run.dir={_folder(root)}"]):
        told = run(["train", *words])
        outcome.note(
            told.is_refusal and told.is_within(REFUSED_WITHIN_S),
            f"train {words[-1]} while it runs: {told.code}, {told.seconds:.1f} s, {told.err}",
        )
    long.send(signal.SIGINT)
    told = long.wait()
    outcome.note(told.code == 130, f"the running one ended with {told.code}: {told.err}")
