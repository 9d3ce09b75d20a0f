"""A sweep that no crash can lose: what is done stays done, what failed is found and told, the rest goes on."""

import contextlib
import itertools
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlplab.errors import InputError
from mlplab.runs.files import read_json, write_json
from mlplab.runs.fingerprint import code_digest
from mlplab.runs.folder import RunFolder
from mlplab.runs.status import write_status
from mlplab.sweeps.display import Display
from mlplab.sweeps.executors import Executor, Handle
from mlplab.sweeps.jobs import Job, swept_values
from mlplab.sweeps.units import Unit, make_units

FORMAT = 1
POLL_S = 0.05
WRITE_EVERY_S = 2.0
STOP_WITHIN_S = 30.0
# A process that was killed may have been the victim of another one's hunger for memory: it gets a second chance.
ATTEMPTS_OF_KILLED = 2


@dataclass
class Outcome:
    """What came of a job: its result, or the line that says why there is none."""

    status: str
    result: dict[str, Any] | None = None
    error: str | None = None


@dataclass
class Running:
    """A unit on its way, and how far its messages have been read."""

    unit: Unit
    handle: Handle
    messages: Path
    read: int = 0
    heard: float = field(default_factory=time.monotonic)
    share: float = 0.0
    done: set[int] = field(default_factory=set)
    failure: dict[str, Any] | None = None
    over: bool = False
    interrupted: bool = False


