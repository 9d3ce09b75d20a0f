"""The plan: which engine trains a job, and why. The engine is taken where its result is that of Lightning's own loop."""

import copy
import functools
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Checkpoint
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from mlplab.data.arrays import ArrayDataModule
from mlplab.errors import InputError
from mlplab.nn.losses import CrossEntropy
from mlplab.nn.mlp import MLP, shadowed
from mlplab.population.optimizers import SGD, Adam, AdamW, MemberOptimizer
from mlplab.population.schedules import Schedule
from mlplab.population.stacking import can_stack, structure
from mlplab.population.state import PRECISIONS
from mlplab.training.objects import class_and_settings, node_of

ENGINES = ("auto", "population", "lightning")
# torch's optimisers that the engine has kernels for, with the settings it knows; others must be as torch has them.
OPTIMIZERS: dict[type, tuple[type[MemberOptimizer], tuple[str, ...]]] = {
    torch.optim.Adam: (Adam, ("lr", "betas", "eps", "weight_decay")),
    torch.optim.AdamW: (AdamW, ("lr", "betas", "eps", "weight_decay")),
    torch.optim.SGD: (SGD, ("lr", "momentum", "weight_decay", "nesterov")),
}
# Losses that keep nothing from call to call, each with a row in the test of equality.
LOSSES = (CrossEntropy, nn.CrossEntropyLoss, nn.MultiMarginLoss)
# Where torch keeps what is called with a parameter's gradient.
ON_GRADIENTS = ("_backward_hooks", "_post_accumulate_grad_hooks")
# Which kernel computes a step changes its rounding only.
KERNEL_CHOICES = ("foreach", "fused")
# Options of the trainer that the engine knows, each with a row in the test of equality, or of no effect on the result.
OPTIONS = (
    "accelerator",
    "devices",
    "max_epochs",
    "max_steps",
    "limit_train_batches",
    "check_val_every_n_epoch",
    "accumulate_grad_batches",
    "gradient_clip_val",
    "gradient_clip_algorithm",
    "precision",
    "profiler",
    "threads",
    "engine",
    "logger",
    "callbacks",
    "default_root_dir",
    "enable_progress_bar",
    "enable_model_summary",
    "enable_checkpointing",
    "log_every_n_steps",
    "num_sanity_val_steps",
)
# Methods of a data module that decide what a minibatch is, or that only Lightning's loop calls.
SERVING = (
    "train_dataloader",
    "val_dataloader",
    "transfer_batch_to_device",
    "on_before_batch_transfer",
    "on_after_batch_transfer",
    "teardown",
)
# Hooks of a callback that the engine does not call, or calls once a block of minibatches.
MINIBATCH_HOOKS = [
    name
    for name in vars(L.Callback)
    if name.startswith("on_")
    and not name.startswith(("on_fit", "on_train_epoch", "on_exception"))
    and name not in ("on_train_start", "on_train_end")
]


@dataclass(frozen=True)
class Plan:
    """How a job is trained.

    Attributes:
        engine: "population" or "lightning".
        reason: why, in a few words.
    """

    engine: str
    reason: str


