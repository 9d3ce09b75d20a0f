"""The campaign: ``faults [short|quick|long] [PROMISE ...] [seed=N] [shard=K/N] [paths.logs=DIR]``; a table, a JSON file a promise."""

import contextlib
import functools
import gc
import importlib
import io
import random
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mlplab.config.composition import logs_folder, parse_overrides
from mlplab.errors import InputError
from mlplab.rules import near
from mlplab.runs.files import write_json
from mlplab.words import columns, plural, printable, short_path

# Promise -> what is promised; the module of that name has a function of that name, of an Outcome, the effort and an empty folder.
PROMISES = {
    "owner": "a run folder belongs to one run",
    "kills": "killed at any moment, a run resumes to the same folder",
    "disk": "a disk that fails or is full loses nothing, and the answer names the path",
    "classes": "a run folder's config may name classes of each place's kind alone, and no places",
    "damage": "damaged, swapped and forged files are refused in one line",
    "bits": "same config, seed and build: same bits, whatever stands around the run",
    "secrets": "no secret of a command line or the environment comes into a file",
    "drift": "other versions, config, data or code than a run began with are refused or named",
    "code": "no file that a command reads can run code, hang it or fill its memory",
    "words": "what a person types never gives a traceback, an unnamed key, a raw escape or a folder",
    "size": "what is large works, or is refused with its figure and the memory it would take",
    "members": "a member of a sweep fails in any way, and the others keep their bits",
    "nonfinite": "what is not finite is refused or ends as diverged, and is never the best",
    "pages": "names that hold HTML and script run nothing and ask for nothing, in a browser",
    "folders": "a folder of any name, moved, copied, linked or read-only, works or is refused; nothing is written outside it",
    "signals": "Ctrl-C and SIGTERM end a command within 2 s, and it resumes",
}
# What commands import, once for all of them.
WARM = ("mlplab.cli.train", "mlplab.cli.door", "mlplab.cli.evaluate", "mlplab.plots.curves", "mlplab.report.report")
EFFORTS = ("short", "quick", "long")


Item = TypeVar("Item")
# Seconds between two writings of what was found so far, and between two lines about it.
WRITES_EVERY_S, TELLS_EVERY_S = 2.0, 30.0


class Outcome:
    """The outcome for one promise so far: how often it was tried and held, and how it was broken.

    Args:
        name: the promise.
        effort: one of ``EFFORTS``.
        path: the JSON file that says so, as the campaign goes on and at its end.
        seed: for what is drawn.
        shard: K and N: of the trials every N-th, from the K-th on.
    """

    def __init__(self, name: str, effort: str, path: Path, seed: int = 0, shard: tuple[int, int] = (0, 1)) -> None:
        self.name, self.effort, self.path, self.seed, (self.shard, self.of) = name, effort, path, seed, shard
        self.tried, self.broken, self.turns = 0, [], 0
        self.began = self.written = self.told = time.monotonic()
        # For what all shards draw alike, and for what each draws for itself.
        self.shared, self.pick = random.Random(f"{name} {seed}"), random.Random(f"{name} {seed} {shard}")

    def note(self, held: object, words: str) -> None:
        """Count one trial; ``words`` say what broke the promise where it was not held."""
        self.tried += 1
        if not held:
            self.broken.append(printable(" ".join(words.split()))[:400])
        now = time.monotonic()
        if now > self.written + WRITES_EVERY_S:
            self.write()
        if now > self.told + TELLS_EVERY_S:
            self.told = now
            print(f"{self.name}: {self.tried:,} tried, {self.held:,} held, {now - self.began:.0f} s", file=sys.stderr)
            sys.stderr.flush()

    @property
    def held(self) -> int:
        """How often the promise was held."""
        return self.tried - len(self.broken)

    @property
    def is_last_shard(self) -> bool:
        """Say whether this shard tries what is tried once."""
        return self.shard == self.of - 1

    def mine(self, trials: Iterable[Item]) -> list[Item]:
        """Give those of some trials that are this shard's."""
        return list(trials)[self.shard :: self.of]

    def sample(self, trials: Sequence[Item], count: int) -> list[Item]:
        """Draw so many of some trials, or all where there are fewer, and give those that are this shard's."""
        return self.mine(self.shared.sample(trials, min(count, len(trials))))

    def is_turn(self, every: int) -> bool:
        """Say whether the next trial is one of every so many, and this shard's."""
        self.turns += 1
        return self.turns % every == 0 and self.turns // every % self.of == self.shard

    def write(self, *, is_whole: bool = False) -> None:
        """Write down what was found so far; ``is_whole`` at the end."""
        self.written = time.monotonic()
        record = {"promise": PROMISES[self.name], "effort": self.effort, "seed": self.seed}
        record |= {"shard": f"{self.shard}/{self.of}", "is_whole": is_whole, "tried": self.tried, "held": self.held}
        write_json(self.path, record | {"seconds": self.written - self.began, "broken": self.broken}, sync=is_whole)


