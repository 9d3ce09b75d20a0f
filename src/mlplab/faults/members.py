"""A member of a sweep fails in any way: the others end with the bits they have without it; a re-run does only what is missing."""

import json
import random
from pathlib import Path

from mlplab.faults.campaign import Outcome
from mlplab.faults.trials import SMALL, run

# How a network fails at a step -> what its job is told to have ended by.
KINDS = {
    "constructor": "no such network can be built",
    "step": "this step fails",
    "exit": "SystemExit: 0",
    "os_exit": "exit code 3",
    "kill": "killed by SIGKILL",
    "segfault": "killed by SIGSEGV",
    "interrupt": "KeyboardInterrupt",
    "memory": "memory",
    "grow": "memory",
    "allocate": "MemoryError",
    "hang": "no sign of life",
    "hang_in_c": "no sign of life",
    "nan": "not finite",
}
SLOW = ("hang", "hang_in_c")
SMALLEST = [word for word in SMALL if not word.startswith("model.")]
SWEEP = ["train", *SMALLEST, "figures=none", "model=faulty", "launcher.workers=2", "-m"]


def members(outcome: Outcome, effort: str, place: Path) -> None:
    """Train sweeps of networks of which some fail, each sweep twice."""
    pick = random.Random(f"members {outcome.seed}")  # the same in each shard
    kinds = [kind for kind in KINDS if effort == "long" or kind not in SLOW]
    jobs = {"short": 3, "quick": 7, "long": 13}[effort]
    _configure(place / "well", {})
    told = run([*SWEEP, *_words(place / "well", jobs), "launcher=inline"])
    well = _states(place / "well")
    outcome.note(told.code == 0 and len(well) == jobs, f"with no failing network: {told.code} {told.err[-300:]}")
    trials = [{pick.randrange(jobs): kind} for kind in kinds]  # one failing network
    for count in {"short": (2,), "quick": (2, 3, 6), "long": (2, 3, 5, 8, 12, 13)}[effort]:  # several
        trials.append(dict(zip(pick.sample(range(jobs), count), pick.choices(kinds, k=count))))
    if effort == "short":
        trials = [{0: "segfault", 2: "step"}]
    for number, failing in outcome.mine(enumerate(trials)):
        _one(outcome, place / str(number), failing, jobs, well, inline=False)
    of_an_error = {kind for kind in kinds if kind in ("constructor", "step", "exit", "allocate", "nan")}
    for kind in outcome.mine(sorted(of_an_error) if effort != "short" else ()):  # in the sweep's own process
        _one(outcome, place / f"inline-{kind}", {pick.randrange(jobs): kind}, jobs, well, inline=True)


def _one(
    outcome: Outcome, place: Path, failing: dict[int, str], jobs: int, well: dict[int, str], *, inline: bool
) -> None:
    """Try one sweep, and the same once more."""
    _configure(place, failing)
    more = ["launcher=inline"] if inline else []
    words = [*SWEEP, *_words(place, jobs), *more]
    told = run(words, within_s=300)
    found, states, name = _entries(place), _states(place), f"{failing}{' inline' if inline else ''}"
    outcome.note(told.code == 1 and "Traceback" not in told.err, f"{name}: ended with {told.code}: {told.err[-300:]}")
    others = {seed: state for seed, state in well.items() if seed not in failing}
    finished = {seed: states[seed] for seed in others if seed in states}
    outcome.note(finished == others, f"{name}: the others' bits differ: {finished} {others}")
    for seed, kind in failing.items():
        entry = found.get(seed, {})
        status = "diverged" if kind == "nan" else "failed"
        right = entry.get("status") == status and KINDS[kind] in str(entry.get("error"))
        outcome.note(right, f"{name}: {seed} is told as {entry.get('status')}: {entry.get('error')}")
    best = [line for line in told.err.splitlines() if line.startswith("lowest NLL")]
    bad = [seed for seed in failing if best and best[-1].endswith(f"seed={seed}")]
    outcome.note(not bad, f"{name}: a failing network is the best: {best}")
    before = _stamps(place)
    told = run(words, within_s=300)
    after = _stamps(place)
    again = {seed for seed in after if after[seed] != before.get(seed)}
    missing = {seed for seed, kind in failing.items() if kind not in ("nan", "constructor")}  # without a config
    outcome.note(
        again == missing, f"{name}: run again were {sorted(again)}, missing {sorted(missing)}: {told.err[-300:]}"
    )
    outcome.note(_states(place) == states, f"{name}: the states changed in the re-run")


def _configure(place: Path, failing: dict[int, str]) -> None:
    """Write the config group of the networks, with which of them fail and how."""
    (place / "conf" / "model").mkdir(parents=True, exist_ok=True)
    faults = json.dumps({f"seed{seed}": kind for seed, kind in failing.items()})
    text = f"_target_: mlplab.faults.faulty.Faulty\nat_step: 3\nfaults: {faults}\n"
    (place / "conf" / "model" / "faulty.yaml").write_text(text)


def _words(place: Path, jobs: int) -> list[str]:
    seeds = ",".join(map(str, range(jobs)))
    places = [f"paths.logs={place / 'logs'}", "sweep=s", "launcher.timeout_s=30"]
    return [*places, f"seed={seeds}", f"--config-dir={place / 'conf'}"]


def _entries(place: Path) -> dict[int, dict]:
    path = place / "logs" / "sweep" / "s" / "sweep.json"
    jobs = json.loads(path.read_text())["jobs"] if path.is_file() else []
    return {entry["swept"]["seed"]: entry for entry in jobs}


def _states(place: Path) -> dict[int, str]:
    return {
        seed: entry["result"]["state_sha256"]
        for seed, entry in _entries(place).items()
        if entry.get("result") and entry["status"] == "finished"
    }


def _stamps(place: Path) -> dict[int, int]:
    """When each job's config was written."""
    folder = place / "logs" / "sweep" / "s"
    found = {seed: folder / str(entry["name"]) / "config.yaml" for seed, entry in _entries(place).items()}
    return {seed: path.stat().st_mtime_ns for seed, path in found.items() if path.is_file()}