def plan(
    module: L.LightningModule,
    data: L.LightningDataModule,
    trainer: Mapping[str, Any],
    callbacks: Iterable[L.Callback],
    engine: str = "auto",
) -> Plan:
    """Decide how a job is trained, before anything is.

    Args:
        module: what is trained.
        data: what it is trained on.
        trainer: options of Lightning's Trainer by name; one that is missing is as Lightning has it.
        callbacks: the callbacks.
        engine: "auto", or the engine that is asked for.

    Raises:
        InputError: "population" was asked for, and the job is not plain.
    """
    if engine not in ENGINES:
        raise InputError(f"trainer.engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    if engine == "lightning":
        return Plan("lightning", "trainer.engine=lightning")
    obstacle = next(_obstacles(module, data, trainer, callbacks), None)
    if obstacle is None:
        return Plan("population", "everything is known to the engine")
    if engine == "population":
        raise InputError(f"trainer.engine=population cannot train this: {obstacle}; use trainer.engine=auto")
    return Plan("lightning", obstacle)


def _obstacles(module: Any, data: Any, trainer: Mapping[str, Any], callbacks: Iterable[L.Callback]) -> Iterable[str]:
    """Name what the engine does not know of a job, one after the other."""
    from mlplab.training.classifier import Classifier
    from mlplab.training.members import MemberCallback

    if type(module) is not Classifier:
        yield f"the module is {type(module).__name__}, not Classifier itself"
        return
    if own := shadowed(module):
        yield f"the module has a {own[0]} of its own"
    if not module.automatic_optimization:
        yield "the module's optimization is manual"
    yield from network_obstacles(module.model)
    for part in module.modules():
        if _hooked(part):
            yield f"{type(part).__name__} has hooks"
        if own := shadowed(part):
            yield f"{type(part).__name__} has a {own[0]} of its own"
    yield from unused_parameters(module.model, data)
    if module.seed is None and (drawing := next(drawing_parts(module.model), None)):
        yield f"{drawing} may draw at random, and the module has no seed"
    yield from optimizer_obstacles(module.make_optimizer)
    if type(module.loss) not in LOSSES:
        yield f"the loss is {_name(module.loss)}; the engine knows CrossEntropy and torch's CrossEntropyLoss and MultiMarginLoss"
    elif module.loss.reduction != "mean":
        yield f"loss.reduction={module.loss.reduction}"
    if not isinstance(module.schedule, Schedule):
        yield f"the schedule is {_name(module.schedule)}, not one of the lab's"
    if not isinstance(data, ArrayDataModule):
        yield f"the data module {type(data).__name__} does not offer its points in memory"
    else:
        own = [name for name in SERVING if getattr(type(data), name) is not getattr(ArrayDataModule, name)]
        if own or vars(data).keys() & set(SERVING):
            yield f"the data module {type(data).__name__} has its own {(own or ['loaders'])[0]}"
    for callback in callbacks:
        if not isinstance(callback, MemberCallback):
            yield f"the callback {type(callback).__name__} is not one that acts on many networks"
        elif not callback.takes_blocks:
            for name in MINIBATCH_HOOKS:
                if getattr(type(callback), name) is not getattr(MemberCallback, name):
                    yield f"the callback {type(callback).__name__} has its own {name}"
    defaults = parameters_of(L.Trainer.__init__)
    for name, value in trainer.items():
        if name not in OPTIONS and value != defaults[name].default and value is not None:
            yield f"trainer.{name}={value}"
    if trainer.get("enable_model_summary"):
        yield "trainer.enable_model_summary=True shows the network as Lightning trains it"
    if trainer.get("enable_checkpointing") and not any(isinstance(callback, Checkpoint) for callback in callbacks):
        yield "trainer.enable_checkpointing=True asks for Lightning's own checkpoints"
    if trainer.get("precision") not in (None, *PRECISIONS):
        yield f"trainer.precision={trainer['precision']}"
    devices = trainer.get("devices", 1)
    if devices not in (1, "1", "auto") and not (isinstance(devices, (list, tuple)) and len(devices) == 1):
        yield f"trainer.devices={devices}"
    if not isinstance(trainer.get("accumulate_grad_batches", 1), int):
        yield "trainer.accumulate_grad_batches is not a number"


def network_obstacles(model: nn.Module) -> Iterable[str]:
    """Name what the engine does not know of a network."""
    parameters = list(model.parameters())
    if not any(parameter.requires_grad for parameter in parameters):
        yield "the network has nothing to train"
    kinds = {parameter.dtype for parameter in parameters}
    if len(kinds) > 1 or not kinds <= {torch.float32, torch.float64}:
        yield f"the network's parameters are {', '.join(map(str, kinds))}"
    if any(
        parameter.grad_fn is not None or any(getattr(parameter, name) for name in ON_GRADIENTS)
        for parameter in parameters
    ):
        yield "the network's parameters have hooks"
    for part in model.modules():
        if hasattr(part, "parametrizations"):
            yield "the network is parametrised"
    for part in model.modules():
        if not part.training and (next(drawing_parts(part), None) or isinstance(part, _NormBase)):
            yield f"the network's {type(part).__name__} is in evaluation mode"  # which Lightning keeps
    if len({id(parameter) for parameter in parameters}) != len(list(model.named_parameters(remove_duplicate=False))):
        yield "the network's layers share parameters"


def _hooked(part: nn.Module) -> bool:
    return bool(part._forward_hooks or part._forward_pre_hooks or part._backward_hooks or part._backward_pre_hooks)


def unused_parameters(model: nn.Module, data: Any) -> Iterable[str]:
    """Name a parameter that a minibatch leaves without a gradient: torch's optimisers leave it as it is, the engine's would not.

    An MLP uses all of its own. Other networks are tried, on a copy and on the first points.
    """
    if isinstance(model, MLP) and model.is_as_built() or not isinstance(data, ArrayDataModule) or data.train is None:
        return
    tried = copy.deepcopy(model).cpu()
    dtype = next((parameter.dtype for parameter in tried.parameters()), torch.float32)
    try:
        with torch.random.fork_rng([]), torch.enable_grad():
            tried(data.train.x[: data.batch_size].to(dtype)).sum().backward()
    except Exception:  # what is wrong with it is said where it is built for training
        return
    for name, parameter in tried.named_parameters():
        if parameter.requires_grad and parameter.grad is None:
            yield f"the network's {name} has no part in its output"


def drawing_parts(model: nn.Module) -> Iterable[str]:
    """Name the parts of a network that may draw at random while it trains; of a class of one's own nobody knows."""
    for part in model.modules():
        own = not type(part).__module__.startswith(("torch.nn.", "mlplab.nn."))
        dropout = getattr(part, "dropout", 0.0)
        probability = part.p if isinstance(part, _DropoutNd) else dropout if isinstance(dropout, float) else 0.0
        if own or probability or isinstance(part, (nn.RReLU, nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)):
            yield f"the network's {type(part).__name__}"


@functools.cache
def parameters_of(function: Any) -> Mapping[str, inspect.Parameter]:
    """The arguments of a function or a class by name."""
    return inspect.signature(function).parameters


def optimizer_obstacles(make: Any) -> Iterable[str]:
    """Name what the engine does not know of a function from parameters to an optimiser."""
    kind, settings = class_and_settings(make)
    if kind not in OPTIMIZERS or (isinstance(make, functools.partial) and make.args):
        yield f"the optimizer is {getattr(kind, '__name__', type(kind).__name__)}; the engine knows Adam, AdamW and SGD"
        return
    try:
        make([nn.Parameter(torch.zeros(1))])
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"optimizer cannot be made: {' '.join(str(error).split())}") from error
    defaults = parameters_of(kind)
    for name, value in settings.items():
        if name not in (*OPTIMIZERS[kind][1], *KERNEL_CHOICES) and (
            name not in defaults or value != defaults[name].default
        ):
            yield f"optimizer.{name}={value}"
        elif isinstance(value, torch.Tensor):
            yield f"optimizer.{name} is a tensor"


