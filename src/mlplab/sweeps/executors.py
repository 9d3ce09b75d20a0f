"""Where groups run: in this process, in processes of their own, or on a cluster."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import Any, Protocol

from mlplab.errors import InputError
from mlplab.sweeps import worker
from mlplab.words import pip_line

KILL_WITHIN_S = 2.0


class Handle(Protocol):
    """One group on its way."""

    def alive(self) -> bool:
        """Say whether it still runs."""

    def end(self) -> str:
        """Say in one line how it ended, where it reported nothing itself."""

    def kill(self) -> None:
        """End it at once."""


class Executor(Protocol):
    """Starts groups; ``workers`` of them at a time, at a ``place`` that is said in words."""

    workers: int
    place: str

    def start(self, payload: dict[str, Any]) -> Handle:
        """Start a group, given as :func:`mlplab.sweeps.worker.run_group` takes it."""

    def close(self) -> None:
        """Release what it holds."""


def physical_cores() -> int:
    """Count the physical cores that this process may use; logical ones where the system does not tell."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = set()
    for cpu in allowed:
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        try:
            cores.add(((topology / "physical_package_id").read_text(), (topology / "core_id").read_text()))
        except OSError:
            return len(allowed)
    return len(cores) or 1


class Inline:
    """Run each group in this process, one after another; a crash ends the sweep."""

    def __init__(self) -> None:
        self.workers, self.place = 1, "in this process"

    def start(self, payload: dict[str, Any]) -> "Done":
        worker.run_group({**payload, "inline": True})
        return Done("it ended without a word")

    def close(self) -> None:
        pass


class Done:
    """A group that has ended."""

    def __init__(self, words: str) -> None:
        self.words = words

    def alive(self) -> bool:
        return False

    def end(self) -> str:
        return self.words

    def kill(self) -> None:
        pass


