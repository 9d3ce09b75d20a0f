"""Any LightningDataModule as the lab looks at data: its points by part, where its loaders yield ``(x, y)``."""

import copy
import hashlib
import logging
import math
import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.plugins.environments import LightningEnvironment
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, default_collate

from mlplab.data.arrays import ArrayDataModule, LabelledData, Points
from mlplab.seeds import put_back, same_generators, states

# Above this number points are not gathered: the metrics are then those that the module's own test logs.
MOST_POINTS = 1_000_000
LOADERS = {"train": "train_dataloader", "validation": "val_dataloader", "test": "test_dataloader"}
# By which a data module may change a minibatch.
TRANSFERS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
# Data modules that the lab has set up, each with the stages.
_SET_UP: "weakref.WeakKeyDictionary[LightningDataModule, set[str]]" = weakref.WeakKeyDictionary()

# Lightning reports at every start which accelerators it sees, and advises on loaders that the lab does not use.
QUIET = (
    ".*does not have many workers.*",
    ".*is smaller than the logging interval.*",
    ".*`isinstance\\(treespec.*",
    ".*available but not used.*",
    ".*[Nn]o `.*_dataloader.*",
    ".*log_every_n_steps.*",
    ".*Checkpoint directory.*",
    ".*barebones.*",
)


def one_process() -> dict[str, Any]:
    """Give the options by which a Trainer of Lightning's is one process, whatever SLURM or torchrun say, and prints nothing."""
    return {
        "devices": 1,  # without a word Lightning would take every GPU
        "plugins": [LightningEnvironment()],
        "logger": False,
        "num_sanity_val_steps": 0,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }


@contextmanager
def quiet(profiled: bool = False) -> Iterator[None]:
    """Leave out what Lightning says of hardware at every start, and its advice on loaders that the lab does not use."""
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    logger.setLevel(logging.INFO if profiled else logging.WARNING)  # a profiler reports through Lightning's log
    try:
        with warnings.catch_warnings():
            for pattern in QUIET:
                warnings.filterwarnings("ignore", pattern)
            yield
    finally:
        logger.setLevel(before)


class DataView(LabelledData):
    """What the lab asks of data, answered for a data module of somebody else's.

    Names of classes and inputs, and the units, are the module's where it has `class_names`, `feature_names`, `to_units`
    and `to_inputs`.

    Args:
        module: yields ``(x, y)`` with integer labels from its loaders; of any other the parts are None.

    Attributes:
        module: the data module itself.
        train, validation, test, fresh: points, or None where there are none or they are no labelled points.
        classes: number of classes, or None.
        input_shape: shape of one input, or None.
        training_box, density, sha256: as for `ArrayDataModule`.
    """

    def __init__(self, module: LightningDataModule) -> None:
        self.module = module
        for name in ("class_names", "feature_names", "to_units", "to_inputs"):
            if getattr(module, name, None) is not None:
                setattr(self, name, getattr(module, name))
        with same_generators():
            self.train, self.validation = (_points(module, LOADERS[part]) for part in ("train", "validation"))
            with _without("test points", module):
                self.test = _points(module, LOADERS["test"])
        known = next((points for points in (self.train, self.validation, self.test) if points is not None), None)
        self.input_shape = None if known is None else tuple(known.x.shape[1:])
        self.classes = _classes(module, [self.train, self.validation, self.test])
        self.training_box = None if self.train is None else (self.train.x.amin(0), self.train.x.amax(0))
        self.sha256 = _digest([self.train, self.validation, self.test])

    @property
    def features(self) -> int | None:
        """Numbers of one input."""
        return None if self.input_shape is None else math.prod(self.input_shape)

    def first_input(self) -> Tensor | None:
        """Give one train input (1, ...) as the loader yields it; None where nobody knows without drawing a minibatch."""
        if any(getattr(type(self.module), name) is not getattr(LightningDataModule, name) for name in TRANSFERS):
            return None
        if self.train is not None:
            return self.train.x[:1]
        with same_generators(), _attached(self.module):
            loader = self.module.train_dataloader()
            if not isinstance(loader, DataLoader) or not isinstance(loader.dataset, TensorDataset):
                return None
            return loader.dataset[:1][0] if loader.collate_fn is default_collate else None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["module"], name)


def viewed(module: LightningDataModule, again: bool = True) -> Any:
    """Set up a data module and give it as the lab looks at data.

    Args:
        module: the data module.
        again: set it up also where the lab has done so before; a split drawn in ``setup`` is then another one.
    """
    stages = _SET_UP.setdefault(module, set())
    if again or not stages or type(module).teardown is not LightningDataModule.teardown:
        with _attached(module):
            _set_up(module)
    if isinstance(module, ArrayDataModule):
        return module
    with _attached(module):
        return DataView(module)


