"""What happens beside training: maps, progress, checkpoints, stops and timing."""

from mlplab.training.callbacks.checkpoints import Checkpoints
from mlplab.training.callbacks.decision_maps import DecisionMaps
from mlplab.training.callbacks.member import MemberCallback
from mlplab.training.callbacks.monitors import LearningRateMonitor, Timing
from mlplab.training.callbacks.progress import Progress
from mlplab.training.callbacks.stops import DivergenceGuard, EarlyStopping

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
