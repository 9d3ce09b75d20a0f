"""One live line while a run trains; plain lines where there is no terminal."""

import sys
import time
from contextlib import suppress
from typing import Any, TextIO

import lightning.pytorch as L
from tqdm import tqdm

from mlplab.training.callbacks.member import MemberCallback
from mlplab.training.single import members_of


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
        self._first = self._shown = 0

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        members = members_of(trainer, module)
        stream = Unbroken(self.stream or sys.stderr)
        self._start = self._last = time.monotonic()
        self._first = self._shown = members.epochs
        if stream.isatty():
            self._bar = tqdm(
                total=members.total_epochs,
                initial=members.epochs,
                file=stream,
                dynamic_ncols=True,
                bar_format="epoch {n_fmt}/{total_fmt} {bar}{postfix} {remaining} left",
                leave=True,
                mininterval=0.1,
            )

    def on_epoch(self, trainer: L.Trainer, members: Any) -> None:
        # The metrics are only read where they are shown: on a GPU each reading waits for the device.
        if self._bar is not None:
            if time.monotonic() - self._last >= 0.1 or members.epochs == members.total_epochs:
                self._last = time.monotonic()
                self._bar.set_postfix_str(describe(members.metrics), refresh=False)
            self._bar.update(members.epochs - self._bar.n)
            return
        now, done, total = time.monotonic(), members.epochs - self._first, members.total_epochs
        if (now - self._last >= self.every_seconds or done == 1) and members.epochs < total:
            self._last = now
            self._print(members, f"  {(now - self._start) / done * (total - members.epochs):.0f} s left")

    def _print(self, members: Any, left: str = "") -> None:
        self._shown = members.epochs
        line = f"epoch {members.epochs}/{members.total_epochs}  {describe(members.metrics)}{left}"
        print(line, file=Unbroken(self.stream or sys.stderr), flush=True)

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        members = members_of(trainer, module)
        if self._bar is None and members.epochs > self._shown:  # whichever callback ended the training
            self._print(members)
        self._close()

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def describe(metrics: dict[str, Any]) -> str:
    """Write loss and accuracy of both parts, where they were logged: ``train 0.123 98.1 %  val 0.145 97.5 %`` (means over members)."""
    parts = []
    for part in ("train", "val"):
        values = [
            float(metrics[name].nanmean()) if (name := f"{part}/{kind}") in metrics else None
            for kind in ("loss", "accuracy")
        ]
        words = [form.format(value) for form, value in zip(("{:.3f}", "{:.1%}"), values) if value is not None]
        parts += [" ".join([part, *words]).replace("%", " %")] if words else []
    return "  ".join(parts)