def faults(words: Sequence[str]) -> int:
    """Try promises and print how often each held; 1 where one was broken."""
    names, effort, logs, seed, shard = [], "long", logs_folder(), 0, (0, 1)
    for key, value in parse_overrides([word for word in words if "=" in word]):
        if key == "paths.logs":
            logs = Path(str(value)).absolute()
        elif key == "seed" and isinstance(value, int):
            seed = value
        elif (
            key == "shard"
            and (parts := re.fullmatch(r"(\d{1,3})/(\d{1,3})", str(value)))
            and int(parts[1]) < int(parts[2])
        ):
            shard = (int(parts[1]), int(parts[2]))
        else:
            raise InputError(
                f"faults takes {', '.join(EFFORTS)}, names of promises, seed=N, shard=K/N (K below N) and paths.logs=DIR,"
                f" got {key}={value}"
            )
    for word in words:
        if word in EFFORTS:
            effort = word
        elif word in PROMISES:
            names.append(word)
        elif "=" not in word:
            raise InputError(f"the promise must be one of {', '.join(PROMISES)}, got {word!r}{near(word, PROMISES)}")
    more = "" if shard == (0, 1) else f"-{shard[0]}-of-{shard[1]}"
    rows, all_held = [("promise", "", "tried", "held", "seconds")], True
    for name in names or PROMISES:
        path = logs / "faults" / f"{name}{f'-seed{seed}' if seed else ''}{more}.json"
        outcome = Outcome(name, effort, path, seed, shard)
        _try(outcome)
        all_held &= not outcome.broken
        seconds = time.monotonic() - outcome.began
        rows.append((name, PROMISES[name], f"{outcome.tried:,}", f"{outcome.held:,}", f"{seconds:.0f}"))
        for line in outcome.broken[:20]:
            print(f"{name}: {line}", flush=True)
        if len(outcome.broken) > 20:
            print(f"{name}: and {plural(len(outcome.broken) - 20, 'other')}, in {short_path(path)}", flush=True)
    print("\n".join(columns(rows, left=2)))
    return 0 if all_held else 1


def _try(outcome: Outcome) -> None:
    """Try one promise in a folder of its own, which is removed after; a trial that itself fails ends it as broken."""
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as place:
        _warm()
        promise: Any = getattr(importlib.import_module(f"mlplab.faults.{outcome.name}"), outcome.name)
        try:
            promise(outcome, outcome.effort, Path(place).resolve())
        except Exception:
            outcome.note(False, f"the campaign itself failed: {traceback.format_exc()[-350:]}")
    outcome.write(is_whole=True)


@functools.cache
def _warm() -> None:
    """Import what commands import and run one of them, so that a forked command begins where a process has run one before."""
    for module in WARM:
        importlib.import_module(module)
    from mlplab.cli.app import main
    from mlplab.faults.trials import SMALL

    with tempfile.TemporaryDirectory(prefix="faults-") as place, contextlib.redirect_stdout(io.StringIO()):
        main(["train", *SMALL, f"paths.logs={place}"])
    gc.collect()
    gc.freeze()  # else each child looks through all of it
