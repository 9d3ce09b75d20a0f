"""One live line while a run trains; plain lines where there is no terminal."""

import sys
import time
from contextlib import suppress
from typing import Any, TextIO

import lightning.pytorch as L
from tqdm import tqdm

from mlplab.training.callbacks.member import MemberCallback
from mlplab.training.classifier import Classifier


class Unbroken:
    """A stream of text that nobody may read any more, or whose disk is full: no reason to stop training."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Progress(MemberCallback):
    """Show the epoch, loss and accuracy on train and validation points, and the time left.

    Args:
        every_seconds: without a terminal, print a line when this much time has passed, and at the end.
        stream: where to; standard error by default.
    """

    def __init__(self, every_seconds: float = 5.0, stream: TextIO | None = None) -> None:
        self.every_seconds = every_seconds
        self.stream = stream
        self._bar: tqdm | None = None
        self._start = self._last = 0.0
        self._first = 0

    def on_train_start(self, trainer: L.Trainer, classifier: Classifier) -> None:
        stream = Unbroken(self.stream or sys.stderr)
        self._start = self._last = time.monotonic()
        self._first = classifier.epochs
        if stream.isatty():
            self._bar = tqdm(
                total=classifier.total_epochs, initial=classifier.epochs, file=stream, dynamic_ncols=True,
                bar_format="epoch {n_fmt}/{total_fmt} {bar}{postfix} {remaining} left", leave=True,
                mininterval=0.1,
            )  # fmt: skip

    def on_epoch(self, trainer: L.Trainer, classifier: Classifier) -> None:
        # The figures are only read where they are shown: on a GPU each reading waits for the device.
        if self._bar is not None:
            if time.monotonic() - self._last >= 0.1 or classifier.epochs == classifier.total_epochs:
                self._last = time.monotonic()
                self._bar.set_postfix_str(describe(classifier.metrics), refresh=False)
            self._bar.update(classifier.epochs - self._bar.n)
            return
        now = time.monotonic()
        final = classifier.epochs == classifier.total_epochs or trainer.should_stop
        if now - self._last >= self.every_seconds or final or classifier.epochs == self._first + 1:
            self._last = now
            left = (now - self._start) / (classifier.epochs - self._first) * (classifier.total_epochs - classifier.epochs)
            print(
                f"epoch {classifier.epochs}/{classifier.total_epochs}  {describe(classifier.metrics)}"
                + ("" if final else f"  {left:.0f} s left"),
                file=Unbroken(self.stream or sys.stderr), flush=True,
            )  # fmt: skip

    def on_train_end(self, trainer: L.Trainer, classifier: Classifier) -> None:
        self._close()

    def on_exception(self, trainer: L.Trainer, classifier: Classifier, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def describe(metrics: dict[str, Any]) -> str:
    """Write loss and accuracy of both parts: ``train 0.123 98.1 %  val 0.145 97.5 %`` (means over members)."""
    parts = []
    for part in ("train", "val"):
        if f"{part}/loss" in metrics:
            loss, accuracy = (float(metrics[f"{part}/{figure}"].nanmean()) for figure in ("loss", "accuracy"))
            parts.append(f"{part} {loss:.3f} {100 * accuracy:.1f} %")
    return "  ".join(parts)
