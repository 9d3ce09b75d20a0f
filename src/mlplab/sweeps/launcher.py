"""What Hydra's launcher does: compose every job, run what is missing, report the results."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from mlplab.runs import signals
from mlplab.runs.files import plain_yaml
from mlplab.runs.folder import locked
from mlplab.runs.manifest import without_secrets
from mlplab.sweeps.composer import Composer
from mlplab.sweeps.display import Display
from mlplab.sweeps.executors import Processes, make_executor
from mlplab.sweeps.groups import on_gpu
from mlplab.sweeps.jobs import PlannedJob, place_jobs
from mlplab.sweeps.sweep import TRACEBACK, Sweep, SweepOptions
from mlplab.sweeps.task import Task
from mlplab.words import front_door, plural, printable, short_path

MOST_TOLD = 20  # jobs that did not finish, one a line
# The study whose jobs train as populations; jobs of the others are run one by one.
POPULATION_STUDY = "mlplab.cli.train:train"


def launch(
    master: DictConfig, context: HydraContext, task: Task, job_overrides: Sequence[Sequence[str]]
) -> Sequence[JobReturn]:
    """Run the jobs of a sweep.

    Args:
        master: the sweep's config with its ``hydra`` node.
        context: Hydra's config loader and callbacks.
        task: the lab's own.
        job_overrides: of each job.

    Returns:
        One return a job, whose value is the job's objective with its result.
    """
    setup_globals()
    configure_log(master.hydra.hydra_logging, master.hydra.verbose)
    options = OmegaConf.to_container(master.launcher, resolve=True)
    if options["workers"] is None and options["executor"] == "processes" and on_gpu(master):
        options["workers"] = 1  # one population fills the device
    folder = Path(str(master.hydra.sweep.dir)).absolute()
    display = Display()
    with locked(folder):
        executor = make_executor(options, folder)
        display.note(f"{plural(len(job_overrides), 'job')} in {short_path(folder)}, {executor.place}")
        try:
            signals.listen()  # Ray sets its own answer to SIGTERM
            if isinstance(executor, Processes):
                executor.warm_up()
            jobs = compose_jobs(folder, master, context.config_loader, task, job_overrides, display)
            how = SweepOptions(
                study=task.study,
                population=task.study == POPULATION_STUDY,
                max_members=options["max_members"],
                timeout_s=options["timeout_s"],
                accept_code=bool(master.get("resume", {}).get("accept_code")),
                command=without_secrets(task.command),
            )
            callbacks = JobCallbacks(context.callbacks, task)
            sweep = Sweep(folder, jobs, executor, how, hydra_files=hydra_files, callbacks=callbacks, display=display)
            sweep.run()
        finally:
            executor.close()
    tell(sweep, display)
    task.results += [job.outcome for job in jobs]
    return [job_return(job, task) for job in jobs]


def compose_jobs(
    folder: Path, master: DictConfig, loader: Any, task: Task, job_overrides: Sequence[Sequence[str]], display: Display
) -> list[PlannedJob]:
    """Compose every job before any of them starts, so that editing conf/ changes nothing any more."""
    composer = Composer(loader, master, task.resolve, task.check)
    composed = []
    for number, overrides in enumerate(job_overrides):
        display.composing(number, len(job_overrides))
        composed.append(composer.compose(overrides, number))
    return place_jobs(folder, composed, job_overrides)


def hydra_files(job: PlannedJob) -> dict[str, str]:
    """Give the names and texts of what Hydra leaves in ``hydra.output_subdir`` of a job, ``.hydra`` by default."""
    own = job.hydra_node()
    subdir = own["output_subdir"]
    if subdir is None:
        return {}
    texts = {"config": job.config, "overrides": job.overrides, "hydra": {"hydra": own}}
    return {f"{subdir}/{name}.yaml": plain_yaml(value) for name, value in texts.items()}


class JobCallbacks:
    """Tell Hydra's callbacks of every job, as ``run_job`` does: here, whichever process the job runs in.

    Args:
        callbacks: Hydra's, those of ``hydra.callbacks``.
        task: the task function to report to them.
    """

    def __init__(self, callbacks: Any, task: Task) -> None:
        self.callbacks, self.task = callbacks, task
        self.wanted = bool(getattr(callbacks, "callbacks", ()))
        self._reported: set[str] = set()

    def started(self, job: PlannedJob) -> None:
        """Tell that a job begins; once, however often it is tried."""
        if self.wanted and job.digest not in self._reported:
            self._reported.add(job.digest)
            self.callbacks.on_job_start(config=job.whole_config(), task_function=self.task)

    def ended(self, job: PlannedJob) -> None:
        """Report the outcome of a job; for one of an earlier call, its beginning as well."""
        if not self.wanted:
            return
        self.started(job)
        value, config = job_return(job, self.task), job.whole_config()
        value.cfg = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
        value.hydra_cfg = OmegaConf.masked_copy(config, ["hydra"])
        if job.status == "failed":
            value.status, value.return_value = JobStatus.FAILED, RuntimeError(job.error)
        self.callbacks.on_job_end(config=config, job_return=value)


def tell(sweep: Sweep, display: Display) -> None:
    """Summarise the sweep: what failed, each with its folder, the best job, and how to look at all of it."""
    bad = [job for job in sweep.jobs if job.error]
    good = sum(job.status == "finished" for job in sweep.jobs)
    display.note(f"{good} of {plural(len(sweep.jobs), 'job')} finished" + (f", {len(bad)} did not:" if bad else ""))
    for job in bad[:MOST_TOLD]:
        file = job.folder / TRACEBACK
        place = short_path(file if job.status == "failed" else job.folder)
        display.note(f"{job.status}: {place}: {printable(job.error)}")
    if len(bad) > MOST_TOLD:
        display.note(f"and {len(bad) - MOST_TOLD} more")
    if sweep.best is not None:
        nll, name = sweep.best
        job = next(job for job in sweep.jobs if job.name == name)
        settings = " ".join(f"{key}={value}" for key, value in job.swept.items()) or name
        display.note(f"lowest NLL   {nll:.4f}, {printable(settings)}")
    display.note(f"folder       {short_path(sweep.folder)}")
    display.note(f"report       {front_door()} report {shlex.quote(short_path(sweep.folder))}")


def job_return(job: PlannedJob, task: Task) -> JobReturn:
    """Give Hydra what its sweepers ask for."""
    value = JobReturn()
    value.overrides = job.overrides
    value.task_name = str(job.hydra.job.name)
    value.working_dir = str(job.folder)
    # A failed job is listed in the table; Hydra's own sweeper would end with its exception.
    value.status = JobStatus.COMPLETED
    value.return_value = task.returned(job.outcome, job.config)
    return value
