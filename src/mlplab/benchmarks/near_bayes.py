"""How near the best settings come to the Bayes limit: mean regret over ten draws of the data on fresh points."""

import math
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from mlplab.benchmarks.benchmark import Row, row
from mlplab.config.composition import compose
from mlplab.training.fit import fit_members

DRAWS = range(10)
# Setting: what is added to experiment=near_bayes, and the most that its NLL regret may be.
SETTINGS = {"near_bayes": ([], 0.005), "near_bayes, polar inputs": (["experiment=near_bayes_polar"], 0.0025)}


def rows(repeats: int, logs: Path) -> Iterator[Row]:
    """Yield the rows of the benchmark ``near_bayes``; ``repeats`` does not matter, the draws are the repeats."""
    for name, (words, limit) in SETTINGS.items():
        words = words or ["experiment=near_bayes"]
        more = ["logger=none", "callbacks.decision_maps=null", "figures=none"]
        configs = [compose("train", [*words, f"seed={draw}", f"data.seed={draw}", *more]) for draw in DRAWS]
        start = time.process_time()
        results = fit_members(configs, [None] * len(configs))
        seconds = (time.process_time() - start) / len(configs)
        for figure, most in (("accuracy_regret", None), ("nll_regret", limit)):
            values = [result["fresh"][figure] for result in results]
            mean, error = statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values))
            # Accuracy in points, as everywhere it is shown.
            scale, unit = (1, "nats") if most else (100, "percentage points")
            yield row(
                f"{name}, {figure.replace('_', ' ')} on fresh points",
                f"mean of {len(values)} draws",
                seconds,
                target=f"at most {most:g} nats" if most else "",
                ok=mean <= most if most else None,
                value=mean,
                error=error,
                shown=f"{scale * mean:.5f} ± {scale * error:.5f} {unit} ({seconds:.1f} s CPU a network)",
            )
