"""The trials of a search, kept in Optuna's journal file: a search that was killed goes on where it stood."""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from mlplab.errors import InputError
from mlplab.optuna_names import trial_again
from mlplab.runs.metrics import OBJECTIVES
from mlplab.search.samplers import SAMPLERS, Reseeded, grid_size, is_joint
from mlplab.search.space import Dimension

JOURNAL = "optuna.journal"


@dataclass(frozen=True)
class Plan:
    """What is searched and how.

    Attributes:
        space: the dimensions.
        objectives: keys of :data:`~mlplab.runs.metrics.OBJECTIVES`.
        sampler: a key of :data:`~mlplab.search.samplers.SAMPLERS`.
        seed: of the search.
        trials: how many there are to be, those of earlier calls included.
        batch: asked together, or None for that of earlier calls, ``first_batch`` where there were none.
        first_batch: see ``batch``.
        fixed: the other overrides that say what a job computes.
        config_digest: of the config without what is searched.
        code_digest: of the lab's code.
        accept_code: keep what other code has found.
    """

    space: Sequence[Dimension]
    objectives: Sequence[str]
    sampler: str
    seed: int
    trials: int
    batch: int | None
    first_batch: int
    fixed: Sequence[str]
    config_digest: str
    code_digest: str
    accept_code: bool = False

    @property
    def total(self) -> int:
        """The number of trials; a grid has no more than its points."""
        return min(self.trials, grid_size(self.space)) if self.sampler == "grid" else self.trials

    def identity(self) -> dict[str, str]:
        """Name what two calls on one search must have in common."""
        return {
            "search.objective": ", ".join(self.objectives),
            "search.sampler": self.sampler,
            "seed": str(self.seed),
            "what is searched": shlex.join(dimension.text for dimension in self.space),
            "the other options": shlex.join(self.fixed),
            "the config's digest": self.config_digest[:8],
        }


