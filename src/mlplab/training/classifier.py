"""The classifier: a page of ordinary Lightning. What a run means is said here; `population/` only makes it fast."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import lightning.pytorch as L
import torch
from torch import Tensor, nn

from mlplab.errors import InputError
from mlplab.nn.losses import CrossEntropy, cross_entropy
from mlplab.nn.mlp import MLP, streams
from mlplab.options import SEED
from mlplab.population.optimizers import optimizer_over
from mlplab.population.schedules import Constant, Schedule
from mlplab.rules import choice, optional, text
from mlplab.seeds import derive, seed_streams, streams_kept
from mlplab.training.objects import built, node_or_name

# torch's schedules that move at every step; the others move once an epoch.
PER_STEP = tuple(
    getattr(torch.optim.lr_scheduler, n) for n in ("OneCycleLR", "CyclicLR", "CosineAnnealingWarmRestarts")
)


class Classifier(L.LightningModule):
    """Train a network to classify.

    Args:
        model: a module from (B, ...) to logits (B, C), or a mapping with `_target_` that names one.
        loss: a module from logits (B, C) and labels (B,) to a scalar; the lab's cross entropy by default.
        optimizer: function from parameters to an optimiser, such as `partial(torch.optim.Adam, lr=1e-2)`; Adam by default.
        schedule: one of the lab's schedules, or a function from an optimiser to a scheduler of `torch.optim.lr_scheduler`.
        monitor: the metric by which the best state is chosen, and which `ReduceLROnPlateau` watches.
        mode: "min" or "max", which values of it are better; None is "max" for an accuracy and "min" for others.
        seed: what the network draws while training (dropout) is then a function of seed and step; None leaves it
            to torch's global generator.
    """

    def __init__(
        self,
        model: nn.Module | Mapping,
        *,
        loss: nn.Module | Mapping | None = None,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] | Mapping | None = None,
        schedule: Schedule | Callable[[torch.optim.Optimizer], Any] | Mapping | None = None,
        monitor: str = "val/loss",
        mode: str | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.model = built(model, "model")
        self.loss = CrossEntropy() if loss is None else built(loss, "loss")
        self.make_optimizer = torch.optim.Adam if optimizer is None else built(optimizer, "optimizer")
        self.schedule = Constant() if schedule is None else built(schedule, "schedule")
        self.monitor = text(words="a metric's name").check("monitor", monitor)
        self.mode = optional(choice("min", "max")).check("mode", mode)
        self.mode = self.mode or ("max" if monitor.endswith("accuracy") else "min")
        self.seed = optional(SEED).check("seed", seed)
        self.note_hyperparameters()

    def note_hyperparameters(self) -> None:
        """Keep plain values as hyperparameters: `load_from_checkpoint` needs nothing else, and a checkpoint holds no code."""
        parts = {"model": self.model, "loss": self.loss, "optimizer": self.make_optimizer, "schedule": self.schedule}
        plain = {"monitor": self.monitor, "mode": self.mode, "seed": self.seed}
        self.save_hyperparameters({name: node_or_name(part) for name, part in parts.items()} | plain)

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits: (B, ...) to (B, C)."""
        return self.model(x)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        with self.drawing(batch_idx):
            logits = self(x)
        loss = self.loss(logits, y)
        self.report({"train/loss": loss.detach(), "train/accuracy": accuracy(logits, y)}, len(y))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.measure(batch, "val")

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.measure(batch, "test")

    def predict_step(self, batch: tuple[Tensor, ...] | Tensor, batch_idx: int = 0) -> Tensor:
        """Give class probabilities, (B, C), for inputs (B, ...), alone or with labels that are not looked at."""
        x = batch if isinstance(batch, Tensor) else batch[0]
        return self(x).softmax(-1)

    def measure(self, batch: tuple[Tensor, Tensor], part: str) -> None:
        """Log the trained loss, the mean negative log-likelihood in nats and the accuracy."""
        x, y = batch
        logits = self(x)
        values = {"loss": self.loss(logits, y), "nll": cross_entropy(logits, y), "accuracy": accuracy(logits, y)}
        self.report({f"{part}/{name}": value for name, value in values.items()}, len(y))

    @torch.compiler.disable
    def report(self, values: dict[str, Tensor], points: int) -> None:
        """Log the means of an epoch; torch.compile leaves this out, since it cannot follow Lightning's log."""
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=points)

    def configure_optimizers(self) -> Any:
        optimizer = optimizer_over(self.make_optimizer, self.parameters())
        if type(self.schedule) is Constant:
            return optimizer
        if not isinstance(self.schedule, Schedule):
            scheduler = self.schedule(optimizer)
            if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau) and scheduler.mode != self.mode:
                raise InputError(
                    f"schedule.mode must be {self.mode}, as that of monitor={self.monitor} is, got {scheduler.mode}: "
                    f"ReduceLROnPlateau would lower the rate as the metric gets better; give it mode={self.mode}"
                )
            interval = "step" if isinstance(scheduler, PER_STEP) else "epoch"
            return {
                "optimizer": optimizer,
                "lr_scheduler": {"scheduler": scheduler, "interval": interval, "monitor": self.monitor},
            }
        steps = self.trainer.estimated_stepping_batches
        if steps == float("inf"):
            raise InputError(
                "schedule needs a training of known length: set trainer.max_epochs or trainer.max_steps, got -1 for both"
            )
        if self.trainer.num_training_batches == float("inf"):
            self.trainer.fit_loop.setup_data()  # with max_steps alone Lightning has not counted them yet
        if self.trainer.num_training_batches == float("inf"):
            raise InputError(
                "schedule needs epochs of known length, and a stream has none: take one of torch.optim.lr_scheduler, or limit_train_batches"
            )
        every = self.trainer.accumulate_grad_batches
        factor = partial(self.schedule.at, steps=steps, steps_per_epoch=-(-self.trainer.num_training_batches // every))
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    @contextmanager
    def drawing(self, batch_idx: int) -> Iterator[None]:
        """Let what the network draws in this minibatch depend on the seed and the minibatch's number only."""
        if self.seed is None or self._trainer is None:
            yield
            return
        each = self.trainer.num_training_batches
        # Of a stream nobody knows how long an epoch is: 2**32 minibatches are more than it has.
        number = self.current_epoch * (each if math.isfinite(each) else 1 << 32) + batch_idx
        if isinstance(self.model, MLP) and self.model.is_as_built():
            with streams(self.model, self.seed, number):
                yield
            return
        with streams_kept(self.device):
            seed_streams(self.device, derive(self.seed, "module", number))
            yield

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.note_hyperparameters()  # as the parts now are
        checkpoint["hyper_parameters"], checkpoint["hparams_name"] = dict(self.hparams), "kwargs"


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Give the share of points whose largest logit is the label's; the first of equal ones counts."""
    return (logits.argmax(-1) == labels).float().mean()
