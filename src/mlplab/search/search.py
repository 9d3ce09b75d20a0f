"""A search as Hydra's sweeper: ask for batches of jobs, launch each as a sweep, report the results."""

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict

from mlplab.errors import Ended, InputError
from mlplab.runs.folder import locked
from mlplab.runs.identity import Role, code_digest, config_digest, override_role
from mlplab.runs.metrics import read_objective
from mlplab.search.space import Dimension, read_space
from mlplab.sweeps.executors import physical_cores
from mlplab.sweeps.groups import FEWEST_MEMBERS
from mlplab.sweeps.task import Task
from mlplab.words import pip_line, plural

# Samplers that learn from results get at least this number of batches, even where more cores could take larger ones.
ROUNDS = 4


def search(master: DictConfig, loader: Any, launcher: Any, task: Task, arguments: Sequence[str]) -> list[JobReturn]:
    """Search until there are ``search.trials`` trials.

    Args:
        master: the config with its ``hydra`` node.
        loader: Hydra's config loader.
        launcher: any Hydra launcher; the lab's own trains a batch as populations.
        task: the lab's own.
        arguments: the overrides.

    Returns:
        The returns of all jobs that this call launched.

    Raises:
        InputError: Optuna is missing, the options do not fit, or no job has a metric of the objective's name.
    """
    try:
        from mlplab.search.record import table, write_record
        from mlplab.search.trials import Trials
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise InputError(f"hydra/sweeper=search needs Optuna: {pip_line('search')}") from error
    space, fixed = read_space(arguments, master, loader.get_group_options)
    plan = make_plan(master, space, fixed)
    folder = Path(str(master.hydra.sweep.dir)).absolute()
    returns: list[JobReturn] = []
    with locked(folder):
        trials = Trials(folder, plan)
        while batch := trials.ask():
            ended = len(trials.ended())
            print(f"search: trials {ended + 1} to {ended + len(batch)} of {plan.total}", file=sys.stderr)
            jobs = [[*fixed, *trials.overrides(trial)] for trial in batch]
            outcomes = launch(jobs, launcher, lambda job: refusal(job, master, loader, task), batch[0].number)
            returns += [outcome for outcome in outcomes if isinstance(outcome, JobReturn)]
            judged = [judge(outcome, plan.objectives, folder) for outcome in outcomes]
            if not trials.ended() and not any(values for values, _ in judged):
                _expect_objective(trials, judged)
            for trial, (values, facts) in zip(batch, judged):
                trials.tell(trial, values, **facts)
            write_record(trials, folder)
        write_record(trials, folder)
        crashed = sum(trial.user_attrs["facts"]["status"] == "failed" for trial in trials.ended())
        found = bool(trials.best())
        if found:
            print(table(trials, folder.name))
        else:
            print(f"search: none of {plural(len(trials.ended()), 'trial')} has a result", file=sys.stderr)
    # Diverging settings are a normal result of a search; a crash is not.
    task.conclude({"status": "failed" if crashed or not found else "finished"})
    return returns


def make_plan(master: DictConfig, space: Sequence[Dimension], fixed: Sequence[str]) -> Any:
    """Put together what a search does from the config.

    Args:
        master: the config with its ``hydra`` node.
        space: what is searched.
        fixed: the other overrides of the jobs.
    """
    from mlplab.search.trials import Plan

    options = OmegaConf.to_container(master.search, resolve=True)
    objective = options["objective"]
    own = OmegaConf.masked_copy(master, [key for key in master if key != "hydra"])
    return Plan(
        space=space,
        objectives=[objective] if isinstance(objective, str) else objective,
        sampler=options["sampler"],
        seed=master.seed,
        trials=options["trials"],
        batch=options["batch"],
        first_batch=first_batch(options["sampler"], options["trials"], workers(master.launcher)),
        fixed=[text for text in fixed if Role.IDENTITY in override_role(text)],
        config_digest=config_digest(OmegaConf.to_container(own, resolve=True)),
        code_digest=code_digest(),
        accept_code=bool(master.resume.accept_code),
    )


