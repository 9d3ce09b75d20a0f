"""What the lab uses of Optuna's that is not public: all of it stands here.

Written for Optuna 5; tests/test_optuna_names.py says what changed under another version.
"""

from optuna.study import Study
from optuna.trial import FrozenTrial, Trial


def trial_again(study: Study, trial: FrozenTrial) -> Trial:
    """Make a trial that was asked before one whose values can be asked and reported again."""
    return Trial(study, trial._trial_id)
