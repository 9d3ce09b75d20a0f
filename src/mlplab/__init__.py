"""mlplab: a research lab for multi-layer perceptrons, from the spiking neuron to the trained network.

The names below are imported when they are first used, so that ``import mlplab`` itself costs nothing.
"""

import importlib
from typing import Any

_HOME = {
    "MLP": "mlplab.nn.mlp",
    "CrossEntropy": "mlplab.nn.losses",
    "cross_entropy": "mlplab.nn.losses",
    "SpiralDataModule": "mlplab.data.modules",
    "CirclesDataModule": "mlplab.data.modules",
    "MoonsDataModule": "mlplab.data.modules",
    "XorDataModule": "mlplab.data.modules",
    "BlobsDataModule": "mlplab.data.modules",
    "FileDataModule": "mlplab.data.file_module",
    "Classifier": "mlplab.training.classifier",
    "Schedule": "mlplab.population.schedules",
    "Constant": "mlplab.population.schedules",
    "Cosine": "mlplab.population.schedules",
    "OneCycle": "mlplab.population.schedules",
    "Step": "mlplab.population.schedules",
    "DecisionMaps": "mlplab.training.callbacks",
    "DivergenceGuard": "mlplab.training.callbacks",
    "EarlyStopping": "mlplab.training.callbacks",
    "Progress": "mlplab.training.callbacks",
    "draw_decision_map": "mlplab.api",
    "evaluate": "mlplab.api",
    "fit": "mlplab.api",
    "load": "mlplab.api",
    "InputError": "mlplab.errors",
}

__version__ = "0.2.0"

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name == "runs":  # mlplab.runs(...) lists the runs there are
        return importlib.import_module("mlplab.runs")
    if name not in _HOME:
        raise AttributeError(f"module 'mlplab' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
