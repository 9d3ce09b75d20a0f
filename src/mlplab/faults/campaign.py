"""The campaign: ``faults [short|quick|long] [PROMISE ...] [paths.logs=DIR]``; one table, and a JSON file a promise."""

import importlib
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlplab.config.composition import logs_folder, parse_overrides
from mlplab.errors import InputError
from mlplab.rules import near
from mlplab.runs.files import write_json
from mlplab.words import columns, plural, printable, short_path

# Promise -> (module with a function of that name, from the effort and an empty folder to an Outcome; what is promised).
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
    "folders": "a folder of any name, moved, copied or linked, works; nothing is written outside it",
    "signals": "Ctrl-C and SIGTERM end a command within 2 s, and it resumes",
}
# What a command imports, once for all of them.
WARM = (
    "mlplab.cli.train",
    "mlplab.cli.door",
    "mlplab.cli.evaluate",
    "mlplab.plots.learning_strip",
    "mlplab.report.report",
)
EFFORTS = ("short", "quick", "long")


@dataclass
class Outcome:
    """The outcome for one promise: how often it was tried and held, and how it was broken."""

    tried: int = 0
    broken: list[str] = field(default_factory=list)

    def note(self, held: object, words: str) -> None:
        """Count one trial; ``words`` say what broke the promise where it was not held."""
        self.tried += 1
        if not held:
            self.broken.append(printable(" ".join(words.split()))[:400])


def faults(words: Sequence[str]) -> int:
    """Try promises and print how often each held; 1 where one was broken."""
    names, effort, logs = [], "long", logs_folder()
    for key, value in parse_overrides([word for word in words if "=" in word]):
        if key != "paths.logs":
            raise InputError(
                f"faults takes {', '.join(EFFORTS)}, names of promises and paths.logs=DIR, got {key}={value}"
            )
        logs = Path(str(value)).absolute()
    for word in words:
        if word in EFFORTS:
            effort = word
        elif word in PROMISES:
            names.append(word)
        elif "=" not in word:
            raise InputError(f"the promise must be one of {', '.join(PROMISES)}, got {word!r}{near(word, PROMISES)}")
    rows, all_held = [("promise", "", "tried", "held", "seconds")], True
    for name in names or PROMISES:
        began = time.monotonic()
        outcome = tried(name, effort)
        seconds = time.monotonic() - began
        held = outcome.tried - len(outcome.broken)
        all_held &= not outcome.broken
        rows.append((name, PROMISES[name], f"{outcome.tried:,}", f"{held:,}", f"{seconds:.0f}"))
        write_json(
            logs / "faults" / f"{name}.json",
            {
                "promise": PROMISES[name],
                "effort": effort,
                "tried": outcome.tried,
                "held": held,
                "seconds": seconds,
                "broken": outcome.broken,
            },
        )
        for line in outcome.broken[:20]:
            print(f"{name}: {line}", flush=True)
        if len(outcome.broken) > 20:
            print(
                f"{name}: and {plural(len(outcome.broken) - 20, 'other')}, in {short_path(logs / 'faults' / f'{name}.json')}",
                flush=True,
            )
    print("\n".join(columns(rows, left=2)))
    return 0 if all_held else 1


def tried(name: str, effort: str) -> Outcome:
    """Try one promise in a folder of its own, which is removed after."""
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        for module in WARM:
            importlib.import_module(module)
        return getattr(importlib.import_module(f"mlplab.faults.{name}"), name)(effort, Path(place).resolve())
