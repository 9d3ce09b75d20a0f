"""What Hydra's launcher does: compose every job, run what is missing, tell what came of it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from mlplab.runs.manifest import without_secrets
from mlplab.runs.plain_yaml import plain_yaml
from mlplab.runs.signals import sigterm_is_ctrl_c
from mlplab.sweeps.composer import Composer
from mlplab.sweeps.display import Display
from mlplab.sweeps.executors import Processes, make_executor
from mlplab.sweeps.jobs import Job, place_jobs
from mlplab.sweeps.lock import locked
from mlplab.sweeps.record import Outcome
from mlplab.sweeps.sweep import Sweep
from mlplab.sweeps.units import on_gpu

# The study whose jobs train as populations; jobs of the others are run one by one.
POPULATION_STUDY = "mlplab.cli.train:train"
# Stands for a job's number in a text that many jobs share.
JOB_NUMBER = 909_909_909


def launch(
    master: DictConfig, loader: Any, task: Any, job_overrides: Sequence[Sequence[str]]
) -> Sequence[JobReturn]:
    """Run the jobs of a sweep.

    Args:
        master: the sweep's config with its ``hydra`` node.
        loader: Hydra's config loader.
        task: the app's task function; it carries ``study`` (``module:function``), ``resolve`` and ``check``
            (see :class:`~mlplab.sweeps.composer.Composer`) and ``collect``, which takes each job's result.
        job_overrides: of each job.

    Returns:
        One return a job, whose value is the job's result.
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
        try:
            with sigterm_is_ctrl_c():  # again, and not sooner: Ray would set its own answer to the signal
                if isinstance(executor, Processes):
                    executor.warm_up()
                jobs = compose_jobs(folder, master, loader, task, job_overrides, display)
                sweep = Sweep(
                    folder,
                    jobs,
                    executor,
                    study=task.study,
                    population=task.study == POPULATION_STUDY,
                    max_members=options["max_members"],
                    timeout_s=options["timeout_s"],
                    accept_code=bool(master.get("resume", {}).get("accept_code")),
                    command=without_secrets(sys.argv),
                    hydra_files=HydraFiles(),
                    display=display,
                )
                outcomes = sweep.run()
        finally:
            executor.close()
    tell(sweep, display)
    for outcome in outcomes:
        task.collect(outcome.result or {"status": outcome.status, "error": outcome.error})
    return [job_return(job, outcome) for job, outcome in zip(jobs, outcomes)]


def compose_jobs(
    folder: Path,
    master: DictConfig,
    loader: Any,
    task: Any,
    job_overrides: Sequence[Sequence[str]],
    display: Display,
) -> list[Job]:
    """Compose every job before any of them starts, so that editing conf/ changes nothing any more."""
    composer = Composer(loader, master, task.resolve, task.check)
    composed = []
    for number, overrides in enumerate(job_overrides):
        display.composing(number, len(job_overrides))
        composed.append(composer.compose(overrides, number))
    return place_jobs(folder, composed, job_overrides)


class HydraFiles:
    """Write what Hydra leaves in ``.hydra/`` of a job; its node is written once for jobs that share it."""

    def __init__(self) -> None:
        self._templates: dict[int, str] = {}

    def __call__(self, job: Job) -> dict[str, str]:
        """Give the names and texts of a job's files."""
        text = self._templates.get(id(job.hydra))
        if text is None:
            text = self._templates[id(job.hydra)] = hydra_template(job.hydra)
        overrides = plain_yaml(job.overrides)
        indented = "".join(f"    {line}\n" for line in overrides.splitlines())
        own = {
            "OVERRIDES": indented.rstrip("\n"),
            "OUTPUT_DIR": str(job.folder),
            "JOB_NUMBER": str(job.number),
            str(JOB_NUMBER): str(job.number),
        }
        for mark, value in own.items():
            text = text.replace(f"    - {mark}" if mark == "OVERRIDES" else mark, value)
        return {"config.yaml": plain_yaml(job.config), "overrides.yaml": overrides, "hydra.yaml": text}


def hydra_template(node: DictConfig) -> str:
    """Write Hydra's node once, with a place for what differs from job to job: writing it takes 20 ms."""
    node = node.copy()
    with read_write(node), open_dict(node):
        node.overrides.task = ["OVERRIDES"]
        node.runtime.output_dir = "OUTPUT_DIR"
        node.job.override_dirname = ""
        node.job.id, node.job.num = "JOB_NUMBER", JOB_NUMBER
    return OmegaConf.to_yaml(OmegaConf.create({"hydra": node}))


def tell(sweep: Sweep, display: Display) -> None:
    """Say what came of the sweep, and last what failed: each with its folder and its traceback there."""
    bad = [(job, sweep.outcomes[job.digest]) for job in sweep.jobs if sweep.outcomes[job.digest].error]
    good = sum(outcome.status == "finished" for outcome in sweep.outcomes.values())
    display.note(f"{good} of {len(sweep.jobs)} jobs finished" + (f", {len(bad)} did not:" if bad else ""))
    for job, outcome in bad:
        file = job.folder / "traceback.txt"
        display.note(
            f"{outcome.status}: {file if outcome.status == 'failed' else job.folder}: {outcome.error}"
        )


def job_return(job: Job, outcome: Outcome) -> JobReturn:
    """Give Hydra what its sweepers ask for."""
    value = JobReturn()
    value.overrides = job.overrides
    value.task_name = HydraConfig.get().job.name if HydraConfig.initialized() else "mlplab"
    value.working_dir = str(job.folder)
    # A failed job is told in the table; Hydra's own sweeper would end with its exception.
    value.status = JobStatus.COMPLETED
    value.return_value = outcome.result or {"status": outcome.status, "error": outcome.error}
    return value
