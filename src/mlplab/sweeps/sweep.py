"""A sweep that no crash can lose: what is done stays done, what failed is reported, the rest continues."""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from mlplab.errors import InputError
from mlplab.runs import signals
from mlplab.runs.files import read_json, remove_leftovers
from mlplab.runs.folder import RunFolder, locked
from mlplab.runs.identity import code_digest
from mlplab.runs.manifest import write_status
from mlplab.sweeps.display import Display
from mlplab.sweeps.executors import Executor
from mlplab.sweeps.groups import Group, make_groups
from mlplab.sweeps.jobs import PlannedJob
from mlplab.sweeps.record import Record
from mlplab.sweeps.running import Exchange, Running
from mlplab.words import plural

POLL_S = 0.05
STOP_WITHIN_S = 120.0  # a second Ctrl-C does not wait
# A killed process may have been killed for another's use of memory: it is tried once more.
ATTEMPTS_OF_KILLED = 2
TRACEBACK = "traceback.txt"  # of a job that failed


class JobObserver(Protocol):
    """What is called for every job."""

    def started(self, job: PlannedJob) -> None:
        """Hear that a job begins."""

    def ended(self, job: PlannedJob) -> None:
        """Receive the outcome of a job."""


class SweepOptions(NamedTuple):
    """How the jobs of a sweep are run.

    Attributes:
        study: ``module:function`` of the study.
        population: its jobs train as populations where they stack.
        max_members: of a group; None for as many as its device is good for.
        timeout_s: a group that gives no sign of life for so long is killed; None for never.
        accept_code: keep results of other code.
        command: the words of the command line, secrets removed.
    """

    study: str
    population: bool
    max_members: int | None
    timeout_s: float | None
    accept_code: bool
    command: Sequence[str]


