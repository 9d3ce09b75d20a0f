"""How near the best-known setting comes to the Bayes limit: mean regret over ten seeds on fresh points."""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from mlplab.benchmarks.benchmark import Row, row
from mlplab.config.composition import compose
from mlplab.training.fit import fit_members

SEEDS = range(10)
LIMITS = {"accuracy_regret": 0.002, "nll_regret": 0.012}


def rows(repeats: int, logs: Path) -> Iterator[Row]:
    """Yield the rows of the benchmark ``near_bayes``; ``repeats`` does not matter, the seeds are the repeats."""
    configs = [
        compose("train", ["experiment=near_bayes", f"seed={seed}", "logger=none", "callbacks.decision_maps=null"])
        for seed in SEEDS
    ]
    start = time.perf_counter()
    results = fit_members(configs, [None] * len(configs))
    seconds = (time.perf_counter() - start) / len(configs)
    for name, limit in LIMITS.items():
        values = [result["fresh"][name] for result in results]
        mean, spread = statistics.mean(values), statistics.stdev(values)
        # Accuracy in points, as everywhere it is shown.
        scale, unit = (100, "points") if name == "accuracy_regret" else (1, "nats")
        yield row(
            f"near_bayes, {name.replace('_', ' ')} on fresh points", f"mean of {len(values)} seeds", seconds,
            target=f"at most {scale * limit:g} {unit}", ok=mean <= limit, value=mean, spread=spread,
            shown=f"{scale * mean:.4f} ± {scale * spread:.4f} {unit} ({seconds:.1f} s a seed)",
        )  # fmt: skip