class Sweep:
    """Run the jobs of a sweep folder that have no result yet.

    Args:
        folder: of the sweep; made when missing.
        jobs: all jobs of this call.
        executor: where units run.
        study: ``module:function`` of the study, and whether its jobs train as populations.
        population: train jobs that stack as one.
        max_members: of a unit.
        timeout_s: a unit that gives no sign of life for so long is killed; None for never.
        accept_code: keep results of other code.
        command: the words of the command line, secrets removed.
        display: where progress is shown.
    """

    def __init__(
        self, folder: Path, jobs: Sequence[Job], executor: Executor, *, study: str, population: bool,
        max_members: int, timeout_s: float | None, accept_code: bool, command: Sequence[str], display: Display,
    ) -> None:  # fmt: skip
        self.folder, self.executor, self.display = folder, executor, display
        self.study, self.population = study, population
        self.max_members, self.timeout_s, self.accept_code = max_members, timeout_s, accept_code
        self.command = list(command)
        self.all = list(jobs)
        # Two jobs of the same config are one.
        self.jobs = list({job.digest: job for job in jobs}.values())
        self.outcomes: dict[str, Outcome] = {}
        self.best: tuple[float, str] | None = None
        self.numbers = itertools.count()
        self._written = float("-inf")

    def run(self) -> list[Outcome]:
        """Run what is missing and give the outcome of every job, in the order of the jobs.

        Raises:
            InputError: another sweep works in the folder, or results in it are of other code.
            KeyboardInterrupt: stopped; the running units have saved their states.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder):
            self._find_done()
            pending = [job for job in self.jobs if job.digest not in self.outcomes]
            places = [self._place(job) for job in pending]
            units = make_units(
                pending, places, workers=self.executor.workers, max_members=self.max_members,
                stackable=self.population,
            )  # fmt: skip
            self._write(force=True)
            try:
                self._work(units)
            finally:
                self._write(force=True)
                if not any(self.folder.joinpath(".units").glob("*.log")):
                    shutil.rmtree(self.folder / ".units", ignore_errors=True)
        return [self.outcomes[job.digest] for job in self.all]

    # What is there already.

    def _find_done(self) -> None:
        foreign: list[Job] = []
        for job in self.jobs:
            folder = RunFolder(job.folder)
            if not folder.result.is_file():
                continue
            result, manifest = _read(folder.result), _read(folder.manifest)
            if result is None or result.get("config_digest", job.digest) != job.digest:
                continue
            if result.get("status") not in ("finished", "diverged"):
                continue
            if not self.accept_code and (manifest or {}).get("code_digest") not in (None, code_digest()):
                foreign.append(job)
                continue
            self._finish(job, result)
        if foreign:
            old = (_read(RunFolder(foreign[0].folder).manifest) or {}).get("code_digest", "")
            raise InputError(
                f"{len(foreign)} of {len(self.jobs)} jobs in {self.folder} have results of other code "
                f"({old[:8]}, now {code_digest()[:8]}): keep them with resume.accept_code=true, or take another "
                "name with sweep=NAME"
            )

    def _place(self, job: Job) -> tuple[int, int] | None:
        """Say where a job's checkpoint stands: epochs and minibatches; None to start afresh."""
        path = RunFolder(job.folder).checkpoints / "last.ckpt"
        if not self.population or not path.is_file():
            return None
        from mlplab.runs import checkpoint

        manifest = _read(RunFolder(job.folder).manifest) or {}
        if not self.accept_code and manifest.get("code_digest") != code_digest():
            return None
        try:
            payload = checkpoint.load(path)
        except InputError:
            return None
        if payload.get("config_digest") != job.digest or payload.get("stop"):
            return None
        return payload["epochs"], payload["minibatches"]

    # The work.

    def _work(self, units: list[Unit]) -> None:
        waiting, running, ended = list(units), [], 0
        total = sum(unit.cost for unit in units) or 1.0
        spent = 0.0
        try:
            while waiting or running:
                while waiting and len(running) < self.executor.workers:
                    unit = waiting.pop(0)
                    self._show(running, ended, ended + len(running) + len(waiting) + 1, spent / total)
                    running.append(self._start(unit))
                for one in list(running):
                    self._listen(one)
                    if self._over(one):
                        running.remove(one)
                        again = self._conclude(one)
                        waiting[:0] = again
                        if not again:
                            spent += one.unit.cost
                        ended += 1
                share = spent + sum(one.unit.cost * one.share for one in running)
                self._show(running, ended, ended + len(running) + len(waiting), share / total)
                self._write()
                if running:
                    time.sleep(POLL_S)
        except KeyboardInterrupt:
            self._stop(running)
            raise
        finally:
            for one in running:
                one.handle.kill()
        self._show([], ended, ended, 1.0, final=True)

    def _start(self, unit: Unit) -> Running:
        unit.attempts += 1
        place = self.folder / ".units"
        place.mkdir(exist_ok=True)
        stem = place / f"{next(self.numbers):05d}"
        messages, log = stem.with_suffix(".jsonl"), stem.with_suffix(".log")
        messages.touch()
        for job in unit.jobs:
            if not unit.resume:
                shutil.rmtree(job.folder, ignore_errors=True)
            job.folder.mkdir(exist_ok=True)
        payload = {
            "study": self.study, "population": self.population, "resume": unit.resume,
            "configs": [job.config for job in unit.jobs], "folders": [str(job.folder) for job in unit.jobs],
            "hydra": [job.hydra_files for job in unit.jobs], "messages": str(messages), "log": str(log),
        }  # fmt: skip
        running = Running(unit, None, messages)  # type: ignore[arg-type]
        running.handle = self.executor.start(payload)
        return running

    def _listen(self, one: Running) -> None:
        with open(one.messages) as file:
            file.seek(one.read)
            for line in file:
                if not line.endswith("\n"):
                    break  # Half a message; the rest comes.
                one.read += len(line.encode())
                one.heard = time.monotonic()
                self._hear(one, json.loads(line))

    def _hear(self, one: Running, message: dict[str, Any]) -> None:
        kind = message["kind"]
        if kind == "progress":
            one.share = message["epoch"] / max(1, message["epochs"])
        elif kind == "done":
            one.done.add(message["index"])
            self._finish(one.unit.jobs[message["index"]], message["result"])
        elif kind == "failed":
            one.failure = message
        elif kind == "interrupted":
            one.interrupted = True
        one.over |= kind in ("failed", "end", "interrupted")

    def _over(self, one: Running) -> bool:
        if not one.handle.alive():
            self._listen(one)
            return True
        silent = time.monotonic() - one.heard
        if self.timeout_s is not None and silent > self.timeout_s:
            one.handle.kill()
            one.failure = {"error": f"no sign of life for {silent:.0f} s (launcher.timeout_s={self.timeout_s:g})"}
            return True
        return False

    def _conclude(self, one: Running) -> list[Unit]:
        """Take down what a unit came to; give the units that are to be tried in its place."""
        left = [job for index, job in enumerate(one.unit.jobs) if index not in one.done]
        log = one.messages.with_suffix(".log")
        if not left:
            one.messages.unlink(missing_ok=True)
            log.unlink(missing_ok=True)
            return []
        if one.interrupted:
            raise KeyboardInterrupt
        told = one.failure is not None
        error = one.failure["error"] if told else one.handle.end()
        words = (one.failure or {}).get("traceback") or _tail(log) or error
        one.messages.unlink(missing_ok=True)
        log.unlink(missing_ok=True)
        if len(left) > 1:
            return Unit(left).halves() if len(left) == len(one.unit.jobs) else [Unit(left)]
        job = left[0]
        if not told and one.unit.attempts < ATTEMPTS_OF_KILLED:
            return [Unit(left, attempts=one.unit.attempts)]
        if one.unit.resume:
            return [Unit(left)]  # The checkpoint itself may be at fault.
        self._fail(job, error, words)
        return []

    def _finish(self, job: Job, result: dict[str, Any]) -> None:
        status = result.get("status", "finished")
        error = f"the loss was not finite at step {result.get('steps')}" if status == "diverged" else None
        self.outcomes[job.digest] = Outcome(status, result, error)
        value = ((result.get("validation") or result.get("fresh") or result.get("test")) or {}).get("nll")
        if status == "finished" and value is not None and (self.best is None or value < self.best[0]):
            self.best = value, job.name

    def _fail(self, job: Job, error: str, words: str) -> None:
        self.outcomes[job.digest] = Outcome("failed", None, error)
        job.folder.mkdir(exist_ok=True)
        (job.folder / "traceback.txt").write_text(words)
        write_status(job.folder, "failed", error)

    def _stop(self, running: list[Running]) -> None:
        """Let the running units save their states, for a while."""
        self.display.note("stopping: the running groups save their states")
        for one in running:
            one.handle.stop()
        deadline = time.monotonic() + STOP_WITHIN_S
        while any(one.handle.alive() for one in running) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        for one in running:
            self._listen(one)

    # The record.

    def _show(self, running: list[Running], ended: int, count: int, share: float, final: bool = False) -> None:
        good = sum(outcome.result is not None for outcome in self.outcomes.values())
        self.display.show(
            units=(ended, count), jobs=len(self.jobs), done=good,
            running=sum(len(one.unit.jobs) - len(one.done) for one in running),
            failed=sum(outcome.status == "failed" for outcome in self.outcomes.values()),
            best=f"best NLL {self.best[0]:.4f} {self.best[1]}" if self.best else "", share=share, final=final,
        )  # fmt: skip

    def _write(self, force: bool = False) -> None:
        """Write ``sweep.json``: all jobs of the folder, those of earlier calls included."""
        if not force and time.monotonic() - self._written < WRITE_EVERY_S:
            return
        self._written = time.monotonic()
        before = _read(self.folder / "sweep.json") or {}
        own = {job.digest for job in self.jobs}
        kept = [entry for entry in before.get("jobs", []) if entry["config_digest"] not in own]
        entries = kept + [self._entry(job) for job in self.jobs]
        swept = swept_values([entry["overrides"] for entry in entries])
        for entry, values in zip(entries, swept):
            entry["swept"] = values
        entries.sort(key=lambda entry: entry["name"])
        write_json(
            self.folder / "sweep.json",
            {
                "format": FORMAT, "name": self.folder.name, "study": self.study, "command": self.command,
                "swept": list(dict.fromkeys(key for values in swept for key in values)), "jobs": entries,
            },
            sync=force,
        )  # fmt: skip

    def _entry(self, job: Job) -> dict[str, Any]:
        outcome = self.outcomes.get(job.digest, Outcome("missing"))
        return {
            "name": job.name, "overrides": job.overrides, "config_digest": job.digest, "status": outcome.status,
            "error": outcome.error, "parameters": (outcome.result or {}).get("parameters"), "result": outcome.result,
        }  # fmt: skip


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a sweep folder to oneself; the lock goes with the process, however it ends.

    Raises:
        InputError: another process has it.
    """
    import fcntl

    with open(folder / ".lock", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise InputError(
                f"another sweep works in {folder} (process {file.read().strip() or 'unknown'}); wait for it, or take "
                "another name with sweep=NAME"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return read_json(path)
    except InputError:
        return None


def _tail(path: Path, most: int = 20000) -> str:
    try:
        return path.read_text(errors="replace")[-most:].strip()
    except OSError:
        return ""
