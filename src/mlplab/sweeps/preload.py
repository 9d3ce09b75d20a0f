"""What the server of the worker processes imports and does once, so that each group starts at once."""

import gc
import os
from contextlib import suppress

with suppress(OSError):
    os.setsid()  # first: a signal to the group of a sweep is for the sweep, which lets the groups save their states

gc.disable()  # what is imported is kept: it is looked through neither here nor by the groups

import numpy as np

import mlplab.data.modules
import mlplab.training.callbacks
import mlplab.training.fit
import mlplab.training.loggers  # noqa: F401 (imported for its effect, as the docstring says)
from mlplab.plots.decision_map import decision_map
from mlplab.plots.style import png_bytes
from mlplab.runs.identity import code_digest
from mlplab.runs.manifest import git_state, versions

# What every manifest says.
code_digest(), git_state(), versions()

# The first map of a process reads fonts and lays out what all maps share: 0.3 s.
_grid, _points = np.full((128, 128, 4), 0.25, dtype=np.float32), np.zeros((4, 2), dtype=np.float32)
png_bytes(
    decision_map(
        _grid,
        (-2.0, 2.0, -2.0, 2.0),
        _points,
        np.arange(4),
        title="",
        subtitle="",
        predicted=np.zeros(4, dtype=int),
        box=(_points[0] - 1, _points[0] + 1),
    )
)

gc.collect()
gc.freeze()
gc.enable()
