"""The networks in training as callbacks see them: many in the engine, or the one of Lightning's own loop as a population of one."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import ModelPruning, StochasticWeightAveraging, WeightAveraging
from torch import Tensor, nn

from mlplab.nn.mlp import Described
from mlplab.population.member_axis import trainable
from mlplab.population.state import BestState, Members, Stop
from mlplab.training.classifier import Classifier

# Callbacks that put other weights into the module after it was validated -> what they do to them.
REPLACING: dict[type[L.Callback], str] = {
    WeightAveraging: "averaged",
    StochasticWeightAveraging: "averaged",
    ModelPruning: "pruned",
}


def replacing(callback: L.Callback) -> str | None:
    """Say what a callback does to the weights after they were validated; None where it leaves them."""
    return next((words for kind, words in REPLACING.items() if isinstance(callback, kind)), None)


def network_of(module: nn.Module) -> nn.Module:
    """Give the network of a classifier; any other module is one itself."""
    return module.model if isinstance(module, Classifier) else module


def network_title(network: Any) -> str:
    """Name a network for a title."""
    return network.describe() if isinstance(network, Described) else type(network).__name__


class SingleNetwork:
    """The parameters of an ordinary module as one row; read afresh at each look, written by :meth:`at` only.

    Args:
        module: from (B, ...) to (B, C).
    """

    members = 1

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    @property
    def theta(self) -> Tensor:
        """The trainable parameters, (1, S)."""
        parts = [parameter.detach().reshape(-1) for parameter in trainable(self.module).values()]
        kind = parts[0].dtype if parts else torch.float32
        return torch.cat([part.to(kind) for part in parts] or [torch.zeros(0)]).unsqueeze(0)

    def names(self) -> list[tuple[str, tuple[int, ...]]]:
        return [(name, tuple(parameter.shape)) for name, parameter in trainable(self.module).items()]

    def split(self, row: Tensor) -> dict[str, Tensor]:
        named, place = {}, 0
        for name, shape in self.names():
            end = place + torch.Size(shape).numel()
            named[name], place = row[place:end].view(shape).clone(), end
        return named

    def join(self, named: dict[str, Tensor], row: Tensor) -> None:
        row.copy_(torch.cat([named[name].reshape(-1) for name, _ in self.names()] or [row]))

    def buffers(self, index: int = 0) -> dict[str, Tensor]:
        """Copies of what the module holds besides its trainable parameters."""
        own = {name: p for name, p in self.module.named_parameters() if not p.requires_grad}
        return {name: value.detach().clone() for name, value in (own | dict(self.module.named_buffers())).items()}

    def load_buffers(self, index: int, named: dict[str, Tensor]) -> None:
        self._write(named)

    def member(self, index: int = 0) -> nn.Module:
        return deepcopy(self.module).eval()

    @torch.no_grad()
    def forward(self, x: Tensor, members: slice = slice(None)) -> Tensor:
        """Compute logits in evaluation mode: (1, B, ...) to (1, B, C)."""
        modes = {module: module.training for module in self.module.modules()}
        try:
            return self.module.eval()(x[0]).unsqueeze(0)
        finally:
            for module, mode in modes.items():
                module.training = mode

    @contextmanager
    def at(self, theta: Tensor, buffers: dict[int, dict[str, Tensor]] | None = None) -> Iterator[None]:
        """Look at other parameters (1, S), and other buffers, for the length of a block."""
        own, own_buffers = self.split(self.theta[0]), self.buffers()
        try:
            self._write(self.split(theta[0]) | (buffers or {}).get(0, {}))
            yield
        finally:
            self._write(own | own_buffers)

    def _write(self, named: dict[str, Tensor]) -> None:
        places = dict(self.module.named_parameters()) | dict(self.module.named_buffers())
        with torch.no_grad():
            for name, value in named.items():
                places[name].copy_(value)


class SingleMember(Members):
    """What the lab's callbacks ask of a training, answered by a stock Trainer and the module that it trains.

    Args:
        trainer: Lightning's.
        module: what it trains.
    """

    members = 1

    def __init__(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.trainer, self.module = trainer, module
        self.population = SingleNetwork(network_of(module))
        run = next(iter(getattr(trainer, "runs", ())), None)
        self.monitor = getattr(module, "monitor", None) or (run and run.config.get("monitor")) or "val/loss"
        self._mode = run.mode if run else getattr(module, "mode", "min")
        self._best, self._names = BestState(self.population, self._mode), self.population.names()
        self.metrics: dict[str, Tensor] = {}
        self.stops: dict[int, Stop] = {}
        self.interrupted = False
        # What is validated is then not what stands in the module, and the last state is the one to choose.
        self.replaced = next(
            ((words, type(callback).__name__) for callback in trainer.callbacks if (words := replacing(callback))), None
        )
        self._closed, self._validated = -1, -1

    @property
    def theta(self) -> Tensor:
        return self.population.theta

    @property
    def best(self) -> BestState:
        """The best state since a callback last gave the network other parameters, as one that freezes or prunes does."""
        if self._names != self.population.names():
            self._best, self._names = BestState(self.population, self._mode), self.population.names()
        return self._best

    @property
    def epochs(self) -> int:
        """Epochs trained: the running one counts once it has been summed up."""
        return max(self.trainer.current_epoch, self._closed + 1 if self._closed >= 0 else 0)

    @property
    def steps(self) -> int:
        return self.trainer.global_step

    @property
    def total_epochs(self) -> int:
        """Epochs of the whole training; as far as it has come where its length is open."""
        longest, per_epoch = self.trainer.max_epochs, max(1, self.trainer.num_training_batches)
        every = self.trainer.accumulate_grad_batches
        if self.trainer.max_steps and self.trainer.max_steps > 0:
            by_steps = -(-self.trainer.max_steps // -(-per_epoch // every))
            longest = by_steps if longest in (None, -1) else min(longest, by_steps)
        return longest if longest not in (None, -1) else self.epochs + 1

    @property
    def active(self) -> Tensor:
        return torch.tensor([0 not in self.stops])

    @property
    def rates(self) -> list[float]:
        """The learning rate that the last step used, one a member."""
        optimizers = self.trainer.optimizers
        return [float(optimizers[0].param_groups[0]["lr"])] if optimizers else [0.0]

    def member_state(self, index: int = 0) -> dict[str, Any]:
        """Collect what the training has come to, as for a member of a population."""
        moments: dict[str, dict[str, Tensor]] = {}
        for optimizer in self.trainer.optimizers:
            names = {id(parameter): name for name, parameter in self.population.module.named_parameters()}
            for parameter, kept in optimizer.state.items():
                for key, value in kept.items():
                    if isinstance(value, Tensor) and value.shape == parameter.shape and id(parameter) in names:
                        moments.setdefault(key, {})[names[id(parameter)]] = value
        stop = self.stops.get(0)
        return {
            "model": self.population.split(self.theta[0]),
            "buffers": self.population.buffers(),
            "optimizer": moments,
            "steps": stop.step if stop else self.steps,
        }

    def state(self) -> dict[str, Any]:
        """Collect what a checkpoint of Lightning's does not hold."""
        stop = self.stops.get(0)
        return {
            "stop": None if stop is None else {"reason": stop.reason, "epoch": stop.epoch, "step": stop.step},
            "best": self.best.member_state(0, self.monitor),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state` gave, with the ``epochs`` and ``steps`` of the checkpoint."""
        self.place()
        self.best.load_member_state(0, state["best"])
        if state["stop"]:
            self.stops[0] = Stop(**state["stop"])
        self._closed = state["epochs"] - 1

    def stop(self, index: int, reason: str) -> None:
        """End the training, whatever ``min_epochs`` and ``min_steps`` say; the parameters stay as they are now."""
        self.stops.setdefault(index, Stop(reason, self.epochs, self.steps))
        self.trainer.fit_loop.min_epochs = self.trainer.fit_loop.epoch_loop.min_steps = None
        self.trainer.should_stop = True

    def note_validation(self) -> None:
        """Remember that what the validation measured is of this epoch."""
        self._validated = self.trainer.current_epoch

    def place(self) -> None:
        """Bring what is kept of the best state to where the network is now: Lightning takes it to a device and back."""
        self.best.to(self.theta.device, self.theta.dtype)

    @property
    def root_device(self) -> torch.device:
        """The device that the network was trained on."""
        return self.trainer.strategy.root_device

    def close_epoch(self) -> bool:
        """Take the epoch's metrics from the trainer, once; say whether there is anything to act on."""
        if self.trainer.sanity_checking:
            return False
        if self._closed == self.trainer.current_epoch:
            return True
        self._closed = self.trainer.current_epoch
        stale = self._validated != self.trainer.current_epoch
        self.metrics = {
            name: value.detach().double().reshape(1).cpu()
            for name, value in self.trainer.callback_metrics.items()
            if isinstance(value, Tensor) and value.numel() == 1 and not (stale and name.startswith("val"))
        }
        self.trainer.should_stop |= self.interrupted
        if self.monitor in self.metrics and 0 not in self.stops and not self.replaced:
            self.place()
            self.best.offer(
                self.metrics[self.monitor].to(self.best.value), self.epochs, self.active.to(self.best.value.device)
            )
        return True


def members_of(trainer: L.Trainer, module: L.LightningModule) -> Any:
    """Give the population that a trainer trains: the engine itself, or its one network."""
    if isinstance(module, Members):
        return module
    known = trainer.__dict__.get("_mlplab_single")
    if known is None or known.module is not module:
        known = trainer.__dict__["_mlplab_single"] = SingleMember(trainer, module)
    return known


class MemberCallback(L.Callback):
    """Override `on_start`, `on_epoch`, `on_end`; for what must outlive an interruption `member_state` and `load_member_state`.

    Under Lightning's own loop there is one member; in the engine there are P. ``members``, which every method gets,
    has the attributes of :class:`mlplab.population.state.Members` in both, and ``stop(index, reason)``.
    A subclass with a hook for minibatches is trained with by Lightning's own loop, unless it says ``takes_blocks``:
    the engine calls ``on_train_batch_start`` and ``..._end`` once for many minibatches.
    """

    takes_blocks = False

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.on_start(trainer, members_of(trainer, module))

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.on_end(trainer, members_of(trainer, module))

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if not trainer.sanity_checking:
            members_of(trainer, module).note_validation()

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        # Lightning calls callbacks before the module, so the epoch is summed up by the first of them.
        members = members_of(trainer, module)
        if members.close_epoch():
            self.on_epoch(trainer, members)

    def on_start(self, trainer: L.Trainer, members: Any) -> None:
        """Act before the first step of a training, one that goes on too."""

    def on_end(self, trainer: L.Trainer, members: Any) -> None:
        """Act after the last step."""

    def on_epoch(self, trainer: L.Trainer, members: Any) -> None:
        """Act on a complete epoch; ``members.metrics`` holds its metrics, each of shape (P,)."""

    def finish_pending(self, trainer: L.Trainer, members: Any) -> None:
        """Finish what was put off: a checkpoint is about to be written."""

    def member_state(self, index: int) -> dict[str, Any]:
        """Give what a member's checkpoint must hold of this callback: tensors and plain values."""
        return {}

    def load_member_state(self, index: int, state: dict[str, Any], members: Any) -> None:
        """Take back what :meth:`member_state` gave."""

    def state_dict(self) -> dict[str, Any]:
        return self.member_state(0)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.load_member_state(0, state_dict, None)
