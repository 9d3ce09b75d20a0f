"""The task that the lab gives to hydra.main, by which its launcher and sweeper know a job of the lab's own."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig

from mlplab.errors import UNWRITABLE, Ended, InputError, hides_interrupt
from mlplab.runs.metrics import judged
from mlplab.runs.signals import received


class Objective(float):
    """What a job returns to a Hydra sweeper: the metric that is aimed at, and the whole result beside it."""

    result: dict[str, Any]


class Objectives(tuple):
    """The same for several metrics."""

    result: dict[str, Any]


@dataclass
class Task:
    """Run one job in the folder that Hydra has made for it.

    Attributes:
        study: what is run, as ``module:function``; jobs elsewhere import it.
        run: runs a job's config and gives its result.
        resolve: gives the plain values of a config.
        check: checks plain values and gives them back.
        command: the words of the command line.
        results: of the jobs that ran in this process, or that a launcher returned.
    """

    study: str
    run: Callable[[DictConfig], Any]
    resolve: Callable[[DictConfig], dict[str, Any]]
    check: Callable[[dict[str, Any]], dict[str, Any]]
    command: list[str]
    results: list[Any] = field(default_factory=list)

    def __call__(self, config: DictConfig) -> float | tuple:
        """Run a job.

        Returns:
            Its objective, ``search.objective``: a float, or a tuple of floats; for one that diverged the worst.

        Raises:
            Ended: bad input, a full disk or an interrupt, which Hydra is not to tell as the job's failure.
        """
        before, sys.argv = sys.argv, self.command  # what a run's manifest records
        try:
            with ending():
                result = self.run(config)
        finally:
            sys.argv = before
        self.results.append(result)
        return self.returned(result, config)

    def returned(self, result: Any, config: Any) -> float | tuple:
        """Make of a job's result what Hydra is given."""
        whole = result if isinstance(result, dict) else {"status": "finished"}
        metrics = judged(whole, config["search"]["objective"])
        value = Objective(metrics) if isinstance(metrics, float) else Objectives(metrics)
        value.result = whole
        return value

    def conclude(self, result: Any) -> None:
        """Take what alone decides the exit code, as a search does."""
        self.results[:] = [result]


@contextmanager
def ending(all_errors: bool = False) -> Iterator[None]:
    """Turn what a command answers in one line into :class:`Ended`, and find an interrupt that went under.

    Args:
        all_errors: turn every error into it: they are the sweep's and no job's.
    """
    try:
        yield
    except Exception as error:
        if hides_interrupt(error) or received():
            raise KeyboardInterrupt from error
        unwritable = isinstance(error, OSError) and error.errno in UNWRITABLE
        if all_errors or unwritable or isinstance(error, InputError | PermissionError | BrokenPipeError):
            raise Ended from error
        raise