def trainings_of(runs: Sequence[Any]) -> list[list[int]]:
    """Part runs by what is trained at once: networks that stack, with one loss, schedule and kind of optimiser."""
    trainings: list[list[int]] = []
    for number, run in enumerate(runs):
        for numbers in trainings:
            first = runs[numbers[0]]
            if first.plan.engine == run.plan.engine == "population" and _alike(first.module, run.module):
                numbers.append(number)
                break
        else:
            trainings.append([number])
    return trainings


def _alike(a: L.LightningModule, b: L.LightningModule) -> bool:
    def same(name: str) -> bool:
        one, other = getattr(a, name), getattr(b, name)
        if isinstance(one, nn.Module) and isinstance(other, nn.Module):
            arrays = [[*part.parameters(), *part.buffers()] for part in (one, other)]
            return (
                structure(one) == structure(other)
                and len(arrays[0]) == len(arrays[1])
                and all(map(torch.equal, *arrays))
            )
        node = node_of(one)
        return one == other if node is None or not isinstance(one, Schedule) else node == node_of(other)

    kinds = [class_and_settings(module.make_optimizer)[0] for module in (a, b)]
    return (
        same("loss")
        and same("schedule")
        and (a.monitor, a.mode) == (b.monitor, b.mode)
        and kinds[0] is kinds[1]
        and can_stack(a.model, b.model)
    )


def member_optimizer(makes: list[Any]) -> functools.partial:
    """Give the engine's optimiser for members that each have one of torch's; settings that differ become lists."""
    theirs = class_and_settings(makes[0])[0]
    (kind, names), defaults = OPTIMIZERS[theirs], parameters_of(theirs)
    settings = {}
    for name in names:
        column = [_setting(make, name, defaults[name].default) for make in makes]
        settings[name] = column[0] if all(value == column[0] for value in column) else column
    return functools.partial(kind, **settings)


def _setting(make: Any, name: str, default: Any) -> Any:
    value = class_and_settings(make)[1].get(name, default)
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _name(value: Any) -> str:
    value = class_and_settings(value)[0]
    return value.__name__ if isinstance(value, type) else type(value).__name__