class Sweep:
    """Run the jobs of a sweep folder that have no result yet.

    Args:
        folder: of the sweep; made when missing.
        jobs: all jobs of this call.
        executor: where groups run.
        options: how.
        hydra_files: gives the names and texts of the files in a job's ``.hydra/``.
        callbacks: called when a job begins (``started(job)``) and when it has ended (``ended(job)``).
        display: where progress is shown.
    """

    def __init__(
        self,
        folder: Path,
        jobs: Sequence[PlannedJob],
        executor: Executor,
        options: SweepOptions,
        *,
        hydra_files: Callable[[PlannedJob], dict[str, str]],
        callbacks: JobObserver,
        display: Display,
    ) -> None:
        self.folder, self.executor, self.options = folder, executor, options
        self.hydra_files, self.callbacks, self.display = hydra_files, callbacks, display
        self.all = list(jobs)
        # Two jobs of the same config are one.
        self.jobs = list({job.digest: job for job in jobs}.values())
        self.counts = {"finished": 0, "diverged": 0, "failed": 0}
        self.best: tuple[float, str] | None = None

    def run(self) -> list[PlannedJob]:
        """Run what is missing and give every job with its outcome, in the order of the jobs.

        Raises:
            InputError: another sweep works in the folder, or results in it are of other code.
            KeyboardInterrupt: stopped; the running groups have saved their states.
        """
        with locked(self.folder):
            done = self._find_done()
            self.record = Record(self.folder, self.jobs, study=self.options.study, command=self.options.command)
            for job, result in done:
                if _read(RunFolder(job.folder).status).get("status") != result["status"]:  # killed between the two
                    write_status(job.folder, result["status"], _error(result), sync=False)
                self._finish(job, result)
            remove_leftovers(self.folder)
            pending = [job for job in self.jobs if job.status == "missing"]
            groups = make_groups(
                pending,
                [self._place(job) for job in pending],
                workers=self.executor.workers,
                max_members=self.options.max_members,
                stackable=self.options.population,
            )
            self.record.write(force=True)
            self.exchange = Exchange(self.folder)
            try:
                self._work(groups)
            finally:
                self.record.write(force=True)
                self.exchange.close()
        known = {job.digest: job for job in self.jobs}
        for job in self.all:
            same = known[job.digest]
            job.status, job.error, job.result = same.status, same.error, same.result
        return self.all

    def _find_done(self) -> list[tuple[PlannedJob, dict[str, Any]]]:
        done, foreign = [], []
        for job in self.jobs:
            folder = RunFolder(job.folder)
            result = _read(folder.result)
            if result.get("status") not in ("finished", "diverged"):
                continue
            manifest = _read(folder.manifest)
            if result.get("config_digest", manifest.get("config_digest")) != job.digest:
                continue
            if not self.options.accept_code and manifest.get("code_digest") != code_digest():
                foreign.append((job, manifest))
                continue
            done.append((job, result))
        if foreign:
            old = str(foreign[0][1].get("code_digest"))
            raise InputError(
                f"{len(foreign)} of {plural(len(self.jobs), 'job')} in {self.folder} {'has' if len(foreign) == 1 else 'have'} results of other code "
                f"({old[:8]}, now {code_digest()[:8]}): keep them with resume.accept_code=true, "
                "or take another name with sweep=NAME"
            )
        return done

    def _place(self, job: PlannedJob, ours: bool = False) -> tuple[int, int] | None:
        """Say where a job's checkpoint stands: epochs and minibatches; None to start afresh.

        Args:
            job: the job.
            ours: it was made by this very sweep, so that there is no question of its code.
        """
        path = RunFolder(job.folder).checkpoints / "last.ckpt"
        if not self.options.population or not path.is_file():
            return None
        from mlplab.runs import checkpoint

        manifest = _read(RunFolder(job.folder).manifest)
        if not (ours or self.options.accept_code) and manifest.get("code_digest") != code_digest():
            return None
        try:
            own = checkpoint.load(path).get("mlplab") or {}
        except InputError:
            return None
        if own.get("config_digest") != job.digest or own.get("stop"):
            return None
        # Lightning's own loop goes on from the end of an epoch, and counts in steps.
        return own["epochs"], own.get("minibatches", own["steps"])

    def _work(self, groups: list[Group]) -> None:
        waiting, running, ended = list(groups), [], 0
        total = sum(group.cost for group in groups) or 1.0
        spent = 0.0
        try:
            while waiting or running:
                while waiting and len(running) < self.executor.workers:
                    self._show(running, ended, ended + len(running) + len(waiting), spent / total)
                    running.append(self._start(waiting.pop(0)))
                for one in list(running):
                    self._listen(one)
                    if self._over(one):
                        running.remove(one)
                        again = self._conclude(one)
                        waiting[:0] = again
                        if not again:
                            spent += one.group.cost
                        ended += 1
                share = spent + sum(one.group.cost * one.share for one in running)
                self._show(running, ended, ended + len(running) + len(waiting), share / total)
                self.record.write()
                if running:
                    time.sleep(POLL_S)
        except KeyboardInterrupt:
            with signals.patient():
                self._stop(running)
            raise
        finally:
            with signals.patient():
                for one in running:
                    one.handle.kill()
        self._show([], ended, ended, 1.0, final=True)

    def _start(self, group: Group) -> Running:
        group.attempts += 1
        for job in group.jobs:
            if not group.resume:
                shutil.rmtree(job.folder, ignore_errors=True)
            job.folder.mkdir(exist_ok=True)
            self.callbacks.started(job)
        running = Running(group, self.exchange.open())
        running.handle = self.executor.start(
            {
                "study": self.options.study,
                "population": self.options.population,
                "resume": group.resume,
                "configs": [job.config for job in group.jobs],
                "folders": [str(job.folder) for job in group.jobs],
                "hydra": [self.hydra_files(job) for job in group.jobs],
                "environment": group.jobs[0].environment,
                **running.paths,
            }
        )
        return running

    def _listen(self, one: Running) -> None:
        for message in one.listen():
            if message["kind"] == "done":
                self._finish(one.group.jobs[message["index"]], message["result"])

    def _over(self, one: Running) -> bool:
        if not one.handle.alive():
            self._listen(one)
            return True
        if self.options.timeout_s is not None and one.silent_s > self.options.timeout_s:
            one.handle.kill()
            self._listen(one)
            one.failure = {"error": f"no sign of life for {self.options.timeout_s:g} s (launcher.timeout_s)"}
            return True
        return False

    def _conclude(self, one: Running) -> list[Group]:
        """Take down what a group came to; give the groups that are to be tried in its place."""
        left = [job for index, job in enumerate(one.group.jobs) if index not in one.done]
        reported = one.failure is not None
        error = one.failure["error"] if reported else one.handle.end()
        words = (one.failure or {}).get("traceback") or one.log_tail() or error
        one.close()
        if not left:
            return []
        if len(left) > 1:
            return Group(left).halves() if len(left) == len(one.group.jobs) else [Group(left)]
        job = left[0]
        if not reported and one.group.attempts < ATTEMPTS_OF_KILLED:
            place = self._place(job, ours=True)
            return [Group(left, resume=place is not None and not one.group.resume, attempts=one.group.attempts)]
        if one.group.resume:
            return [Group(left, attempts=one.group.attempts)]  # The checkpoint itself may be damaged.
        self._fail(job, error, words)
        return []

    def _finish(self, job: PlannedJob, result: dict[str, Any]) -> None:
        status = result.get("status", "finished")
        (job.folder / TRACEBACK).unlink(missing_ok=True)  # of an attempt before, perhaps of the writing of its status
        self._take(job, status, result, _error(result))
        value = ((result.get("validation") or result.get("fresh") or result.get("test")) or {}).get("nll")
        if status == "finished" and value is not None and (self.best is None or value < self.best[0]):
            self.best = value, job.name

    def _fail(self, job: PlannedJob, error: str, words: str) -> None:
        self._take(job, "failed", None, error)
        job.folder.mkdir(exist_ok=True)
        (job.folder / TRACEBACK).write_text(f"{error}\n" if words == error else f"{error}\n\n{words.rstrip()}\n")
        write_status(job.folder, "failed", error, sync=False)

    def _take(self, job: PlannedJob, status: str, result: dict[str, Any] | None, error: str | None) -> None:
        job.status, job.result, job.error = status, result, error
        self.counts[status] = self.counts.get(status, 0) + 1
        self.record.take(job)
        self.callbacks.ended(job)

    def _stop(self, running: list[Running]) -> None:
        """Let the running groups save their states, for a while."""
        self.display.note("stopping: the running groups save their states")
        for one in running:
            one.stop()
        deadline = time.monotonic() + STOP_WITHIN_S
        while any(one.handle.alive() for one in running) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        for one in running:
            self._listen(one)

    def _show(self, running: list[Running], ended: int, count: int, share: float, final: bool = False) -> None:
        self.display.show(
            groups=(ended, count),
            jobs=len(self.jobs),
            done=self.counts["finished"] + self.counts["diverged"],
            running=sum(len(one.group.jobs) - len(one.done) for one in running),
            failed=self.counts["failed"],
            best=self.best,
            share=share,
            final=final,
        )


def _error(result: dict[str, Any]) -> str | None:
    return f"the loss was not finite at step {result.get('steps')}" if result.get("status") == "diverged" else None


def _read(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path)
    except InputError:
        return {}
    return value if isinstance(value, dict) else {}