class NoLock:
    """No lock for the journal: the sweep folder has one that goes with the process; Optuna's would stay."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


class Trials:
    """Ask for trials and report their results.

    Args:
        folder: of the search; its journal is made when missing.
        plan: what is searched.

    Raises:
        InputError: the folder holds another search.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.plan, self.path = plan, folder / JOURNAL
        storage, begun = open_journal(self.path)
        if begun:
            self._expect_same(folder, begun)
        self.batch = plan.batch or begun.get("batch", plan.first_batch)
        self.study = optuna.create_study(
            storage=storage,
            study_name="search",
            load_if_exists=True,
            sampler=Reseeded(
                lambda seed: SAMPLERS[plan.sampler](seed, plan.space, self.batch),
                plan.seed,
                plan.space if is_joint(plan.sampler, len(plan.objectives)) else (),
            ),
            directions=[OBJECTIVES[name] for name in plan.objectives],
        )
        is_going_on = bool(begun) and bool(self.ended())
        if is_going_on and begun["code"] != plan.code_digest and not plan.accept_code:
            raise InputError(
                f"{folder} has trials of other code ({begun['code'][:8]}, now {plan.code_digest[:8]}): keep "
                "them with resume.accept_code=true, or take another name with sweep=NAME"
            )
        # Trials of older code among those reported stay named.
        now = {
            "identity": plan.identity(),
            "batch": self.batch,
            "code": begun["code"] if is_going_on else plan.code_digest,
        }
        if now != begun:
            self.study.set_user_attr("search", json.dumps(now))

    def _expect_same(self, folder: Path, begun: Mapping[str, Any]) -> None:
        for name, now in self.plan.identity().items():
            before = begun["identity"].get(name)
            if before != now:
                raise InputError(
                    f"{folder} holds another search: {name} must be {before!r} as there, got {now!r}; "
                    "take another name with sweep=NAME"
                )

    def all(self) -> list[FrozenTrial]:
        """Give the trials by number."""
        return self.study.get_trials(deepcopy=False)

    def ended(self) -> list[FrozenTrial]:
        """Give the trials whose outcome is known."""
        return [trial for trial in self.all() if trial.state.is_finished()]

    def ask(self) -> list[FrozenTrial]:
        """Give the next trials to run, and write them down; none when the search is at its end.

        Those that an earlier call left without an answer come first, with what they were asked. Batches begin
        at multiples of their size, so that it is the same trials that know of one another after a stop.
        """
        trials, total = self.all(), self.plan.total
        open_ones = [trial for trial in trials if not trial.state.is_finished()]
        if len(trials) - len(open_ones) >= total:
            return []
        first = open_ones[0].number if open_ones else len(trials)
        until = min(total, (first // self.batch + 1) * self.batch)
        for trial in open_ones:  # the call may have ended between two of its values
            self._suggest(trial_again(self.study, trial))
        for _ in range(len(trials), until):
            self._suggest(self.study.ask())
        return [trial for trial in self.all() if not trial.state.is_finished()]

    def _suggest(self, trial: Trial) -> None:
        for dimension in self.plan.space:
            dimension.suggest(trial)

    def overrides(self, trial: FrozenTrial) -> list[str]:
        """Write a trial's values as overrides."""
        return [dimension.override(trial.params[dimension.key]) for dimension in self.plan.space]

    def tell(self, trial: FrozenTrial, values: Sequence[float] | None, **facts: Any) -> None:
        """Write down the outcome of a trial.

        Args:
            trial: as :meth:`ask` gave it.
            values: one an objective, finite; or None where the trial failed.
            facts: plain values to be kept with it.
        """
        trial_again(self.study, trial).set_user_attr("facts", facts)
        self.study.tell(trial.number, values, state=TrialState.FAIL if values is None else TrialState.COMPLETE)

    def best(self) -> list[FrozenTrial]:
        """Give all trials, the best first, or of several objectives those that no other beats in all."""
        if len(self.plan.objectives) > 1:
            front = self.study.best_trials
            return sorted(front, key=lambda trial: (self._rank(trial), trial.number))
        complete = [trial for trial in self.all() if trial.state == TrialState.COMPLETE]
        return sorted(complete, key=lambda trial: (self._rank(trial), trial.number))

    def _rank(self, trial: FrozenTrial, objective: int = 0) -> float:
        better_low = OBJECTIVES[self.plan.objectives[objective]] == "minimize"
        return trial.values[objective] if better_low else -trial.values[objective]

    def forget(self) -> None:
        """Remove the journal, of a search that has no result; the same trials would be asked again."""
        self.path.unlink(missing_ok=True)


def open_journal(path: Path) -> tuple[JournalStorage, dict[str, Any]]:
    """Open a journal, made when missing; give with it what the search wrote of itself, empty where it is new.

    Raises:
        InputError: it is damaged.
    """
    try:
        drop_torn_line(path)
        storage = JournalStorage(JournalFileBackend(str(path), lock_obj=NoLock()))
        known = storage.get_all_studies()
        return storage, json.loads(known[0].user_attrs.get("search", "{}")) if known else {}
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # Optuna does not check a line before it takes it
        reason = " ".join(f"{type(error).__name__} {error}".split())
        raise InputError(
            f"{path} is damaged: Optuna cannot read it ({reason}); remove it to ask again for the same trials, "
            "whose trained jobs are kept, or take another name with sweep=NAME"
        ) from error


def drop_torn_line(path: Path) -> None:
    """Cut off the last line of a journal where it is torn, as by a kill or a loss of power.

    Optuna passes over it, but would write on behind it.
    """
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    last = content.rfind(b"\n", 0, max(0, whole - 1)) + 1
    try:
        json.loads(content[last:whole] or b"0")
    except ValueError:
        whole = last
    if whole < len(content):
        with open(path, "r+b") as file:
            file.truncate(whole)
            os.fsync(file.fileno())