def module_of(data: Any) -> LightningDataModule:
    """Give the data module that the lab looks at."""
    return data.module if isinstance(data, DataView) else data


@contextmanager
def set_up_once(modules: Sequence[LightningDataModule], trainer: Trainer) -> Iterator[None]:
    """Attach data modules to a trainer; what the lab has prepared and set up, the trainer does not do again."""
    before = [dict(vars(module)) for module in modules]
    for module in modules:
        module.trainer = trainer
        if stages := _SET_UP.get(module):
            own = module.setup
            module.prepare_data = _nothing
            module.setup = lambda stage=None, own=own, stages=stages: None if stage in stages else own(stage)
    try:
        yield
    finally:
        for module, kept in zip(modules, before):
            for name in ("trainer", "prepare_data", "setup"):
                vars(module).pop(name, None)
                if name in kept:
                    setattr(module, name, kept[name])


def _nothing() -> None:
    """What was prepared before needs no preparing."""


def _set_up(module: LightningDataModule) -> None:
    stages = _SET_UP[module]
    stages.clear()
    module.prepare_data()
    before = states()
    module.setup("fit")
    stages.add("fit")
    if isinstance(module, ArrayDataModule):
        return
    with same_generators():
        put_back(before)  # a split that is drawn in each stage is the same one
        with _without("test points", module):
            module.setup("test")
            stages.add("test")


@contextmanager
def _attached(module: LightningDataModule) -> Iterator[None]:
    """Attach a data module to a trainer, as Lightning does before it sets up one; the lab's own need none."""
    if getattr(module, "trainer", None) is not None or type(module).__module__.startswith("mlplab."):
        yield
        return
    with quiet():
        module.trainer = Trainer(accelerator="cpu", enable_checkpointing=False, **one_process())
    try:
        yield
    finally:
        module.trainer = None


@contextmanager
def _without(what: str, module: LightningDataModule) -> Iterator[None]:
    """Do without what a data module cannot give: training does not ask for it."""
    try:
        yield
    except Exception as error:  # a user's own code
        warnings.warn(f"{type(module).__name__} gives no {what}: {type(error).__name__}: {error}", stacklevel=2)


def _points(module: LightningDataModule, name: str) -> Points | None:
    """Gather the labelled points of a loader from a copy of it, which leaves its generators and its dataset as they are.

    None where there is no such loader, or it is no DataLoader of points by number, cannot be copied, or yields something else.
    """
    if name not in vars(module) and getattr(type(module), name) is getattr(LightningDataModule, name):
        return None  # not written
    loader = getattr(module, name)()
    if isinstance(loader, (list, tuple)) and len(loader) == 1:
        loader = loader[0]
    if isinstance(loader, (list, tuple, dict)) and loader and name != "train_dataloader":
        part = next(part for part, method in LOADERS.items() if method == name)
        warnings.warn(
            f"{type(module).__name__}.{name} gives {len(loader)} loaders: Lightning logs each, and the result has no {part} points, "
            "which are those of one",
            stacklevel=2,
        )
    if (
        not isinstance(loader, DataLoader)
        or isinstance(loader.dataset, IterableDataset)
        or len(loader.dataset) > MOST_POINTS
    ):
        return None
    try:
        loader = copy.deepcopy(loader)
    except Exception:  # whatever an object says that cannot be copied: an open file, a lock
        return None
    rows: list[tuple[Tensor, Tensor]] = []
    count = 0
    for batch in loader:
        if not (
            isinstance(batch, (tuple, list)) and len(batch) == 2 and all(isinstance(part, Tensor) for part in batch)
        ):
            return None
        x, y = batch
        if y.ndim != 1 or len(x) != len(y) or y.dtype.is_floating_point or not x.dtype.is_floating_point:
            return None
        rows.append((x, y.long()))
        count += len(y)
        if count > MOST_POINTS:
            return None
    return Points(torch.cat([x for x, _ in rows]), torch.cat([y for _, y in rows])) if rows else None


def _classes(module: LightningDataModule, parts: list[Points | None]) -> int | None:
    for name in ("classes", "num_classes", "n_classes"):
        if isinstance(getattr(module, name, None), int):
            return getattr(module, name)
    tops = [int(points.y.max()) + 1 for points in parts if points is not None]
    return max(tops) if tops else None


def _digest(parts: list[Points | None]) -> str:
    digest = hashlib.sha256()
    for points in parts:
        for array in points or ():
            # The order of a shuffled loader is no property of the data.
            rows = array.reshape(len(array), -1).double().sum(1).sort().values
            digest.update(f"{tuple(array.shape)} {array.dtype}".encode())
            digest.update(rows.numpy().tobytes())
    return digest.hexdigest()
