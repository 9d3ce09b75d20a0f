"""The engine: P networks trained in step through blocks of minibatches.

To Lightning it is a module whose batch is a block. Lightning's cost per optimiser step is many times that of so small a network, so the hot
loop stands here, and metrics are taken once an epoch from tensors.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import lightning.pytorch as L
import torch
from torch import Tensor, nn

from mlplab.errors import InputError
from mlplab.lightning_names import count_steps
from mlplab.nn.losses import BatchedLoss, CrossEntropy, count_hits, gradient_at_logits
from mlplab.population.blocks import Block, BlockLoader
from mlplab.population.member_axis import Population
from mlplab.population.optimizers import Adam, MemberOptimizer, moments_of, moments_of_members, subnormals_flushed
from mlplab.population.schedules import Constant, Schedule
from mlplab.population.stacking import stack
from mlplab.population.state import BestState, EpochSums, Members, Rules, Stop, all_finite, member_state, wide_float
from mlplab.torch_names import foreach_norm

PLAIN = CrossEntropy()
# Logits whose loss is taken at once, in bytes: a loss makes several arrays of their size, all in a core's cache.
PIECE_BYTES = 256 << 10


class PopulationModule(L.LightningModule, Members):
    """Train one network or many that share a shape, to what each would become by itself.

    Args:
        model: a module from (B, ...) to (B, C), a list of them, or a population.
        loss: a module from logits (B, C) and labels (B,) to a scalar; the lab's cross entropy by default.
        optimizer: function from a list of parameters to an elementwise optimiser; Adam by default.
        schedule: factor of the learning rate over the steps; constant by default.
        seeds: one seed a member for what it draws while training (dropout).
        monitor: the metric by which each member's best state is chosen.
        mode: "min" or "max".
    """

    def __init__(
        self,
        model: nn.Module | Sequence[nn.Module] | Population,
        *,
        loss: nn.Module | None = None,
        optimizer: Callable[[list[Tensor]], torch.optim.Optimizer] | None = None,
        schedule: Schedule | None = None,
        seeds: Sequence[int] | None = None,
        monitor: str = "val/loss",
        mode: str = "min",
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        if not isinstance(model, Population):
            modules = list(model) if isinstance(model, (list, tuple)) else [model]
            model = stack(modules, list(seeds) if seeds is not None else [0] * len(modules))
        self.population = model
        self.theta = nn.Parameter(model.theta, requires_grad=False)
        self.loss = loss if loss is not None else CrossEntropy()
        self.make_optimizer = optimizer or Adam
        self.schedule = schedule or Constant()
        self.rules = Rules()
        self.minibatches_per_epoch = 1
        self.steps = 0
        self.minibatches = 0
        self.epochs = 0
        self.sums = EpochSums()
        self._outputs: int | None = None  # of a network, known from its first minibatch
        self.stops: dict[int, Stop] = {}
        self.monitor, self.mode = monitor, mode
        self.best = BestState(model, mode)
        self.guard = False
        self.metrics: dict[str, Tensor] = {}
        self.optimizer: torch.optim.Optimizer | None = None
        self.gathered: Tensor | None = None
        self.interrupted = False
        # What is measured at the end of each so-many-th epoch, without Lightning's loop, which costs as much as an epoch.
        self.validation_points: tuple[Tensor, Tensor] | None = None
        self._closed = False

    @property
    def members(self) -> int:
        """Number of networks P."""
        return self.population.members

    @property
    def active(self) -> Tensor:
        """Which members are still trained: (P,) booleans."""
        active = torch.ones(self.members, dtype=torch.bool, device=self.population.theta.device)
        active[list(self.stops)] = False
        return active

    def configure_optimizers(self) -> torch.optim.Optimizer:
        self.place()
        return self.optimizer

    def place(self) -> None:
        """Bring the population to the module's device and type, and build the optimiser there, once."""
        device, dtype = self.theta.device, self.theta.dtype
        own = self.population.theta
        if self.optimizer is not None and (own.device, own.dtype) == (device, dtype):
            return
        self.population.to(device, dtype)
        self.theta.data = self.population.theta
        if self.optimizer is None:
            self.best = BestState(self.population, self.mode)
            self.optimizer = self.make_optimizer([self.theta])
            return
        # Placed before Lightning brought the module to its device, as when a run is resumed on a GPU.
        self.best.to(device, dtype)
        self.sums.to(device)
        self.gathered = None if self.gathered is None else self.gathered.to(device, dtype)
        moments = moments_of_members(self.optimizer, self.theta)
        moments_of(self.optimizer, self.theta).update(
            {name: value.to(device, dtype) for name, value in moments.items()}
        )

    def member_state(self, index: int) -> dict[str, Any]:
        """Collect what a member's training has come to; see :func:`mlplab.population.state.member_state`."""
        return member_state(self, index)

    def stop(self, index: int, reason: str) -> None:
        """End the training of one member; its parameters stay as they are now."""
        self.stops.setdefault(index, Stop(reason, self.epochs, self.steps))

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits: (B, ...) to (B, C) for one network, (P, B, ...) to (P, B, C) for many."""
        return self.population.forward(x[None])[0] if self.members == 1 else self.population.forward(x)

    def training_step(self, block: Block, index: int) -> None:
        """Walk the minibatches of a block."""
        count = self._minibatches_wanted(block)
        if count == 0:
            return
        active = [i not in self.stops for i in range(self.members)]
        losses, correct = [], []
        # Other optimisers than the lab's step all members at once, so groups of members cannot be processed in turn.
        runs = [slice(0, self.members)]
        if isinstance(self.optimizer, MemberOptimizer):
            runs = self.population.chunks(block.x.shape[2])
        # Without autograd each of the many small operations costs less.
        plain = self.population.is_written_out and isinstance(self.loss, BatchedLoss)
        with subnormals_flushed():
            for members in runs:
                if any(active[members]):
                    with torch.inference_mode(plain):
                        loss, hits = self._walk(members, block, count, active)
                else:
                    like = block.x.new_full((members.stop - members.start, count), torch.nan)
                    loss, hits = like, like
                losses.append(loss)
                correct.append(hits)
        before = self.steps
        self.steps += self._steps_within(block.first, count)
        self.minibatches += count
        self.sums.losses.append(torch.cat(losses))
        self.sums.correct.append(torch.cat(correct))
        self.sums.sizes += [block.x.shape[2]] * count
        count_steps(self.trainer, self.steps - before)

    def _walk(self, members: slice, block: Block, count: int, active: list[bool]) -> tuple[Tensor, Tensor]:
        """Train a run of p members through a block; give loss and hits of each minibatch, (p, S)."""
        population, rules = self.population, self.rules
        written_out = isinstance(self.loss, BatchedLoss)
        labels = block.y[members].transpose(0, 1).contiguous()  # (S, p, B)
        batches, answers = population.minibatches(block.x[members]), labels.unbind(0)
        keep = self.guard or not all(active[members])
        saved = self._state(members) if keep else None
        every, last = rules.accumulate_grad_batches, self.minibatches_per_epoch - 1
        take, total, epoch = self._stepping(members), rules.steps(last + 1), rules.steps_per_epoch(last + 1)
        step, logits, losses, targets = self.steps, [], [], None
        for k in range(count):
            if not written_out:
                gradient_of = partial(self._gradient_by_autograd, labels=answers[k], losses=losses)
            else:
                if targets is None:
                    classes = self._classes(batches[k])
                    q, a = self.loss.targets(labels, classes, population.theta.dtype)
                    targets = q.unbind(0), a.unbind(0)
                gradient_of = partial(gradient_at_logits, q=targets[0][k], a=targets[1][k])
            logits.append(population.backward(members, batches[k], gradient_of, self.minibatches + k))
            if self.gathered is not None:
                self.gathered[members] += population.gradient[members] / every
                if (block.first + k + 1) % every and block.first + k != last:
                    continue
                population.gradient[members] = self.gathered[members]
                self.gathered[members] = 0.0
            if rules.gradient_clip_val is not None:
                self._clip(members)
            take(step, self.schedule.at(step, total, epoch))
            step += 1
        # (S, p, B, C), laid out as each minibatch's.
        stacked = torch.stack([part.transpose(1, 2) for part in logits]).transpose(2, 3)
        labels = labels[:count]
        if written_out:
            loss, hits = (found.T for found in in_pieces(self.loss.measure, stacked, labels))
        else:
            loss, hits = torch.stack(losses, 1), in_pieces(count_hits, stacked, labels).T
        if keep:
            self._keep(members, saved, loss, active, block.first)
        return loss, hits

    def _classes(self, batch: Tensor) -> int:
        if self._outputs is None:
            self._outputs = self.population.forward(batch[:1, :1], slice(0, 1)).shape[-1]
        return self._outputs

    def _minibatches_wanted(self, block: Block) -> int:
        """Count the minibatches of the block that ``max_steps`` leaves room for."""
        count = block.x.shape[1]
        if self.rules.max_steps < 0:
            return count
        left = self.rules.max_steps - self.steps
        while count and self._steps_within(block.first, count) > left:
            count -= 1
        return count

    def _steps_within(self, first: int, count: int) -> int:
        """Count the optimiser steps among the minibatches first..first+count-1 of an epoch."""
        every, last = self.rules.accumulate_grad_batches, self.minibatches_per_epoch

        def done(n: int) -> int:
            return math.ceil(n / every) if n == last else n // every

        return done(first + count) - done(first)

    @property
    def total_epochs(self) -> int:
        """Epochs of the whole training; callbacks may ask before the module has the rules of the trainer."""
        loader = self.trainer.train_dataloader
        return self.trainer.rules.epochs(loader.per_epoch if isinstance(loader, BlockLoader) else 1)

    def factor(self, step: int) -> float:
        """Give the schedule's factor at an optimiser step, counted from 0."""
        total = self.rules.steps(self.minibatches_per_epoch)
        return self.schedule.at(step, total, self.rules.steps_per_epoch(self.minibatches_per_epoch))

    @property
    def rates(self) -> list[float]:
        """The learning rate that the last step used, one a member."""
        factor = self.factor(max(0, self.steps - 1))
        if isinstance(self.optimizer, MemberOptimizer):
            return [settings["lr"] * factor for settings in self.optimizer.settings]
        group = self.optimizer.param_groups[0]
        return [group.get("initial_lr", group["lr"]) * factor] * self.members

    def _gradient_by_autograd(self, logits: Tensor, labels: Tensor, losses: list[Tensor]) -> Tensor:
        with torch.enable_grad():
            logits = logits.detach().requires_grad_()
            values = _per_batch(self.loss, logits, labels)
            (gradient,) = torch.autograd.grad(values.sum(), logits)
        losses.append(values.detach())
        return gradient

    def _clip(self, members: slice) -> None:
        """Clip each member's gradient by itself: another member's NaN must not reach it."""
        gradient, limit = self.population.gradient[members], self.rules.gradient_clip_val
        if self.rules.gradient_clip_algorithm == "value":
            gradient.clamp_(-limit, limit)
        else:
            norms = torch.stack(foreach_norm(list(gradient.unbind(0))))
            gradient.mul_((limit / (norms + 1e-6)).clamp(max=1.0).unsqueeze(1))

    def _stepping(self, members: slice) -> Callable[[int, float], None]:
        """Give a function that takes a step: of its number, from 0, and the schedule's factor."""
        if isinstance(self.optimizer, MemberOptimizer):
            return self.optimizer.steps(members, self.population.gradient)
        return self._step_all

    def _step_all(self, step: int, factor: float) -> None:
        for group in self.optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
            group["lr"] = group["initial_lr"] * factor
        # Lightning drops gradients at the start of a fit, and a step without one silently changes nothing.
        self.theta.grad = self.population.gradient
        self.optimizer.step()

    def _state(self, members: slice) -> list[Tensor]:
        return [array[members].clone() for array in self._arrays()]

    def _arrays(self) -> list[Tensor]:
        """Everything of shape (P, S) that a step changes."""
        return [self.population.theta, *moments_of_members(self.optimizer, self.theta).values()]

    def _keep(self, members: slice, saved: list[Tensor], loss: Tensor, active: list[bool], first: int) -> None:
        """Put back the members that had ended, and those whose loss or state went non-finite in this block.

        The last step of a block shows in no loss of it, and the next block would save what that step broke.
        """
        low, arrays = members.start or 0, self._arrays()
        finite = torch.isfinite(loss).all(1)
        for array in arrays:
            finite &= all_finite(array[members])
        for row, fine in enumerate(finite.tolist()):
            if active[low + row] and (fine or not self.guard):
                continue
            for number, array in enumerate(arrays):
                # Moments of torch's own optimisers are made by the first step, and start at zero.
                array[low + row] = saved[number][row] if number < len(saved) else 0.0
            if active[low + row]:
                bad = (~torch.isfinite(loss[row])).nonzero()
                done = self._steps_within(first, int(bad[0]) if len(bad) else loss.shape[1])
                self.stops[low + row] = Stop("diverged", self.epochs, self.steps + done)

    def on_train_start(self) -> None:
        """Take the rules from the trainer and the place in the data from what has been trained."""
        loader = self.trainer.train_dataloader
        if not isinstance(loader, BlockLoader):
            raise InputError(
                "the PopulationModule trains from a BlockLoader (see the lab's data modules), "
                f"got {type(loader).__name__}"
            )
        self.rules = self.trainer.rules
        self.minibatches_per_epoch = loader.per_epoch
        loader.to(self.theta.device).served = self.minibatches
        if self.rules.accumulate_grad_batches > 1 and self.gathered is None:
            self.gathered = torch.zeros_like(self.population.gradient)

    def on_train_epoch_start(self) -> None:
        if self.minibatches % self.minibatches_per_epoch == 0:
            self.sums.clear()
        self.metrics, self._closed = {}, False

    def on_train_batch_end(self, *_: Any) -> None:
        # Inside an epoch a stop waits for the end of the block, at its end for validation.
        if self.interrupted and self.minibatches % self.minibatches_per_epoch:
            self.trainer.should_stop = True

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Measure loss, NLL and accuracy of every member on all validation points at once."""
        x, y = batch
        logits = self.population.forward(x)
        labels = y.expand(len(logits), -1)
        wide = wide_float(logits.device)
        nll, hits = (found.to(wide) for found in in_pieces(PLAIN.measure, logits, labels))
        loss = nll if _is_plain(self.loss) else _per_batch(self.loss, logits, labels).to(wide)
        self.metrics |= {"val/loss": loss, "val/nll": nll, "val/accuracy": hits / labels.shape[1]}

    def close_epoch(self) -> bool:
        """Sum up the epoch, once; say whether it was complete. Callbacks ask before they use its metrics."""
        if self._closed:
            return True
        full = self.minibatches % self.minibatches_per_epoch == 0
        if not self.sums.losses or not (full or 0 <= self.rules.max_steps <= self.steps):
            return False  # Interrupted inside the epoch: it is finished when the run is resumed.
        self._closed = True
        self.epochs += 1
        if (
            self.validation_points is not None
            and full
            and self.epochs % (self.trainer.check_val_every_n_epoch or 1) == 0
        ):
            with torch.no_grad():
                self.validation_step(self.validation_points, 0)
        loss, accuracy = self.sums.mean()
        self.metrics = {"train/loss": loss, "train/accuracy": accuracy, **self.metrics}
        if self.monitor in self.metrics:
            self.best.offer(self.metrics[self.monitor], self.epochs, self.active)
        # For callbacks of Lightning's own and of others: the mean over the members.
        self.trainer.callback_metrics.update({name: value.nanmean() for name, value in self.metrics.items()})
        self.trainer.should_stop |= self.interrupted or len(self.stops) == self.members
        return True

    def on_train_epoch_end(self) -> None:
        self.close_epoch()


def in_pieces(function: Callable[[Tensor, Tensor], Any], logits: Tensor, labels: Tensor) -> Any:
    """Call a function of logits (N, ..., B, C) and labels (N, ..., B) on as many of the N as a CPU's cache holds.

    It gives an array (N, ...) or a tuple of such.
    """
    size = max(1, PIECE_BYTES // max(1, logits[0].numel() * logits.element_size()))
    if logits.device.type != "cpu" or size >= len(logits):
        return function(logits, labels)
    found = [function(x, y) for x, y in zip(logits.split(size), labels.split(size))]
    return torch.cat(found) if isinstance(found[0], Tensor) else tuple(map(torch.cat, zip(*found)))


def _per_batch(loss: nn.Module, logits: Tensor, labels: Tensor) -> Tensor:
    """Loss of each member: (P, B, C) and (P, B) to (P,), by the loss's own batched form where it has one."""
    if isinstance(loss, BatchedLoss):
        return loss.per_batch(logits, labels)
    return torch.stack([loss(rows, answers) for rows, answers in zip(logits, labels)])


def _is_plain(loss: nn.Module) -> bool:
    """Say whether a loss is the plain mean NLL."""
    if type(loss) not in (CrossEntropy, nn.CrossEntropyLoss):
        return False
    plain = loss.weight is None and not loss.label_smoothing and loss.reduction == "mean"
    return plain and loss.ignore_index < 0
