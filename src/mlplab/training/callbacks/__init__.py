"""What happens beside training: maps, progress, checkpoints, stops and timing."""

from mlplab.training.callbacks.checkpoints import Checkpoints
from mlplab.training.callbacks.decision_maps import DecisionMaps
from mlplab.training.callbacks.monitors import DivergenceGuard, EarlyStopping, LearningRateMonitor, Progress, Timing
from mlplab.training.members import MemberCallback

__all__ = [
    "Checkpoints",
    "DecisionMaps",
    "DivergenceGuard",
    "EarlyStopping",
    "LearningRateMonitor",
    "MemberCallback",
    "Progress",
    "Timing",
]
