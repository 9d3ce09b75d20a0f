"""Loggers for Lightning: TensorBoard event files and ``metrics.csv``, buffered and without threads."""

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from mlplab.runs.events import TensorBoardWriter
from mlplab.runs.metrics import MetricsFile


class RunFolderLogger(Logger):
    """A logger whose records lie in a run's folder, ``folder``, and go on from a checkpoint."""

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.folder)

    @property
    def log_dir(self) -> str:
        return str(self.folder)

    @abstractmethod
    def cut(self, epochs: int, steps: int) -> None:
        """Drop what was logged after a number of epochs and of steps, -1 for all of it."""

    def flush(self) -> None:
        """Bring what is held to disk."""
        self.save()

    def log_config(self, text: str) -> None:
        """Take the text of the run's config."""

    def log_final(self, metrics: Mapping[str, float], step: int, status: str) -> None:
        """Take the final metrics, and end the record: ``"success"`` or ``"failed"``."""
        self.finalize(status)


class Direct(Logger):
    """Hand what a callback or module logs itself (``trainer.logger.log_metrics``) to a run's own loggers.

    What Lightning logs, which has an ``epoch``, they have from the record, a row an epoch.

    Args:
        loggers: of a run folder.
    """

    def __init__(self, loggers: Sequence[RunFolderLogger]) -> None:
        super().__init__()
        self.loggers = loggers

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> None:
        """None: Lightning takes the trainer's, the run folder."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if "epoch" not in metrics:
            for logger in self.loggers:
                logger.log_metrics(metrics, step)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the run folder holds the config."""


class TensorBoardLogger(TensorBoardWriter, RunFolderLogger):
    """Write a run for TensorBoard: :class:`~mlplab.runs.events.TensorBoardWriter` as Lightning calls it."""

    log_metrics = rank_zero_only(TensorBoardWriter.log_metrics)
    log_image = rank_zero_only(TensorBoardWriter.log_image)
    log_text = rank_zero_only(TensorBoardWriter.log_text)
    log_config = rank_zero_only(TensorBoardWriter.log_config)
    log_hyperparams = rank_zero_only(TensorBoardWriter.log_hyperparams)
    log_final = rank_zero_only(TensorBoardWriter.log_final)
    purge = rank_zero_only(TensorBoardWriter.purge)
    flush = rank_zero_only(TensorBoardWriter.flush)
    save = rank_zero_only(TensorBoardWriter.flush)
    finalize = rank_zero_only(TensorBoardWriter.finalize)

    def cut(self, epochs: int, steps: int) -> None:
        self.purge(steps)


class CSVLogger(RunFolderLogger):
    """Write ``metrics.csv``, one row an epoch.

    Lightning logs an epoch in several calls (validation first, training after it); what carries the
    same ``epoch`` is joined into one row, and metrics without one are left out.

    Args:
        folder: the run folder; the file is ``folder/metrics.csv``.
        flush_every_s: write when the oldest finished row is this old; infinity leaves it to
            :meth:`flush`. Flush before a checkpoint.
        clock: seconds.
    """

    def __init__(self, folder: str | Path, flush_every_s: float = 2.0, clock: Callable[[], float] = time.monotonic):
        super().__init__()
        self.folder = Path(folder)
        self.flush_every_s = flush_every_s
        self.clock = clock
        self.file = MetricsFile(self.folder / "metrics.csv")
        self._rows: list[dict[str, float]] = []
        self._last = clock()

    @property
    def name(self) -> str:
        return self.folder.name

    def cut(self, epochs: int, steps: int) -> None:
        self.purge(epochs)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Buffer the metrics of an epoch; ``step`` is recorded as the column ``step``."""
        if "epoch" not in metrics:
            return
        epoch = int(metrics["epoch"])
        if not self._rows or self._rows[-1]["epoch"] != epoch:
            # The previous row is complete only now.
            if self._rows and self.clock() - self._last >= self.flush_every_s:
                self.flush()
            self._rows.append({"epoch": epoch})
        row = self._rows[-1]
        if step is not None:
            row["step"] = int(step)
        row.update((key, value) for key, value in metrics.items() if key != "epoch")

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the run folder holds the config."""

    @rank_zero_only
    def purge(self, epoch: int) -> None:
        """Drop the rows after an epoch, -1 for all of them, before going on from there."""
        self._rows.clear()
        self.file.cut(epoch)

    @rank_zero_only
    def flush(self) -> None:
        """Write what is buffered; call it between epochs, when the last row is complete."""
        self.file.extend(self._rows)
        self._rows.clear()
        self._last = self.clock()

    @rank_zero_only
    def save(self) -> None:
        """Do nothing: Lightning calls this between the two halves of an epoch's row."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.flush()
