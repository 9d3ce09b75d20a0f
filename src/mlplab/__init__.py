"""mlplab: a research lab for multi-layer perceptrons, from the spiking neuron to the trained network.

The names below are imported when they are first used, so that ``import mlplab`` itself costs nothing.
"""

import importlib
from typing import Any

_HOME = {
    "MLP": "mlplab.core.mlp",
    "CrossEntropy": "mlplab.core.losses",
    "cross_entropy": "mlplab.core.losses",
    "SpiralDataModule": "mlplab.training.data",
    "CirclesDataModule": "mlplab.training.data",
    "MoonsDataModule": "mlplab.training.data",
    "XorDataModule": "mlplab.training.data",
    "BlobsDataModule": "mlplab.training.data",
    "FileDataModule": "mlplab.training.data",
    "Classifier": "mlplab.training.classifier",
    "Trainer": "mlplab.training.trainer",
    "Adam": "mlplab.training.optimizers",
    "AdamW": "mlplab.training.optimizers",
    "SGD": "mlplab.training.optimizers",
    "Cosine": "mlplab.training.schedules",
    "OneCycle": "mlplab.training.schedules",
    "Progress": "mlplab.training.callbacks",
    "EarlyStopping": "mlplab.training.callbacks",
    "draw_decision_map": "mlplab.notebook",
    "evaluate": "mlplab.notebook",
    "InputError": "mlplab.errors",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mlplab' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
