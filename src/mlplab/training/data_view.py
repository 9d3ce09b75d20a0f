"""Any LightningDataModule as the lab looks at data: its points by part, where its loaders yield ``(x, y)``."""

import hashlib
import math
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from mlplab.data.arrays import ArrayDataModule, LabelledData, Points

# Above this number points are not gathered: the metrics are then those that the module's own test logs.
MOST_POINTS = 1_000_000
LOADERS = {"train": "train_dataloader", "validation": "val_dataloader", "test": "test_dataloader"}


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
        module.prepare_data()
        module.setup("fit")
        module.setup("test")
        for name in ("class_names", "feature_names", "to_units", "to_inputs"):
            if getattr(module, name, None) is not None:
                setattr(self, name, getattr(module, name))
        # Reading a shuffled loader draws from torch's global generator, which is put back.
        with torch.random.fork_rng([]):
            for part, name in LOADERS.items():
                setattr(self, part, _points(module, name))
        self.test = self.test or self.validation
        known = next((points for points in (self.train, self.validation, self.test) if points is not None), None)
        self.input_shape = None if known is None else tuple(known.x.shape[1:])
        self.classes = _classes(module, [self.train, self.validation, self.test])
        self.training_box = None if self.train is None else (self.train.x.amin(0), self.train.x.amax(0))
        self.sha256 = _digest([self.train, self.validation, self.test])

    @property
    def features(self) -> int | None:
        """Numbers of one input."""
        return None if self.input_shape is None else math.prod(self.input_shape)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["module"], name)


def viewed(module: LightningDataModule) -> Any:
    """Set up a data module and give it as the lab looks at data."""
    if isinstance(module, ArrayDataModule):
        module.setup("fit")
        return module
    return DataView(module)


def _points(module: LightningDataModule, name: str) -> Points | None:
    try:
        loader = getattr(module, name)()
    except Exception:  # Lightning's own data module refuses a loader that was not written
        return None
    rows: list[tuple[Tensor, Tensor]] = []
    count = 0
    if isinstance(loader, (list, tuple, dict)):
        return None
    for batch in loader:
        if not (isinstance(batch, (tuple, list)) and len(batch) == 2 and all(isinstance(part, Tensor) for part in batch)):
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
