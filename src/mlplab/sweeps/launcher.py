"""What Hydra's launcher does: compose every job, run what is missing, tell what came of it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from mlplab.runs.manifest import without_secrets
from mlplab.sweeps.display import Display
from mlplab.sweeps.executors import Processes, make_executor
from mlplab.sweeps.jobs import Composer, Job, place_jobs
from mlplab.sweeps.sweep import Outcome, Sweep

# The study whose jobs train as populations; jobs of the others are run one by one.
POPULATION_STUDY = "mlplab.studies.train:train"


def launch(
    master: DictConfig, loader: Any, task: Any, job_overrides: Sequence[Sequence[str]]
) -> Sequence[JobReturn]:
    """Run the jobs of a sweep.

    Args:
        master: the sweep's config with its ``hydra`` node.
        loader: Hydra's config loader.
        task: the app's task function; it carries ``study`` (``module:function``), ``check`` (of a config) and
            ``collect``, which takes the result of each job.
        job_overrides: of each job.

    Returns:
        One return a job, whose value is the job's result.
    """
    setup_globals()
    configure_log(master.hydra.hydra_logging, master.hydra.verbose)
    options = OmegaConf.to_container(master.launcher, resolve=True)
    folder = Path(str(master.hydra.sweep.dir)).absolute()
    display = Display()
    executor = make_executor(options, folder)
    if isinstance(executor, Processes):
        executor.warm_up()
    jobs = compose_jobs(folder, master, loader, task.check, job_overrides, display)
    sweep = Sweep(
        folder, jobs, executor, study=task.study, population=task.study == POPULATION_STUDY,
        max_members=options["max_members"], timeout_s=options["timeout_s"],
        accept_code=bool(master.get("resume", {}).get("accept_code")), command=without_secrets(sys.argv),
        display=display,
    )  # fmt: skip
    try:
        outcomes = sweep.run()
    finally:
        executor.close()
    tell(sweep, display)
    for outcome in outcomes:
        task.collect(outcome.result or {"status": outcome.status, "error": outcome.error})
    return [job_return(job, outcome) for job, outcome in zip(jobs, outcomes)]


def compose_jobs(
    folder: Path, master: DictConfig, loader: Any, check: Any, job_overrides: Sequence[Sequence[str]], display: Display
) -> list[Job]:
    """Compose every job before any of them starts, so that editing conf/ changes nothing any more."""
    composer = Composer(loader, master, check)
    composed = []
    for number, overrides in enumerate(job_overrides):
        display.composing(number, len(job_overrides))
        composed.append(composer.compose(overrides))
    jobs = place_jobs(folder, composed, job_overrides)
    templates: dict[int, str] = {}
    for job in jobs:
        if id(job.hydra) not in templates:
            templates[id(job.hydra)] = hydra_template(job.hydra)
        text = templates[id(job.hydra)]
        task_overrides = OmegaConf.to_yaml(OmegaConf.create(list(job.overrides)))
        indented = "".join(f"    {line}\n" for line in task_overrides.splitlines())
        job.hydra_files = {
            "overrides.yaml": task_overrides,
            "hydra.yaml": text.replace("    - OVERRIDES\n", indented).replace("OUTPUT_DIR", str(job.folder)),
        }
    return jobs


def hydra_template(node: DictConfig) -> str:
    """Write Hydra's node once, with a place for what differs from job to job: writing it takes 20 ms."""
    node = node.copy()
    with read_write(node), open_dict(node):
        node.overrides.task = ["OVERRIDES"]
        node.runtime.output_dir = "OUTPUT_DIR"
        node.job.override_dirname = ""
    return OmegaConf.to_yaml(OmegaConf.create({"hydra": node}))


def tell(sweep: Sweep, display: Display) -> None:
    """Say what failed and where its traceback is, and how to see the table."""
    bad = [(job, sweep.outcomes[job.digest]) for job in sweep.jobs if sweep.outcomes[job.digest].error]
    for job, outcome in bad:
        display.note(f"{outcome.status}: {job.folder}: {outcome.error}")
    good = sum(outcome.status == "finished" for outcome in sweep.outcomes.values())
    display.note(f"{good} of {len(sweep.jobs)} jobs finished" + (f", {len(bad)} did not" if bad else ""))


def job_return(job: Job, outcome: Outcome) -> JobReturn:
    """Give Hydra what its sweepers ask for."""
    value = JobReturn()
    value.overrides = job.overrides
    value.cfg = OmegaConf.create(job.config)
    value.hydra_cfg = OmegaConf.create({"hydra": job.hydra})
    value.task_name = HydraConfig.get().job.name if HydraConfig.initialized() else "mlplab"
    value.working_dir = str(job.folder)
    # A failed job is told in the table; Hydra's own sweeper would end with its exception.
    value.status = JobStatus.COMPLETED
    value.return_value = outcome.result or {"status": outcome.status, "error": outcome.error}
    return value
