"""A run's folder that is moved, copied, renamed, linked or oddly named works as before, and nothing is written outside it."""

import json
import os
import shutil
from pathlib import Path

from mlplab.faults.campaign import Outcome
from mlplab.faults.contents import contents, differences
from mlplab.faults.damage import REFUSED_WITHIN_S, SHORT_SPIKING, on_a_table
from mlplab.faults.owner import _interrupted, train
from mlplab.faults.trials import SMALL, run, without_privileges

NAMES = (
    "plain",
    "a b ü-x",
    'o\'clock "quoted"',
    "a,b=c[d]{e}",
    "key=value",
    "$HOME 100%",
    "${seed}",
    "new\nline",
    "tab\there",
    "-dash",
    "ユニコード",
    "back\\slash",
    "semi;colon&amp",
    "#hash",
    "~tilde",
    "trailing ",
    "*?",
    "x" * 200,
)
# Names of runs and sweeps that lead elsewhere.
ELSEWHERE = ("../escaped", "a/../../escaped", "/tmp/escaped", "..", ".", "a/b", "\\escaped", "~/escaped", "a\nb", "")


def folders(outcome: Outcome, effort: str, place: Path) -> None:
    """Put a run and a sweep into folders of other names, and try each command on them there."""
    share = {"short": 12, "quick": 2, "long": 1}[effort]
    whole = train(place / "whole")
    half = place / "half"
    half = _interrupted(half)
    sweep = ["train", *SMALL, "figures=map", "-m", "seed=0,1", "launcher=inline", "sweep=s"]
    assert run([*sweep, f"paths.logs={place / 'whole'}"]).code == 0
    for number, name in outcome.mine(enumerate(NAMES[share - 1 :: share])):
        root = place / str(number) / name
        for source, target in ((whole, "run"), (half, "half"), (place / "whole" / "sweep" / "s", "s")):
            shutil.copytree(source, root / target)
        _commands(outcome, root, name, "", lambda: None)
        if effort == "long" or effort == "quick" and number < 2:
            (place / str(number) / "link").symlink_to(root)
            _commands(outcome, place / str(number) / "link", name, "through a link, ", lambda: None)
            _commands(outcome, Path(name), name, "relative, ", lambda: os.chdir(root.parent))
        _resumed(outcome, root, name, whole)
        _trained(outcome, root, name)
    for word in outcome.mine(ELSEWHERE[:: share // 2 or 1]):
        _elsewhere(outcome, place, word)
    _links(outcome, place, whole)
    if outcome.is_last_shard:
        _read_only(outcome, place / "read-only", whole, half, 6 if effort == "short" else 1)


def _commands(outcome: Outcome, root: Path, name: str, how: str, before) -> None:
    """Try the commands that read a run on one in this folder; `-x` as a path is ./-x."""
    base = f"./{root}" if str(root).startswith(("-", "~", "#")) else str(root)
    folder, sweep, logs = f"{base}/run", f"{base}/s", f"paths.logs={base}/logs"
    commands = (
        ["evaluate", folder],
        ["evaluate", folder, "data.noise=0.3", logs],
        ["reproduce", folder, logs],
        ["compare", folder, f"{base}/half", logs],
        ["redraw", folder],
        ["playground", folder],
        ["report", sweep],
        ["runs", "list", f"paths.logs={base}", "limit=all"],
        ["train", f"resume={folder}"],
    )
    for words in commands:
        told = run(words, before)
        right = told.code == 0 or told.is_refusal and ("${" in name or words[0] == "compare")
        outcome.note(right and told.is_clean, f"{how}{name!r}: {words[0]}: {told.code}: {(told.out + told.err)[-300:]}")


def _resumed(outcome: Outcome, root: Path, name: str, whole: Path) -> None:
    """Go on with a run that was stopped elsewhere; its end is that of one that was not."""
    told = run(["train", f"resume={root / 'half'}"])
    result = root / "half" / "result.json"
    same = result.is_file() and _state(result) == _state(whole / "result.json")
    outcome.note(same and told.is_clean, f"{name!r}: resumed: {told.code}: {told.err[-300:]}")


def _trained(outcome: Outcome, root: Path, name: str) -> None:
    """Train a run and a sweep into logs of that name."""
    for more in ([], ["-m", "seed=0,1", "launcher=inline"]):
        told = run(["train", *SMALL, "figures=none", *more, f"paths.logs={root / 'new'}"])
        right = told.code == 0 or told.is_refusal and "${" in name
        outcome.note(right and told.is_clean, f"{name!r}: train {more[:1]}: {told.code}: {told.err[-300:]}")


def _state(path: Path) -> str:
    return json.loads(path.read_text())["state_sha256"]


def _elsewhere(outcome: Outcome, place: Path, word: str) -> None:
    """Name a run and a sweep by what would lead out of the logs."""
    logs = place / "inner" / "logs"
    before = _listing(place) | _listing(Path("/tmp"), deep=False)
    for words in ([f"name={word}"], ["-m", "seed=0,1", "launcher=inline", f"sweep={word}"]):
        told = run(["train", *SMALL, "figures=none", *words, f"paths.logs={logs}"])
        made = {path for path in _listing(place) if not path.startswith(str(place / "inner"))} - before
        escaped = [path for path in _listing(Path("/tmp"), deep=False) - before if "escaped" in path]
        refused = told.is_refusal or word == "" and told.code == 0  # null, as it were
        outcome.note(refused and not made and not escaped, f"{words[-1]!r}: {told.code} {made} {told.err[-200:]}")
        shutil.rmtree(place / "inner", ignore_errors=True)


def _links(outcome: Outcome, place: Path, whole: Path) -> None:
    """Clean up logs that hold a link to a folder elsewhere: that is left alone."""
    outside, logs = place / "outside", place / "linked"
    shutil.copytree(whole, outside)
    status = json.loads((outside / "status.json").read_text()) | {"status": "failed"}
    (outside / "status.json").write_text(json.dumps(status))
    (outside / "result.json").unlink()
    before = _listing(outside)
    (logs / "train").mkdir(parents=True)
    (logs / "train" / "link").symlink_to(outside)
    told = run(["runs", "clean", "yes=true", f"paths.logs={logs}"])
    outcome.note(
        _listing(outside) == before and told.is_clean, f"clean over a link: {told.code} {told.out}{told.err[-300:]}"
    )


def _read_only(outcome: Outcome, place: Path, whole: Path, half: Path, every: int) -> None:
    """Give folders that cannot be written to each command: it works, or says which cannot be, and nothing is changed."""
    root, table = place / "logs", on_a_table(place / "table")
    for source, name in ((whole, "run"), (half, "half"), (whole.parents[1] / "sweep" / "s", "s"), (table, "table")):
        shutil.copytree(source, root / "train" / name)
    run_folder, logs, more = root / "train" / "run", f"paths.logs={root}", f"paths.logs={place / 'more'}"
    works = (
        ["evaluate", str(run_folder)],
        ["evaluate", str(run_folder), "data.noise=0.3", more],
        ["evaluate", str(root / "train" / "table"), f"data.path={place / 'table' / 'table.csv'}"],
        ["predict", str(root / "train" / "table"), f"data.path={place / 'table' / 'points.csv'}", more],
        ["spiking", str(run_folder), *SHORT_SPIKING, more],
        ["train", *SMALL, f"init_from={run_folder}", "figures=none", more],
        ["reproduce", str(run_folder), more],
        ["compare", str(run_folder), str(root / "train" / "half"), more],
        ["runs", "list", "limit=all", logs],
        ["runs", "best", logs],
    )
    refused = (
        ["train", f"resume={run_folder}"],
        ["train", f"resume={root / 'train' / 'half'}"],
        ["train", f"resume={run_folder}", "trainer.max_epochs=9"],
        ["train", *SMALL, logs],
        ["train", *SMALL, f"hydra.run.dir={root / 'x'}"],
        ["train", *SMALL, "-m", "seed=0,1", "launcher=inline", logs],
        ["report", str(root / "train" / "s")],
        ["redraw", str(run_folder)],
        ["playground", str(run_folder)],
        ["limits", str(run_folder), "networks=false"],
        ["lif", logs],
        ["relu_approximation", "n=3", "method=uniform", logs],
    )
    paths = [root, *root.rglob("*")]
    modes = {path: path.stat().st_mode for path in paths}
    for path in reversed(paths):
        path.chmod(modes[path] & ~0o222)
    before = contents(root, root)
    for words in (*works, *refused)[::every]:
        told, name = run(words, without_privileges), f"{words[:2]} in a folder that cannot be written"
        right = told.code == 0 if words in works else told.is_refusal and "/logs" in told.err
        outcome.note(right and told.is_clean, f"{name}: {told.code}: {(told.out + told.err)[-300:]}")
        outcome.note(told.code == 0 or told.is_within(REFUSED_WITHIN_S), f"{name}: refused after {told.seconds:.1f} s")
    same = differences(before, contents(root, root))
    outcome.note(not same, f"a folder that cannot be written was changed: {same}")
    for path in paths:
        path.chmod(modes[path])


def _listing(root: Path, deep: bool = True) -> set[str]:
    return {str(path) for path in (root.rglob("*") if deep else root.iterdir())}
