"""Callbacks that watch a training: its progress, learning rate and seconds, and where a member must stop or may."""

import copy
import math
import sys
import time
from contextlib import suppress
from typing import Any, TextIO

import lightning.pytorch as L
import torch
from tqdm import tqdm

from mlplab import options
from mlplab.errors import InputError
from mlplab.population.state import Members
from mlplab.rules import check_all, number, shown
from mlplab.training.members import MemberCallback, SingleMember, members_of


class DivergenceGuard(MemberCallback):
    """Stop a member at its first non-finite loss, with the state from before that block of minibatches.

    Under Lightning's own loop the state is that of the end of the epoch before.
    """

    takes_blocks = True

    def on_start(self, trainer: L.Trainer, members: Any) -> None:
        if isinstance(members, SingleMember):
            self._safe = copy.deepcopy(members.module.state_dict())
        else:
            members.guard = True

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, *_: Any) -> None:
        if isinstance(module, Members) or 0 in members_of(trainer, module).stops:
            return
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if isinstance(loss, torch.Tensor) and not bool(torch.isfinite(loss.detach()).all()):
            members_of(trainer, module).stop(0, "diverged")
            module.load_state_dict(self._safe)

    def on_epoch(self, trainer: L.Trainer, members: Any) -> None:
        if not isinstance(members, SingleMember) or 0 in members.stops:
            return
        state = members.module.state_dict()
        if all(bool(torch.isfinite(value).all()) for value in state.values() if value.is_floating_point()):
            self._safe = copy.deepcopy(state)
        else:  # no loss of the epoch contains its last step
            members.stop(0, "diverged")
            members.module.load_state_dict(self._safe)


class EarlyStopping(MemberCallback):
    """Stop a member whose metric has not improved for some epochs, and that has trained for ``min_epochs`` and ``min_steps``.

    Args:
        monitor: a metric of the epoch; accuracies are to rise, the others to fall.
        patience: measured epochs without improvement after which a member stops, >= 1.
        min_delta: what counts as an improvement must be larger than this, >= 0.
    """

    def __init__(self, monitor: str = "val/loss", patience: int = 10, min_delta: float = 0.0) -> None:
        check_all(
            options.EARLY_STOPPING, "callbacks.early_stopping", monitor=monitor, patience=patience, min_delta=min_delta
        )
        self.monitor, self.patience, self.min_delta = monitor, patience, min_delta
        self.sign = -1.0 if monitor.endswith("accuracy") else 1.0
        self.state: dict[int, dict[str, Any]] = {}

    def on_epoch(self, trainer: L.Trainer, members: Any) -> None:
        if self.monitor not in members.metrics:
            if self.monitor.startswith("val/") and not trainer.enable_validation:
                raise InputError(
                    f"callbacks.early_stopping.monitor is {self.monitor}, but there are no validation points: "
                    "set data.validation_points above 0"
                )
            return
        enough = members.epochs >= (trainer.min_epochs or 0) and members.steps >= (trainer.min_steps or 0)
        for index, value in enumerate(members.metrics[self.monitor].tolist()):
            own = self.state.setdefault(index, {"best": math.inf, "waited": 0})
            if self.sign * value < own["best"] - self.min_delta:
                own["best"], own["waited"] = self.sign * value, 0
            else:
                own["waited"] += 1
                if enough and own["waited"] >= self.patience and index not in members.stops:
                    members.stop(index, "early stopping")
        trainer.should_stop |= len(members.stops) == members.members

    def member_state(self, index: int) -> dict[str, Any]:
        return dict(self.state.get(index, {}))

    def load_member_state(self, index: int, state: dict[str, Any], members: Any) -> None:
        if state:
            self.state[index] = dict(state)


class LearningRateMonitor(MemberCallback):
    """Add ``lr``, the learning rate of the last step of the epoch, to each epoch's metrics."""

    takes_blocks = True

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        # Lightning moves its schedules before the end of a batch, and so before it can be read after a step.
        if not isinstance(module, Members):
            self._rates = members_of(trainer, module).rates

    def on_epoch(self, trainer: L.Trainer, members: Any) -> None:
        rates = self._rates if isinstance(members, SingleMember) else members.rates
        members.metrics["lr"] = torch.tensor(rates, dtype=torch.float64)


class Timing(MemberCallback):
    """Measure the seconds of the fit, over all sessions of a resumed run.

    Attributes:
        seconds: fit time so far, validation and records included.
        epochs: epochs of this session.
    """

    def __init__(self) -> None:
        self.before = 0.0
        self.epochs = 0
        self._start: float | None = None

    @property
    def seconds(self) -> float:
        return self.before + (time.perf_counter() - self._start if self._start is not None else 0.0)

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._start = time.perf_counter()

    def on_epoch(self, trainer: L.Trainer, members: Any) -> None:
        self.epochs += 1

    def on_fit_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.before, self._start = self.seconds, None

    def member_state(self, index: int) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_member_state(self, index: int, state: dict[str, Any], members: Any) -> None:
        self.before = state["seconds"]


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
        self.every_seconds = number(0).check("callbacks.progress.every_seconds", every_seconds)
        if stream is not None and not callable(getattr(stream, "write", None)):
            raise InputError(f"callbacks.progress.stream must be a stream of text or None, got {shown(stream)}")
        self.stream = stream
        self._bar: tqdm | None = None
        self._start = self._last = 0.0
        self._first = self._shown = 0

    def on_start(self, trainer: L.Trainer, members: Any) -> None:
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

    def on_end(self, trainer: L.Trainer, members: Any) -> None:
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