class Processes:
    """Run each group in a fresh process, forked from a server that has imported torch and Lightning once.

    Args:
        workers: processes at a time; one per physical core by default.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or physical_cores()
        self.place = f"in {self.workers} processes" if self.workers > 1 else "in a process"
        method = "forkserver" if sys.platform != "win32" else "spawn"
        self.context = multiprocessing.get_context(method)
        if method == "forkserver":
            self.context.set_forkserver_preload(["mlplab.sweeps.preload"])

    def warm_up(self) -> None:
        """Let the server import while this process goes on composing jobs."""
        if self.context.get_start_method() == "forkserver":
            threading.Thread(target=self._ensure, daemon=True).start()

    def _ensure(self) -> None:
        from multiprocessing import forkserver

        forkserver.ensure_running()

    def start(self, payload: dict[str, Any]) -> "Process":
        process = self.context.Process(target=worker.process_main, args=(payload,), daemon=True)
        process.start()
        return Process(process)

    def close(self) -> None:
        pass


class Process:
    """A group in a process of its own."""

    def __init__(self, process: Any) -> None:
        self.process = process

    def alive(self) -> bool:
        return self.process.is_alive()

    def end(self) -> str:
        self.process.join()
        code = self.process.exitcode
        if code is not None and code < 0:
            return f"its process was killed by {signal.Signals(-code).name}"
        return f"its process ended with exit code {code}"

    def kill(self) -> None:
        if self.process.is_alive():
            # Its fault handler writes a traceback; then it is killed.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGABRT)
            self.process.join(KILL_WITHIN_S)
        self.process.kill()
        self.process.join()


class Submitit:
    """Run each group as a job of Slurm, or of submitit's local executor where there is no Slurm.

    Args:
        folder: for submitit's own files.
        workers: jobs at a time.
        cluster: "slurm", "local" or None for whichever is there.
        options: further parameters for submitit, such as ``timeout_min`` or ``slurm_partition``.
    """

    def __init__(self, folder: Path, workers: int | None, cluster: str | None, options: dict[str, Any]) -> None:
        try:
            import submitit
        except ImportError as error:
            raise InputError(f"launcher=submitit needs submitit: {pip_line('submitit')}") from error
        self.workers = workers or 16
        for_slurm = sorted(name for name in options if name.startswith("slurm_"))
        if for_slurm and cluster is None and shutil.which("srun") is None:
            raise InputError(
                f"launcher.options has {', '.join(for_slurm)}, and there is no Slurm here (no srun is found); "
                "start this where Slurm is, or leave them out with launcher.cluster=local to run on this machine"
            )
        try:
            self.executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
            self.executor.update_parameters(**{"cpus_per_task": 1, "timeout_min": 24 * 60, **options})
        except Exception as error:  # no Slurm here, no such parameter: submitit has many kinds for these
            raise InputError(
                f"launcher=submitit cannot be used with launcher.cluster={cluster or 'null'} and "
                f"launcher.options={options}: {' '.join(str(error).split())}"
            ) from error
        if self.executor.cluster == "slurm":
            partition = options.get("slurm_partition")
            self.place = "as jobs of Slurm" + (f" in the partition {partition}" if partition else "")
        else:
            self.place = "as processes of submitit on this machine" + (
                "" if cluster == "local" else ": there is no Slurm here"
            )

    def start(self, payload: dict[str, Any]) -> "SubmititJob":
        return SubmititJob(self.executor.submit(worker.run_group, payload))

    def close(self) -> None:
        pass


class SubmititJob:
    """A group that submitit has taken."""

    def __init__(self, job: Any) -> None:
        self.job = job

    def alive(self) -> bool:
        return not self.job.done()

    def end(self) -> str:
        try:
            error = self.job.exception()
        except Exception as failure:  # whatever happened to the job's files
            error = failure
        return f"job {self.job.job_id}: {worker.one_line(error) if error else self.job.state}"

    def kill(self) -> None:
        self.job.cancel()


class Ray:
    """Run each group as a task of Ray, on this machine or on the cluster at ``address``.

    Args:
        workers: tasks at a time; as many as Ray has cores by default.
        address: of a cluster, or None to start Ray here.
    """

    def __init__(self, workers: int | None, address: str | None) -> None:
        try:
            import ray
        except ImportError as error:
            raise InputError(f"launcher=ray needs Ray: {pip_line('ray')}") from error
        self.ray = ray
        self.started = not ray.is_initialized()
        if self.started:
            ray.init(
                address=address,
                num_cpus=None if address else (workers or physical_cores()),
                include_dashboard=False,
                configure_logging=False,
                log_to_driver=False,
            )
        self.workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        self.place = f"as tasks of Ray {f'at {address}' if address else 'on this machine'}"
        self.task = ray.remote(num_cpus=1, max_retries=0)(worker.run_group)

    def start(self, payload: dict[str, Any]) -> "RayTask":
        return RayTask(self.ray, self.task.remote(payload))

    def close(self) -> None:
        if self.started:
            self.ray.shutdown()


class RayTask:
    """A group that Ray has taken."""

    def __init__(self, ray: Any, reference: Any) -> None:
        self.ray, self.reference = ray, reference

    def alive(self) -> bool:
        return not self.ray.wait([self.reference], timeout=0)[0]

    def end(self) -> str:
        try:
            self.ray.get(self.reference)
        except Exception as error:  # Ray wraps whatever a task may raise
            return worker.one_line(error)
        return "it ended without a word"

    def kill(self) -> None:
        self.ray.cancel(self.reference, force=True)


EXECUTORS = ("inline", "processes", "submitit", "ray")


def make_executor(options: dict[str, Any], folder: Path) -> Executor:
    """Build the executor that the config group ``launcher`` names.

    Args:
        options: the group's values.
        folder: of the sweep.

    Raises:
        InputError: an unknown name, or an extra that is not installed.
    """
    name, workers = options["executor"], options["workers"]
    if name == "inline":
        return Inline()
    if name == "processes":
        return Processes(workers)
    if name == "submitit":
        return Submitit(folder / ".groups" / "submitit", workers, options.get("cluster"), options.get("options") or {})
    if name == "ray":
        return Ray(workers, options.get("address"))
    raise InputError(f"launcher.executor must be one of {', '.join(EXECUTORS)}, got {name!r}")
