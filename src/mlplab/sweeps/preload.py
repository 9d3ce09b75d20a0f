"""What the server of the worker processes imports once, so that each unit starts at once."""

import mlplab.plots.decision_map
import mlplab.plots.style
import mlplab.training.callbacks
import mlplab.training.data
import mlplab.training.fit
import mlplab.training.loggers  # noqa: F401
