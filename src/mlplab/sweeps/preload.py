"""What the server of the worker processes imports once, so that each unit starts at once."""

import mlplab.plots.decision_map
import mlplab.plots.style
import mlplab.training.callbacks
import mlplab.training.data
import mlplab.training.fit
import mlplab.training.loggers
from mlplab.runs.fingerprint import code_digest
from mlplab.runs.manifest import git_state, versions

# What every manifest says: looked up once for the whole sweep.
code_digest(), git_state(), versions()