def workers(launcher: DictConfig) -> int:
    """Say how many groups run at a time, before any executor is made."""
    return launcher.workers or (1 if launcher.executor == "inline" else physical_cores())


def first_batch(sampler: str, trials: int, at_a_time: int) -> int:
    """Choose how many trials are asked together.

    Random and grid learn nothing from results, so all go together. The others get enough for a population in
    each process, but at least ``ROUNDS`` rounds to learn from.
    """
    if sampler in ("random", "grid"):
        return trials
    return max(1, min(FEWEST_MEMBERS * at_a_time, math.ceil(trials / ROUNDS)))


def launch(
    jobs: Sequence[list[str]], launcher: Any, refusal: Callable[[list[str]], str | None], first: int
) -> list[JobReturn | str]:
    """Launch a batch, leaving out those jobs whose values cannot go together.

    Args:
        jobs: the overrides of each.
        launcher: a Hydra launcher.
        refusal: says what is wrong with a job, or None.
        first: number of the first job.

    Returns:
        For each job its return, or the line that says why it was not launched.

    Raises:
        InputError: the launcher refused all, with none of them at fault.
    """
    try:
        return list(launcher.launch(jobs, initial_job_idx=first))
    except (InputError, HydraException, Ended):
        reasons = [refusal(job) for job in jobs]
        if not any(reasons):
            raise
        good = [job for job, reason in zip(jobs, reasons) if reason is None]
        rest = iter(launcher.launch(good, initial_job_idx=first) if good else ())
        return [reason or next(rest) for reason in reasons]


def refusal(job: list[str], master: DictConfig, loader: Any, task: Any) -> str | None:
    """Say in one line why a job's config cannot be, or None."""
    try:
        config = loader.load_sweep_config(master, job)
        with open_dict(config):
            config.pop("hydra")
        task.check(task.resolve(config))
    except (InputError, HydraException) as error:
        return " ".join(str(error).split())
    return None


def judge(outcome: JobReturn | str, objectives: Sequence[str], folder: Path) -> tuple[list[float] | None, dict]:
    """Read the outcome of a job.

    Args:
        outcome: its return, or why there is none.
        objectives: names of metrics.
        folder: of the search.

    Returns:
        The metrics, or None where the trial is to count as failed; and what is kept with it: ``folder``,
        ``status`` (finished, diverged, failed, or refused) and ``error``.
    """
    if isinstance(outcome, str):
        return None, {"folder": None, "status": "refused", "error": outcome}
    place = Path(outcome.working_dir) if outcome.working_dir else folder
    name = place.name if place.parent == folder else None
    try:
        result = outcome.return_value
    except Exception as error:  # what a job raised under Hydra's own launchers
        return None, {"folder": name, "status": "failed", "error": f"{type(error).__name__}: {error}".splitlines()[0]}
    result = getattr(result, "result", result)
    if outcome.status != JobStatus.COMPLETED or not isinstance(result, dict):
        return None, {"folder": name, "status": "failed", "error": "it returned no result"}
    status = result.get("status", "finished")
    facts = {"folder": name or result.get("name"), "status": status, "error": result.get("error")}
    if status != "finished":
        return None, facts
    values = [read_objective(result, objective) for objective in objectives]
    missing = [objective for objective, value in zip(objectives, values) if value is None]
    if missing:
        return None, facts | {"status": "without", "error": f"its result has no finite {', '.join(missing)}"}
    return values, facts


def _expect_objective(trials: Any, judged: Sequence[tuple[Any, dict]]) -> None:
    """Refuse an objective that no finished job of the first batch has."""
    without = [facts["error"] for _, facts in judged if facts["status"] == "without"]
    if without:
        trials.forget()
        raise InputError(
            f"search.objective={','.join(trials.plan.objectives)} must be metrics of the jobs, got none: "
            f"{len(without)} of {plural(len(judged), 'job')} finished and {without[0]}; the trained jobs are kept"
        )
